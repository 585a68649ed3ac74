"""The pipeline from cached archives to a corpus folder. Each step is a function or a small object.

    archives -> selection -> decoding -> quality -> exact duplicates -> decontamination
             -> personal data -> near duplicates -> shards

Held-out packages pass first, so a duplicate between the splits is removed from training.
The folder appears whole or not at all, and is the same for the same manifest and options.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from training.corpus.archives import Member, read_members
from training.corpus.decontaminate import Decontaminator
from training.corpus.dedup import ExactDuplicates, NearDuplicates
from training.corpus.document import Document, Reason
from training.corpus.errors import CorpusError
from training.corpus.fetch import cached_file, verify
from training.corpus.languages import rule_for
from training.corpus.licences import (
    LicenceNote,
    is_licence_file,
    licence_note,
    licence_texts,
    notice_markdown,
)
from training.corpus.manifest import Manifest, Package, Split
from training.corpus.pii import redact
from training.corpus.quality import FILTERS, vendored
from training.corpus.report import CorpusReport
from training.corpus.shards import ShardWriter

FOLDER_OF_SPLIT = {Split.TRAIN: "train", Split.HELD_OUT: "held_out"}
_REPORT_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a build does beside the per-language limits."""

    max_file_bytes: int = 1_000_000
    near_dedup: bool = True
    redact_pii: bool = True

    def __post_init__(self) -> None:
        if self.max_file_bytes <= 0:
            raise CorpusError(f"max_file_bytes {self.max_file_bytes} must be positive")


