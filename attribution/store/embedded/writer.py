"""The index on one disk: writing. One process at a time; a killed one leaves the last commit.

Documents go into an open transaction of the catalogue, their postings into memory. A commit writes
the postings as one segment per channel, lists it and ends the transaction: whatever happens before
that moment has not happened. Files that no row lists are leftovers and are cleared at the next start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from attribution.errors import IndexBusyError, IndexFormatError
from attribution.source import AnyDocument, Identified
from attribution.store.contract import AddCounts, Removed, missing
from attribution.store.embedded.catalogue import no_index
from attribution.store.embedded.catalogue_writer import CatalogueWriter
from attribution.store.embedded.folder import CATALOGUE, LOCK, SEGMENT_NAMES, SEGMENTS, check_ours
from attribution.store.embedded.left import Left
from attribution.store.embedded.segment import SegmentFile
from attribution.store.embedded.segment_writer import merge_segments, write_segment
from attribution.store.opt_outs import OptOut, OptOuts
from attribution.store.prepare import BLOCK_BYTES, PreparedBatch
from attribution.tokens.fingerprint import MAX_BATCH_DOCUMENTS, Channel
from attribution.tokens.lexer import U64
from model.local.own_folder import has_name
from model.local.private import private_files

# A commit after this much source text: a few seconds of work can be lost.
COMMIT_BYTES = 64 << 20
# So many segments of about the same size are merged into one.
FANOUT = 8


class EmbeddedWriter:
    """Writes to an index folder, for as long as the context lasts."""

    block_bytes = BLOCK_BYTES

    def __init__(self, folder: Path, *, create: bool, channels: Sequence[Channel]) -> None:
        self.counts = AddCounts()
        self._folder = folder
        self._create = create
        self._channels = tuple(channels)
        self._left = Left(folder)

    def __enter__(self) -> Self:
        if not self._create and not (self._folder / CATALOGUE).is_file():
            raise missing(str(self._folder))
        check_ours(self._folder)
        with private_files():
            self._open()
        try:
            self._opt_outs = OptOuts(self._catalogue.opt_outs())
            self._clear_leftovers()
        except BaseException:
            self._catalogue.close()
            self._lock.close()
            raise
        self._begin()
        if self._left.rules():
            self.commit()
        return self

    def _open(self) -> None:
        """The files, made if they are not there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / SEGMENTS).mkdir(exist_ok=True)
        except OSError as error:
            raise IndexFormatError(f"{self._folder}: cannot hold an index: {error.strerror}") from error
        self._lock = _locked(self._folder / LOCK)
        try:
            self._catalogue = CatalogueWriter.create(self._folder, self._channels)
        except BaseException:
            self._lock.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
            self._catalogue.connection.rollback()
        finally:
            self._catalogue.close()
            self._lock.close()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of the index: of an index that was there, its own."""
        return self._catalogue.channels

    # Adding

    def register(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """Record documents whose content is known; the others are to be prepared and added."""
        new = []
        for document in documents:
            if self._opt_outs.cover(document.source):
                self.counts.refused += 1
            elif (content := self._catalogue.content_of_key(document.key)) is None:
                new.append(document)
            else:
                self._put(document, content)
        return new

    def _put(self, document: Identified, content: int) -> None:
        source = document.source
        wanted = (content, source.license, source.url, self._catalogue.evidence(source))
        if self._catalogue.document(self._catalogue.provenance(source), source.path) == wanted:
            self.counts.unchanged += 1
        elif self._catalogue.put_document(source, content):
            self.counts.replaced += 1
        else:
            self.counts.known += 1

    def add(self, batch: PreparedBatch) -> None:
        """Take in prepared documents; commits once `COMMIT_BYTES` or 65,536 contents have come together."""
        if len(self._contents) + len(batch.documents) > MAX_BATCH_DOCUMENTS:
            self.commit()
        numbers = np.zeros(len(batch.documents), dtype=np.uint64)
        is_new = np.zeros(len(batch.documents), dtype=bool)
        blocks = [self._catalogue.add_block(packed) for packed in batch.blocks]
        for at, document in enumerate(batch.documents):
            content = self._catalogue.content_of_key(document.key)
            if content is not None:
                # Two copies were under way at once: the second text is not to stay where no removal finds it.
                self._catalogue.blank(blocks[document.block], document.start_byte, document.text_bytes)
            else:
                content = self._catalogue.add_content(document, blocks[document.block])
                is_new[at], numbers[at] = True, len(self._contents)
                self._contents.append(content)
                self._pending_bytes += document.text_bytes
            if self._catalogue.put_document(document.source, content):
                self.counts.replaced += 1
            else:
                self.counts.added += bool(is_new[at])
                self.counts.known += not is_new[at]
        for channel in self._catalogue.channels:
            self._keys[channel].append(_renumbered(batch.postings[channel], numbers, is_new))
        if self._pending_bytes >= COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Write the pending postings, list them and end the transaction; then merge if there is reason to.

        What another process wants removed is removed in the same transaction.
        """
        left = self._remove_left()
        if self._contents:
            contents = np.array(self._contents, dtype=np.int64)
            for channel, parts in self._keys.items():
                keys = np.sort(np.concatenate(parts))
                name = f"{contents[0]:010d}-{contents[-1]:010d}-{channel.name.lower()}.seg"
                written = write_segment(self._folder / SEGMENTS, name, channel, keys, contents)
                self._catalogue.add_segment(written, int(contents[0]), int(contents[-1]))
        self._end_and_begin()
        if left:
            self._forget_log()
        for asked, rules, removed in left:
            self._left.answer(asked, rules, removed)
        while (ranges := self._mergeable()) is not None:
            self._merge(ranges)

    # Removing and tidying

    def remove(self, rules: Sequence[OptOut]) -> Removed:
        """Remove documents and remember the rules; at once, and for readers too."""
        self.commit()
        removed = self._catalogue.remove_documents(rules)
        self._opt_outs = OptOuts(self._catalogue.opt_outs())
        self._end_and_begin()
        self._forget_log()
        return removed

    def _forget_log(self) -> None:
        """What was deleted must not live on in the log. Nothing may be pending."""
        self._catalogue.connection.rollback()
        self._catalogue.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._begin()

    def _remove_left(self) -> list[tuple[Path, list[OptOut], Removed]]:
        """Apply the rules that other processes have left."""
        applied = [
            (asked, rules, self._catalogue.remove_documents(rules))
            for asked, rules in self._left.rules().items()
        ]
        if applied:
            self._opt_outs = OptOuts(self._catalogue.opt_outs())
        return applied

    def lift(self, rules: Sequence[OptOut]) -> int:
        """Forget rules, at once."""
        lifted = self._catalogue.lift(rules)
        self._opt_outs = OptOuts(self._catalogue.opt_outs())
        self.commit()
        return lifted

    def compact(self) -> None:
        """One segment per channel, no dead postings, and a catalogue without holes."""
        self.commit()
        ranges = self._ranges()
        if len(ranges) > 1 or len(self._catalogue.dead()):
            self._merge(ranges)
        self._catalogue.drop_empty_blocks()
        self._catalogue.connection.execute("COMMIT")
        self._catalogue.connection.execute("VACUUM")
        self._catalogue.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._begin()

    def _ranges(self) -> list[tuple[int, int]]:
        """The ranges of contents that segments cover, in order; all channels have the same."""
        return sorted({(first, last) for _, _, first, last in self._catalogue.segments()})

    def _mergeable(self) -> list[tuple[int, int]] | None:
        """The last `FANOUT` ranges if the oldest of them is not much larger than the rest together."""
        sizes: dict[tuple[int, int], int] = {}
        for _, written, first, last in self._catalogue.segments():
            sizes[first, last] = sizes.get((first, last), 0) + written.postings
        recent = sorted(sizes)[-FANOUT:]
        if len(recent) < FANOUT or sizes[recent[0]] > sum(sizes[other] for other in recent[1:]):
            return None
        return recent

    def _merge(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Replace the segments of neighbouring ranges by one per channel, without their dead."""
        if not ranges:
            return
        first, last = ranges[0][0], ranges[-1][1]
        dead = self._catalogue.dead()
        dead = dead[(dead >= first) & (dead <= last)]
        old = [row for row in self._catalogue.segments() if (row[2], row[3]) in set(ranges)]
        for channel in self._catalogue.channels:
            parts = [
                SegmentFile(self._folder / SEGMENTS / row[1].file) for row in old if row[1].channel == channel
            ]
            suffix = "m" if len(ranges) > 1 else f"m{old[-1][0]}"
            name = f"{first:010d}-{last:010d}-{channel.name.lower()}-{suffix}.seg"
            self._catalogue.add_segment(
                merge_segments(self._folder / SEGMENTS, name, parts, dead), first, last
            )
        self._catalogue.drop_segments([row[0] for row in old])
        self._catalogue.forget_dead(first, last)
        self._end_and_begin()
        self._clear_leftovers()

    # Transactions

    def _begin(self) -> None:
        self._contents: list[int] = []
        self._pending_bytes = 0
        self._keys: dict[Channel, list[U64]] = {channel: [] for channel in self._catalogue.channels}
        self._catalogue.connection.execute("BEGIN IMMEDIATE")

    def _end_and_begin(self) -> None:
        self._catalogue.connection.execute("COMMIT")
        self._begin()

    def _clear_leftovers(self) -> None:
        """Delete files that no row lists: of a killed build, or merged away."""
        listed = {written.file for _, written, _, _ in self._catalogue.segments()}
        for path in (self._folder / SEGMENTS).iterdir():
            if path.name not in listed and has_name(path.name, SEGMENT_NAMES):
                _try_unlink(path)


def _renumbered(postings: U64, numbers: U64, is_new: npt.NDArray[np.bool_]) -> U64:
    """Postings of the new documents of a batch, with their numbers in the segment to be."""
    local = (postings & np.uint64(0xFFFF)).astype(np.int64)
    keep = is_new[local]
    kept: U64 = postings[keep] & ~np.uint64(0xFFFF) | numbers[local[keep]]
    return kept


def _try_unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        # Windows: a reader has it open. The next writer clears it.
        return


def _locked(path: Path) -> sqlite3.Connection:
    """The right to write, held until the connection is closed or the process ends, however it ends.

    SQLite's own file locks, because they are there on every system. Raises `IndexBusyError`.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        connection.close()
        raise IndexBusyError(
            f"{path.parent}: another process is writing to this index; wait for it to end"
        ) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise no_index(path, error) from error
    return connection
