"""The index on one disk: a SQLite catalogue and segments of postings in a folder. Reading.

A reader follows what a writer in another process commits: when the catalogue says that it changed,
the list of segments is read anew. Files of segments that were merged away meanwhile are still
open, hence readable, until then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from attribution.errors import IndexDamagedError
from attribution.source import AnyDocument, GroupBy
from attribution.store.contract import SCORE_DIGITS, Candidate, Content, IndexInfo
from attribution.store.embedded.catalogue import Catalogue
from attribution.store.embedded.checked_file import REMEDY
from attribution.store.embedded.folder import SEGMENTS
from attribution.store.embedded.segment import SegmentFile, Written, segment_problem
from attribution.store.opt_outs import lines_of
from attribution.tokens.arrays import ranges
from attribution.tokens.fingerprint import Channel
from attribution.tokens.lexer import U64, Ints

# Postings read for one query, the rarest fingerprints first: a licence header must not cost a second.
MAX_QUERY_POSTINGS = 200_000


@dataclass(frozen=True, kw_only=True)
class _View:
    """What one version of the catalogue says."""

    version: int
    segments: Mapping[Channel, Sequence[SegmentFile]]
    dead: U64
    contents: int
    documents: int


class EmbeddedIndex:
    """An index folder, open for reading."""

    def __init__(self, folder: Path) -> None:
        self._catalogue = Catalogue.open(folder)
        self._folder = folder
        self._lock = threading.Lock()
        self._open_segments: dict[str, SegmentFile] = {}
        # Read at the first question: an index can be verified whatever is wrong with its segments.
        self._view: _View | None = None

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels it was built with."""
        return self._catalogue.channels

    def close(self) -> None:
        """Close the catalogue; files go with the last reference to them."""
        with self._lock:
            self._catalogue.close()
            self._open_segments.clear()

    def document_count(self) -> int:
        """How many documents a query searches."""
        with self._reading():
            return self._current().documents

    def candidates(self, fingerprints: U64, channel: Channel, *, limit: int) -> list[Candidate]:
        """Contents that share fingerprints, by summed idf, BM25's: log(1 + (N - df + .5) / (df + .5))."""
        with self._reading():
            view = self._current()
        wanted = np.unique(fingerprints)
        contents, fingerprint_of = _postings(view.segments.get(channel, ()), wanted)
        if not len(contents):
            return []
        # Of everything that has the fingerprint, dead or alive, as Elasticsearch counts.
        frequency = fingerprint_of.counts[fingerprint_of.index]
        idf = np.log1p((view.contents - frequency + 0.5) / (frequency + 0.5))
        found, at = np.unique(contents, return_inverse=True)
        scores = np.bincount(at, weights=idf).astype(np.float64)
        alive = ~np.isin(found, view.dead)
        return self._ranked(found[alive], scores[alive], limit)

    def _ranked(self, contents: U64, scores: npt.NDArray[np.float64], limit: int) -> list[Candidate]:
        """The best by rounded score, ties by key; ties at the cut are all looked at."""
        rounded = np.round(scores, SCORE_DIGITS)
        if len(rounded) > limit:
            cut = np.partition(rounded, len(rounded) - limit)[len(rounded) - limit]
            contents, rounded = contents[rounded >= cut], rounded[rounded >= cut]
        with self._reading():
            keys = self._catalogue.keys(contents.tolist())
        found = [
            Candidate(key=keys[content], score=score)
            for content, score in zip(contents.tolist(), rounded.tolist(), strict=True)
            if content in keys
        ]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.key))[:limit]

    def frequencies(self, fingerprints: U64, channel: Channel) -> Ints:
        """[N] how many contents have each fingerprint, dead ones among them."""
        with self._lock:
            view = self._current()
        counts = np.zeros(len(fingerprints), dtype=np.int64)
        for segment in view.segments.get(channel, ()):
            first, last = segment.find(fingerprints)
            counts += last - first
        return counts

    def licences(self, keys: Sequence[bytes]) -> Mapping[bytes, frozenset[str | None]]:
        """The licences of the documents that hold each content."""
        with self._reading():
            return self._catalogue.licences(keys)

    def contents(self, keys: Sequence[bytes]) -> Mapping[bytes, Content]:
        """The contents that are there, with their texts."""
        found = {}
        with self._reading():
            for key in keys:
                if (content := self._content(key)) is not None:
                    found[key] = content
        return found

    def _content(self, key: bytes) -> Content | None:
        stored = self._catalogue.text(key)
        if stored is None or not (sources := self._catalogue.sources(stored[0])):
            return None
        return Content(key=key, text=stored[1], sources=sources)

    def info(self) -> IndexInfo:
        """Counts and sizes."""
        with self._reading():
            view, catalogue = self._current(), self._catalogue
            files = [written for _, written, _, _ in catalogue.segments()]
            text_bytes = catalogue.packed_bytes()
            disk_bytes = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
            return IndexInfo(
                url=self.url,
                documents=view.documents,
                contents=catalogue.totals()[1],
                repositories=catalogue.repositories(),
                source_bytes=catalogue.source_bytes(),
                postings=sum(written.postings for written in files),
                channels=tuple(channel.name.lower() for channel in self.channels),
                text_disk_bytes=text_bytes,
                other_disk_bytes=disk_bytes - text_bytes,
                removed_contents=len(view.dead),
            )

    def documents_by(self, group: GroupBy) -> Counter[str | None]:
        """How many documents there are of each licence, repository or language."""
        with self._reading():
            return self._catalogue.documents_by(group)

    def lacking(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """The documents that are not held with just this content."""
        with self._reading():
            return [document for document in documents if not self._catalogue.holds(document)]

    def opt_outs(self) -> list[str]:
        """What was removed for good, as the lines of an opt-out list."""
        with self._reading():
            return lines_of(self._catalogue.opt_outs())

    def verify(self) -> list[str]:
        """Read every file; what is wrong."""
        with self._reading():
            found = self._catalogue.problems()
            for _, written, _, _ in self._catalogue.segments():
                problem = segment_problem(self._folder / SEGMENTS / written.file, written.crc32)
                found += [] if problem is None else [problem]
            found += self._catalogue.damaged_texts()
        return found

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One thread at a time; what SQLite cannot read is damage."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                raise IndexDamagedError(f"{self._folder}: {error}; {REMEDY}") from error

    def _current(self) -> _View:
        if self._view is None or self._catalogue.data_version() != self._view.version:
            self._view = self._read_view()
        return self._view

    def _read_view(self) -> _View:
        """Raises `IndexDamagedError`, unless a merge took the file away and the list is newer by now."""
        catalogue = self._catalogue
        while True:
            version = catalogue.data_version()
            try:
                segments = self._map(catalogue.segments())
                break
            except IndexDamagedError:
                if catalogue.data_version() == version:
                    raise
        dead = catalogue.dead()
        documents, contents = catalogue.totals()
        return _View(
            version=version,
            segments=segments,
            dead=dead,
            contents=contents + len(dead),
            documents=documents,
        )

    def _map(self, listed: Sequence[tuple[int, Written, int, int]]) -> dict[Channel, list[SegmentFile]]:
        """Map what is new, forget what is gone."""
        names = [written.file for _, written, _, _ in listed]
        self._open_segments = {
            name: self._open_segments.get(name) or SegmentFile(self._folder / SEGMENTS / name)
            for name in names
        }
        found: dict[Channel, list[SegmentFile]] = {}
        for segment in self._open_segments.values():
            found.setdefault(segment.channel, []).append(segment)
        return found


@dataclass(frozen=True, kw_only=True)
class _FingerprintOf:
    """Which fingerprint each posting belongs to, and how many postings each fingerprint has in all."""

    index: Ints
    counts: Ints


def _postings(segments: Sequence[SegmentFile], wanted: U64) -> tuple[U64, _FingerprintOf]:
    """The contents of all postings of the wanted fingerprints, within `MAX_QUERY_POSTINGS`."""
    places = [segment.find(wanted) for segment in segments]
    counts = np.zeros(len(wanted), dtype=np.int64)
    for first, last in places:
        counts += last - first
    present = np.flatnonzero(counts)
    order = present[np.argsort(counts[present], kind="stable")]
    # At least the rarest is read, whatever it costs.
    affordable = max(int(np.searchsorted(np.cumsum(counts[order]), MAX_QUERY_POSTINGS, side="right")), 1)
    read = np.zeros(len(wanted), dtype=bool)
    read[order[:affordable]] = True
    contents: list[U64] = [np.empty(0, dtype=np.uint64)]
    index: list[Ints] = [np.empty(0, dtype=np.int64)]
    for segment, (first, last) in zip(segments, places, strict=True):
        hits = np.flatnonzero(read & (last > first))
        lengths = (last - first)[hits]
        contents.append(segment.contents(ranges(first[hits], last[hits])))
        index.append(np.repeat(hits, lengths))
    return np.concatenate(contents), _FingerprintOf(index=np.concatenate(index), counts=counts)
