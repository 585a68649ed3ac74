"""From what a user names as a source to documents: folders, archives, tables, manifests, datasets.

What is not taken in is counted by reason, never dropped in silence.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from attribution.errors import InputError, SourceError
from attribution.source import LicenceEvidence, SourceDocument
from attribution.sources.decoding import DecodedText, cell_path, pieces_of
from attribution.sources.folders import TreeFacts, facts_around, source_of
from attribution.sources.manifest import Manifest, Package
from attribution.sources.provenance import NOTHING, Facts
from attribution.sources.tables import is_table, read_dataset, read_table
from attribution.sources.trees import ArchiveTree, FolderTree, Tree, is_archive
from model.local.secret_files import is_secret

# Larger files are data or generated.
MAX_DOCUMENT_BYTES = 4 << 20
# `OWNER/NAME`, or with a folder of it, as The Stack has one a language: `hf:OWNER/NAME/data/python`.
DATASET = re.compile(
    r"(?P<hub>hf:)?(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?(hub)(?:/(?P<folder>[\w./-]+))?)"
    r"(@(?P<revision>[\w./-]+))?"
)
# Source code compresses to about a quarter; enough for telling the time left.
_COMPRESSION = 4
_COMPRESSED = frozenset({".gz", ".tgz", ".zst", ".bz2", ".xz", ".zip", ".whl", ".jar", ".crate", ".parquet"})
_SKIPPED_FILES = re.compile(r"\.min\.(js|css)$|\.map$|(^|/)(package-lock\.json|yarn\.lock|poetry\.lock)$")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What to read. `packages` is the folder with the archives that a manifest names."""

    names: Sequence[str]
    packages: Path | None = None

    def documents(self, skipped: Counter[str]) -> Iterator[SourceDocument]:
        """All documents, source by source; counts into `skipped` what is left out, by reason."""
        for name in self.names:
            yield from indexable(read_source(name, skipped, packages=self.packages), skipped)

    def check(self) -> None:
        """Raises `SourceError` on a name that can be nothing; before an index is made for it."""
        for name in self.names:
            if not Path(name).expanduser().exists() and DATASET.fullmatch(name) is None:
                raise _no_source(name)

    def total_bytes(self) -> int | None:
        """About how much text there is, for a progress bar; None where nobody knows."""
        paths = [Path(name).expanduser() for name in self.names]
        known = all(path.exists() and path.suffix != ".toml" for path in paths)
        return sum(map(_text_bytes, paths)) if known else None


def read_source(
    name: str, skipped: Counter[str], *, packages: Path | None = None
) -> Iterator[SourceDocument]:
    """The documents of one source. Raises `SourceError`."""
    path = Path(name).expanduser()
    if path.exists() and is_secret(path.resolve(), is_folder=path.is_dir()):
        raise SourceError(f"{name}: secret files are never read: name another file or folder")
    if path.is_dir():
        tables = sorted(entry for entry in path.iterdir() if is_table(entry))
        if tables:  # a folder of shards
            for table in tables:
                yield from read_table(table)
        else:
            yield from read_tree(FolderTree(path), skipped)
    elif path.is_file():
        yield from _read_file(path, skipped, packages)
    elif (dataset := DATASET.fullmatch(name)) is not None:
        yield from read_dataset(dataset["name"], folder=dataset["folder"], revision=dataset["revision"])
    else:
        raise _no_source(name)


def _no_source(name: str) -> SourceError:
    return SourceError(
        f"{name}: no such file or folder, and not the id of a dataset (OWNER/NAME, or hf:OWNER/NAME/FOLDER); "
        "check the spelling"
    )


def _read_file(path: Path, skipped: Counter[str], packages: Path | None) -> Iterator[SourceDocument]:
    if is_table(path):
        yield from read_table(path)
    elif is_archive(path):
        yield from read_tree(ArchiveTree(path), skipped)
    elif path.suffix == ".toml":
        yield from read_manifest(path, skipped, packages)
    else:
        data = path.read_bytes()
        folder = path.resolve().parent
        source = source_of(path.name, data, facts_around(folder), place=folder)
        yield SourceDocument(source=source, text=data)


def indexable(documents: Iterable[SourceDocument], skipped: Counter[str]) -> Iterator[SourceDocument]:
    """The documents as they are compared: in UTF-8, notebooks cell by cell; counts what is left out."""
    for document in documents:
        try:
            texts = list(pieces_of(document.source.path, document.text))
        except InputError:
            skipped["in an encoding that cannot be read"] += 1
            continue
        for part in (_part(document, text) for text in texts):
            reason = why_not(part)
            if reason is None:
                yield part
            else:
                skipped[reason] += 1


def _part(document: SourceDocument, text: DecodedText) -> SourceDocument:
    if text.cell is None:
        return document if text.text is document.text else replace(document, text=text.text)
    source = replace(document.source, path=cell_path(document.source.path, text.cell))
    return SourceDocument(source=source, text=text.text)


def why_not(document: SourceDocument) -> str | None:
    """Why a document is not worth indexing."""
    if len(document.text) > MAX_DOCUMENT_BYTES:
        return f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"
    if b"\0" in document.text[:8192]:
        return "binary"
    if _SKIPPED_FILES.search(document.source.path):
        return "minified, or a lock file"
    return None


def read_tree(tree: Tree, skipped: Counter[str], known: Facts = NOTHING) -> Iterator[SourceDocument]:
    """The files of a folder or archive, with what it says about them; `known` says it for all."""
    facts = TreeFacts.of(tree)
    tree.skipped.clear()
    for member in tree.members():
        if is_secret(PurePosixPath(member.path)):
            skipped["a secret file"] += 1
            continue
        data = member.read(MAX_DOCUMENT_BYTES)
        if data is None:
            skipped[f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"] += 1
            continue
        yield SourceDocument(source=facts.source(member.path, data, known), text=data)
    skipped.update(tree.skipped)


def read_manifest(path: Path, skipped: Counter[str], packages: Path | None) -> Iterator[SourceDocument]:
    """The selected files of the archives that a corpus manifest names."""
    if packages is None:
        raise SourceError(f"{path}: a manifest needs the folder of its packages; name it with --packages")
    for package in Manifest.load(path).packages:
        yield from _of_package(package, path, packages, skipped)


def _of_package(
    package: Package, manifest: Path, packages: Path, skipped: Counter[str]
) -> Iterator[SourceDocument]:
    archive = package.archive_in(packages)
    if not archive.is_file():
        raise SourceError(
            f"{manifest}: {archive} is not there; fetch it with `python -I -m training.corpus fetch`"
        )
    with archive.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
            raise SourceError(f"{archive}: not the file that {manifest} names; delete it and fetch it again")
    known = Facts(repository=package.repository, revision=package.identity, web=package.web)
    for document in read_tree(ArchiveTree(archive), skipped, known):
        if package.selects(document.source.path):
            # The manifest's licence was checked by a person; a header's is not of the whole package.
            named = f"{package.ecosystem}:{package.name}"
            evidence = LicenceEvidence(declared=package.license, declared_in=manifest.name)
            source = replace(document.source, license=package.license, evidence=evidence, package=named)
            yield replace(document, source=source)


def _text_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(_text_bytes(entry) for entry in path.rglob("*") if entry.is_file())
    compressed = path.suffix in _COMPRESSED
    return path.stat().st_size * (_COMPRESSION if compressed else 1)
