"""Reads the units of a corpus: whatever they are, out come files, issues and commits.

Folders, archives and metadata are read by `attribution`, which indexes the same sources; packages
of a manifest by their pinned licence. Knows nothing of which of it is wanted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from attribution.errors import SourceError
from attribution.source import SourceDocument
from attribution.sources.ingest import read_source, read_tree
from attribution.sources.licences import licence_of_header
from attribution.sources.manifest import Package
from attribution.sources.tables import COLUMNS, dataset_rows, document_of, read_rows
from attribution.sources.trees import ArchiveTree, FolderTree
from training.corpus.errors import CorpusError
from training.corpus.records.archives import ArchiveMember, read_members
from training.corpus.records.document import Reason
from training.corpus.records.fetch import verify
from training.corpus.records.licences import LicenceNote, is_licence_file, licence_note
from training.corpus.records.units import Unit, UnitKind, dataset_place

_ISSUE_COLUMNS = ("events", "title", "repo", "repo_name", "issue_id", "issue_number", "license")
_COMMIT_COLUMNS = ("old_file", "old_contents", "new_contents", "subject", "repos", "license")
_STARS_COLUMNS = ("max_stars_count", "stars", "stargazers_count")
_WANTED_COLUMNS = frozenset(
    (
        *_ISSUE_COLUMNS,
        *_COMMIT_COLUMNS,
        *_STARS_COLUMNS,
        *(name for names in COLUMNS.values() for name in names),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file of a source; `data` is None when it is too large, `is_wanted` what a manifest selects."""

    path: str
    repository: str
    data: bytes | None
    size_bytes: int
    license: str | None
    package: str = ""
    url: str | None = None
    stars: int | None = None
    is_wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """A row of a table that is an issue or a commit."""

    is_issue: bool
    row: Mapping[str, Any]
    where: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Files that the reader of a source left out."""

    reason: Reason
    files: int


Found = FoundFile | FoundRow | Skipped


@dataclass(kw_only=True)
class LicenceTexts:
    """The licence files met: text -> who has it."""

    owners: dict[str, list[str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)

    def add(self, text: str, owner: str) -> None:
        """Remember that an owner has this text."""
        self.owners.setdefault(text, []).append(owner)

    def add_note(self, note: LicenceNote) -> None:
        """Remember a package's texts, or that it has none."""
        for path, text in note.texts:
            self.add(text, f"{note.package.identity} ({PurePosixPath(path).name})")
        if not note.texts:
            self.without.append(note.package.identity)


def read_unit(unit: Unit, texts: LicenceTexts, *, max_file_bytes: int) -> Iterator[Found]:
    """Everything of one unit, in its own order; raises CorpusError."""
    with _as_corpus_errors():
        if unit.package is not None:
            yield from _of_package(unit.package, Path(unit.name), texts, max_file_bytes)
        elif unit.kind is UnitKind.TABLE:
            for where, row in read_rows(Path(unit.name), _WANTED_COLUMNS):
                yield _of_row(row, where, max_file_bytes)
        elif unit.kind is UnitKind.DATASET:
            name, folder, revision = dataset_place(unit.name)
            for where, row in dataset_rows(name, folder=folder, revision=revision):
                yield _of_row(row, where, max_file_bytes)
        else:
            yield from _of_tree(unit, texts, max_file_bytes)


@contextmanager
def _as_corpus_errors() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise CorpusError(str(error)) from error


def _of_package(package: Package, archive: Path, texts: LicenceTexts, max_bytes: int) -> Iterator[FoundFile]:
    verify(archive, package)
    noted: list[ArchiveMember] = []
    for member in read_members(archive, max_member_bytes=max_bytes):
        if is_licence_file(member.path) or member.path.endswith(("METADATA", "package.json")):
            noted.append(member)
        yield FoundFile(
            path=member.path,
            repository=package.repository,
            data=member.data,
            size_bytes=member.size_bytes,
            license=package.license,
            package=package.identity,
            is_wanted=package.selects(member.path) and ".dist-info/" not in member.path,
        )
    texts.add_note(licence_note(package, noted))


def _of_tree(unit: Unit, texts: LicenceTexts, max_bytes: int) -> Iterator[FoundFile | Skipped]:
    skipped: Counter[str] = Counter()
    path = Path(unit.name)
    if unit.kind is UnitKind.FILE:
        documents = read_source(unit.name, skipped)
    else:
        documents = read_tree(
            FolderTree(path) if unit.kind is UnitKind.FOLDER else ArchiveTree(path), skipped
        )
    for document in documents:
        source = document.source
        if is_licence_file(source.path) and len(document.text) <= 1 << 16:
            text = document.text.decode("utf-8", errors="replace").strip() + "\n"
            texts.add(text, f"{source.repository} ({PurePosixPath(source.path).name})")
        yield _of_document(document, max_bytes)
    for reason, count in skipped.items():
        yield Skipped(reason=Reason.TOO_LARGE if "larger" in reason else Reason.NOT_A_FILE, files=count)


def _of_document(
    document: SourceDocument, max_bytes: int, stars: int | None = None, license: str | None = None
) -> FoundFile:
    source = document.source
    return FoundFile(
        path=source.path,
        repository=source.repository,
        data=document.text if len(document.text) <= max_bytes else None,
        size_bytes=len(document.text),
        license=license or source.license,
        package=source.revision or "",
        url=source.url,
        stars=stars,
    )


def _of_row(row: Mapping[str, Any], where: str, max_bytes: int) -> FoundFile | FoundRow:
    if row.get("events") is not None:
        size = len(json.dumps(row["events"], default=str))
        return FoundRow(is_issue=True, row=row, where=where, size_bytes=size)
    if row.get("old_contents") is not None and row.get("new_contents") is not None:
        size = len(str(row["old_contents"])) + len(str(row["new_contents"]))
        return FoundRow(is_issue=False, row=row, where=where, size_bytes=size)
    document = document_of(row, where)
    stars = next((int(row[name]) for name in _STARS_COLUMNS if row.get(name) is not None), None)
    header = licence_of_header(document.text)
    return _of_document(document, max_bytes, stars, header)
