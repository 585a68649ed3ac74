"""What a package says its licence is, its licence texts, and the notice that goes with a model.

A manifest pins a licence; the archive's own metadata must agree with it, else the package is
refused. How licences are recognised is `attribution.sources`'; knows no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attribution.sources import declarations, licences
from attribution.sources.manifest import Ecosystem, Package
from training.corpus.errors import IntegrityError
from training.corpus.records.archives import ArchiveMember


@dataclass(frozen=True, kw_only=True)
class LicenceNote:
    """What a package contributes to the notice: its identity, licence, and the texts it ships."""

    package: Package
    texts: tuple[tuple[str, str], ...]  # (path inside the archive, text)


def is_licence_file(path: str) -> bool:
    """Whether a path looks like a licence, copying or notice file: what goes with a model."""
    return licences.is_licence_file(path) or licences.is_notice_file(path)


def licence_note(package: Package, members: Iterable[ArchiveMember]) -> LicenceNote:
    """Collect a package's licence texts; raises IntegrityError when its metadata contradicts the manifest."""
    declared: str | None = None
    texts: list[tuple[str, str]] = []
    for member in members:
        if member.data is None:
            continue
        if _is_metadata(package, member.path):
            declared = declared_licence(package.ecosystem, member.data)
        elif is_licence_file(member.path):
            texts.append((member.path, member.data.decode("utf-8", errors="replace").strip() + "\n"))
    if declared is None or not licence_agrees(declared, package.license):
        raise IntegrityError(
            f"{package.identity}: its metadata says licence {declared!r}, the manifest says "
            f"{package.license!r}; check the package and correct or remove the entry"
        )
    return LicenceNote(package=package, texts=tuple(texts))


def declared_licence(ecosystem: Ecosystem, metadata: bytes) -> str:
    """The licence as a wheel's METADATA or an npm package.json states it ('' when it does not)."""
    if ecosystem is Ecosystem.NPM:
        return declarations.declared_by_npm(json.loads(metadata)).stated
    said = declarations.declared_by_python(metadata.decode("utf-8", errors="replace"))
    # Some projects paste the whole licence into the field; its first line names it.
    return "; ".join([*said.stated.splitlines()[:1], *said.classifiers])


def licence_agrees(declared: str, pinned: str) -> bool:
    """Whether every SPDX id of the pinned expression is one that the declared text can stand for."""
    named = declarations.licences_named(declared)
    return bool(named) and all(identifier in named for identifier in re.split(r"\s+(?:AND|OR)\s+", pinned))


def notice_markdown(packages: Sequence[Package], *, title: str) -> str:
    """A Markdown table of packages, versions, licences and splits, sorted by ecosystem and name."""
    rows = sorted(packages, key=lambda package: (package.ecosystem, package.name))
    lines = [f"# {title}", "", f"{len(rows)} packages, each under a permissive licence.", ""]
    lines += ["| package | version | licence | from | repository | use |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {p.name} | {p.version} | {p.license} | {p.ecosystem} | {p.repository} | {p.split} |" for p in rows
    ]
    return "\n".join(lines) + "\n"


def licence_texts(owners: Mapping[str, Sequence[str]], without: Sequence[str]) -> str:
    """All licence texts in one document: each text (a key) once, under all who have it.

    `without` are archives that ship no text.
    """
    parts = ["\n".join(names) + "\n\n" + text for text, names in owners.items()]
    if without:
        parts.append(
            "Archives without a licence file (licence as stated in their metadata): "
            + ", ".join(sorted(without))
            + "\n"
        )
    return ("\n" + "=" * 80 + "\n\n").join(parts)


def _is_metadata(package: Package, path: str) -> bool:
    if package.ecosystem is Ecosystem.NPM:
        return path == "package.json"
    return path.count("/") == 1 and path.endswith(".dist-info/METADATA")
