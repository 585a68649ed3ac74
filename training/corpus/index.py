"""The documents that a model was trained on, for the attribution index: exactly those, from their packages.

A model's `documents.jsonl.gz` lists the hash, package, path and licence of each, and what personal data
was replaced. The packages are fetched by the ordinary clients, running none of their code, and read in
memory; a text that does not hash to what the list says is not taken for it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from attribution.errors import SourceError
from attribution.indexing.listing import Listed
from attribution.source import Source, SourceDocument
from attribution.sources.ingest import MAX_DOCUMENT_BYTES
from attribution.sources.manifest import Manifest, Package, Split
from model.catalogue.published import STARTER
from model.weights.hub import bundled_folder
from training.corpus.errors import CorpusError, FetchError
from training.corpus.records.archives import read_members
from training.corpus.records.fetch import default_cache_dir, fetch_package
from training.corpus.records.manifest import starter_manifest

DOCUMENTS_FILE = "documents.jsonl.gz"
# Clients of package indexes mostly wait; more at once than this would be impolite.
_FETCHERS = 4
# As many fetches fail in a row where there is no network; one fails where a package was withdrawn.
_MAX_FAILURES = 3


class TrainedSet:
    """The training documents of one model: a list, the manifest of their packages, and a folder for these.

    `packages` is a folder of the user's, which keeps them; None: one of our own, cleared at the end.
    """

    def __init__(
        self,
        name: str,
        listing: Path,
        manifest: Manifest,
        packages: Path | None = None,
        *,
        on_package: Callable[[str], None] = lambda identity: None,
    ) -> None:
        self.name = name
        self._packages = {package.identity: package for package in manifest.packages}
        self._rows = {(row["package"], row["path"]): row for row in _trained_rows(listing)}
        self._own = packages is None
        self._folder = packages or default_cache_dir().with_name(f"packages-of-{name}")
        self._on_package = on_package

    def listed(self) -> list[Listed]:
        """All documents that were trained on, in the order of the list. Raises `SourceError`."""
        return [
            Listed(
                source=self._source(row), key=bytes.fromhex(row["sha256"])[:16], text_bytes=int(row["bytes"])
            )
            for row in self._rows.values()
        ]

    def _source(self, row: Mapping[str, Any]) -> Source:
        package = self._packages.get(row["package"])
        if package is None:
            raise SourceError(
                f"{row['package']}: the list of {self.name} names this package, the manifest does not; they "
                "belong to different versions: install the program anew"
            )
        return Source(
            repository=package.repository,
            path=row["path"],
            revision=package.identity,
            license=row["license"],
            url=package.web,
        )

    def documents(self, wanted: Sequence[Listed], skipped: Counter[str]) -> Iterator[SourceDocument]:
        """The wanted documents, package by package; packages are fetched meanwhile. Raises `SourceError`."""
        missing: dict[str, dict[str, Listed]] = {}
        for one in wanted:
            missing.setdefault(str(one.source.revision), {})[one.source.path] = one
        try:
            for package, archive in self._archives([self._packages[name] for name in missing]):
                of_package = missing[package.identity]
                if archive is not None:
                    yield from self._read(package, archive, of_package)
                if of_package:
                    why = "cannot be fetched" if archive is None else "has not the files of the list"
                    skipped[f"{package.identity} {why}"] += len(of_package)
        except CorpusError as error:
            raise SourceError(str(error)) from error

    def _archives(self, packages: Sequence[Package]) -> Iterator[tuple[Package, Path | None]]:
        """Packages in order, fetched. One that cannot be had is None; several in a row are an error."""
        pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        try:
            waiting: deque[tuple[Package, Future[Path]]] = deque(
                (package, pool.submit(fetch_package, package, self._folder)) for package in packages
            )
            failures = 0
            while waiting:
                package, fetched = waiting.popleft()
                self._on_package(package.identity)
                try:
                    archive = fetched.result()
                except FetchError:
                    failures += 1
                    if failures == min(_MAX_FAILURES, len(packages)):
                        raise
                    yield package, None
                else:
                    failures = 0
                    yield package, archive
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, package: Package, archive: Path, missing: dict[str, Listed]) -> Iterator[SourceDocument]:
        """The missing documents that an archive has; takes them out of `missing`."""
        for member in read_members(archive, max_member_bytes=MAX_DOCUMENT_BYTES):
            listed = missing.get(member.path)
            if listed is None or member.data is None:
                continue
            row = self._rows[package.identity, member.path]
            text = text_of(member.data, row.get("replaced", ()))
            if text is not None and hashlib.sha256(text).hexdigest() == row["sha256"]:
                del missing[member.path]
                yield SourceDocument(source=listed.source, text=text)

    def clear(self) -> None:
        """Delete the packages, unless the user named their folder."""
        if self._own and self._folder.is_dir():
            shutil.rmtree(self._folder)


def starter_set(
    packages: Path | None, on_package: Callable[[str], None] = lambda identity: None
) -> TrainedSet:
    """What the bundled model was trained on."""
    listing = bundled_folder() / DOCUMENTS_FILE
    return TrainedSet(STARTER, listing, starter_manifest(), packages, on_package=on_package)


def text_of(data: bytes, replaced: Sequence[tuple[int, int, str]]) -> bytes | None:
    """A file as the corpus has it: UTF-8, `\\n` line ends, personal data replaced; None if it is no text.

    `replaced`: (first character, one past the last, what stands there instead), in order.
    """
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    pieces, at = [], 0
    for start, end, instead in replaced:
        pieces += [text[at:start], instead]
        at = end
    return "".join([*pieces, text[at:]]).encode()


def _trained_rows(listing: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(listing, "rt", encoding="utf-8") as lines:
            yield from (row for line in lines if (row := json.loads(line))["split"] == Split.TRAIN)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise SourceError(f"{listing}: cannot read the list of documents: {error}") from error