def build_corpus(
    manifest: Manifest,
    cache_dir: Path,
    out_dir: Path,
    *,
    decontaminate: Sequence[Path] = (),
    options: BuildOptions | None = None,
    progress: Callable[[Package, int, int], None] | None = None,
) -> CorpusReport:
    """Build `out_dir` from the cached archives of a manifest; returns what was kept and dropped.

    `decontaminate` are JSONL files of evaluation problems. An `out_dir` that an earlier build
    made is replaced; any other non-empty folder is refused with CorpusError. Raises
    IntegrityError when an archive is not the pinned one, CorpusError when one is not cached.
    """
    _check_replaceable(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    decontaminator = Decontaminator.from_files(decontaminate)
    scratch = out_dir.with_name(f".{out_dir.name}-{os.getpid()}")  # not mkdtemp: the user's umask holds
    scratch.mkdir()
    try:
        with CorpusBuild(manifest.name, scratch, decontaminator, options or BuildOptions()) as build:
            ordered = sorted(manifest.packages, key=lambda package: package.split is Split.TRAIN)
            for done, package in enumerate(ordered, start=1):
                build.add_package(package, _archive(package, cache_dir))
                if progress is not None:
                    progress(package, done, len(ordered))
        build.write_notes(manifest.packages)
        _swap(scratch, out_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return build.report


class CorpusBuild:
    """One run of the pipeline: the open shards, the duplicate indexes and the counters."""

    def __init__(
        self, name: str, folder: Path, decontaminator: Decontaminator, options: BuildOptions
    ) -> None:
        self.report = CorpusReport(name=name)
        self._folder = folder
        self._options = options
        self._decontaminator = decontaminator
        self._exact = ExactDuplicates()
        self._near = NearDuplicates()
        self._notes: list[LicenceNote] = []
        self._index: list[str] = []
        self._closing = ExitStack()
        self._shards = {
            split: self._closing.enter_context(ShardWriter(folder / name))
            for split, name in FOLDER_OF_SPLIT.items()
        }

    def __enter__(self) -> CorpusBuild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._closing.close()

    def add_package(self, package: Package, archive: Path) -> None:
        """Put every file of one archive through the pipeline."""
        noted: list[Member] = []
        for member in read_members(archive, max_member_bytes=self._options.max_file_bytes):
            if is_licence_file(member.path) or member.path.endswith(("METADATA", "package.json")):
                noted.append(member)
            self._add_member(package, member)
        self._notes.append(licence_note(package, noted))

    def write_notes(self, packages: Sequence[Package]) -> None:
        """Write the report, the document hashes, and the licence notice beside the shards."""
        (self._folder / _REPORT_FILE).write_text(self.report.to_json(), encoding="utf-8")
        with gzip.GzipFile(self._folder / "documents.jsonl.gz", "wb", mtime=0) as stream:
            stream.write("".join(self._index).encode())
        notice = notice_markdown(packages, title=f"Packages of the corpus '{self.report.name}'")
        (self._folder / "NOTICE.md").write_text(notice, encoding="utf-8")
        (self._folder / "LICENSES.txt").write_text(licence_texts(self._notes), encoding="utf-8")

    def _add_member(self, package: Package, member: Member) -> None:
        self.report.read(member.size_bytes)
        outcome = self._pipeline(package, member)
        if isinstance(outcome, Reason):
            self.report.drop(outcome, member.size_bytes)
            return
        size_bytes = len(outcome.text.encode())
        self._shards[package.split].write(outcome)
        self.report.keep(outcome, package.split, size_bytes)
        entry = {"sha256": outcome.sha256, "package": outcome.package, "path": outcome.path}
        entry |= {"language": outcome.language, "license": outcome.license, "split": package.split.value}
        self._index.append(json.dumps({**entry, "bytes": size_bytes}, ensure_ascii=False) + "\n")

    def _pipeline(self, package: Package, member: Member) -> Document | Reason:
        document = to_document(package, member)
        if isinstance(document, Reason):
            return document
        rule = rule_for(member.path)
        assert rule is not None, "to_document only returns documents of known languages"
        for check in FILTERS:
            reason = check(document, rule)
            if reason is not None:
                return reason
        return self._unique_and_clean(document)

    def _unique_and_clean(self, document: Document) -> Document | Reason:
        if self._exact.seen(document.sha256):
            return Reason.DUPLICATE
        needle = self._decontaminator.find(document.text)
        if needle is not None:
            self.report.contaminants[needle[:80]] += 1
            return Reason.CONTAMINATED
        if self._options.near_dedup and self._near.seen(document.text):
            return Reason.NEAR_DUPLICATE
        if self._options.redact_pii:
            text, found = redact(document.text)
            self.report.redacted.update(found)
            document = replace(document, text=text)
        return document


def to_document(package: Package, member: Member) -> Document | Reason:
    """Decode one archive member, or say why it is no document."""
    if not package.selects(member.path) or ".dist-info/" in member.path:
        return Reason.NOT_SELECTED
    rule = rule_for(member.path)
    if rule is None:
        return Reason.UNKNOWN_LANGUAGE
    if vendored(member.path):
        return Reason.VENDORED
    if member.data is None:
        return Reason.TOO_LARGE
    if b"\0" in member.data:
        return Reason.BINARY
    try:
        text = member.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    return Document(
        repository=package.repository,
        path=member.path,
        language=rule.language,
        license=package.license,
        package=package.identity,
        text=text.replace("\r\n", "\n"),
    )


def _archive(package: Package, cache_dir: Path) -> Path:
    path = cached_file(package, cache_dir)
    if not path.is_file():
        raise CorpusError(f"{package.identity}: {path} is not there; fetch the manifest first")
    verify(path, package)
    return path


def _swap(scratch: Path, out_dir: Path) -> None:
    """Put the finished folder in place; the old one is gone only after the new one stands there."""
    old = scratch.with_name(scratch.name + "-old")
    if out_dir.exists():
        os.replace(out_dir, old)
    os.replace(scratch, out_dir)
    shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(out_dir: Path) -> None:
    if out_dir.exists() and any(out_dir.iterdir()) and not (out_dir / _REPORT_FILE).is_file():
        raise CorpusError(f"{out_dir} is not empty and holds no corpus; choose another folder")
