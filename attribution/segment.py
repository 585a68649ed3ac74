"""Segments: immutable files of postings, sorted, memory-mapped; written whole and merged like an LSM tree.

    header     64 bytes: magic, format version, channel, number of postings
    postings   [N] u64: low 32 bits of the fingerprint << 32 | content, sorted within a bucket
    starts     [65,537] u64: where the bucket of each high 16 bits of a fingerprint begins

All little-endian. Eight bytes a posting; a look-up touches one page of `starts` and one or two of
`postings`.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from attribution.errors import IndexDamagedError, IndexFormatError
from attribution.fingerprint import FINGERPRINT_BITS, FORMAT_VERSION, Channel
from attribution.lexer import U64, Ints

_MAGIC = b"SCATTRIB"
_HEADER = struct.Struct("<8sIIQ40x")
BUCKET_BITS = 16
_BUCKETS = 1 << BUCKET_BITS
_LOW_BITS = np.uint64(FINGERPRINT_BITS - BUCKET_BITS)
_LOW_MASK = np.uint64((1 << 32) - 1)
_MERGE_POSTINGS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Written:
    """A segment file as the catalogue remembers it."""

    file: str
    channel: Channel
    postings: int
    disk_bytes: int
    crc32: int


class Segment:
    """A segment file, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                header = stream.read(_HEADER.size)
            magic, version, channel, count = _HEADER.unpack(header)
        except (OSError, struct.error) as error:
            raise IndexDamagedError(f"{path}: cannot read this part of the index: {error}") from error
        if magic != _MAGIC or version != FORMAT_VERSION:
            raise IndexFormatError(
                f"{path}: not a segment of format {FORMAT_VERSION}; build the index again with this version"
            )
        expected = _HEADER.size + 8 * (count + _BUCKETS + 1)
        if path.stat().st_size != expected:
            raise IndexDamagedError(
                f"{path}: {path.stat().st_size} bytes, not {expected}; build the index again"
            )
        self.channel = Channel(channel)
        everything = np.memmap(path, dtype="<u8", mode="r", offset=_HEADER.size)
        self.postings: U64 = everything[:count]
        self.starts: U64 = everything[count:]

    def find(self, fingerprints: U64) -> tuple[Ints, Ints]:
        """[Q] first and last + 1 posting of each fingerprint (equal where there is none)."""
        buckets = (fingerprints >> _LOW_BITS).astype(np.int64)
        lows = (fingerprints & _LOW_MASK) << np.uint64(32)
        low = self.starts[buckets].astype(np.int64)
        high = self.starts[buckets + 1].astype(np.int64)
        first = _bisect(self.postings, low, high, lows)
        last = first.copy()
        inside = np.flatnonzero(first < high)
        hits = inside[(self.postings[first[inside]] >> np.uint64(32)) == fingerprints[inside] & _LOW_MASK]
        # From the last posting that the fingerprint could have: low bits set, one further.
        last[hits] = _bisect(self.postings, first[hits], high[hits], lows[hits] | _LOW_MASK, right=True)
        return first, last

    def contents(self, first: int, last: int) -> U64:
        """The contents of the postings [first, last)."""
        return self.postings[first:last] & _LOW_MASK

    def check(self, crc32: int) -> str | None:
        """What is wrong with the file, if anything."""
        with self.path.open("rb") as stream:
            found = 0
            while block := stream.read(1 << 22):
                found = zlib.crc32(block, found)
        return None if found == crc32 else f"{self.path.name}: its content has changed since it was written"


def _bisect(values: U64, low: Ints, high: Ints, wanted: U64, *, right: bool = False) -> Ints:
    """Binary searches for all of `wanted` at once, each between its own bounds."""
    low, high = low.copy(), high.copy()
    if not len(values):
        return low
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) >> 1
        found = values[middle]
        before = found <= wanted[open_] if right else found < wanted[open_]
        low[open_[before]] = middle[before] + 1
        high[open_[~before]] = middle[~before]
    return low


def write_segment(folder: Path, name: str, channel: Channel, keys: U64, contents: Ints) -> Written:
    """Write sorted `fingerprint << 16 | number` keys, `contents[number]` being the content's id."""
    records = (keys >> np.uint64(16)) << np.uint64(32) | contents[
        (keys & np.uint64(0xFFFF)).astype(np.int64)
    ].astype(np.uint64)
    starts = np.searchsorted(keys, np.arange(_BUCKETS, dtype=np.uint64) << np.uint64(48))
    return _write(folder, name, channel, iter([records]), np.append(starts, len(keys)).astype(np.uint64))


def merge_segments(
    folder: Path, name: str, segments: Sequence[Segment], dead: npt.NDArray[np.uint64]
) -> Written:
    """Join segments of one channel into one, without the postings of `dead` contents (sorted)."""
    counts = np.zeros(_BUCKETS, dtype=np.uint64)
    for buckets, records in _merged(segments, dead):
        counts[buckets] = [len(part) for part in records]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    pieces = (np.concatenate(records) for _, records in _merged(segments, dead) if records)
    return _write(folder, name, segments[0].channel, pieces, starts)


def _merged(segments: Sequence[Segment], dead: U64) -> Iterator[tuple[list[int], list[U64]]]:
    """Non-empty buckets in order, several at a time, with their postings from all segments."""
    sizes = sum(np.diff(segment.starts).astype(np.int64) for segment in segments)
    filled = np.flatnonzero(sizes)
    if not len(filled):
        return
    groups = np.cumsum(np.asarray(sizes)[filled]) // _MERGE_POSTINGS
    for group in np.split(filled, np.flatnonzero(np.diff(groups)) + 1):
        yield group.tolist(), [_bucket(segments, bucket, dead) for bucket in group.tolist()]


def _bucket(segments: Sequence[Segment], bucket: int, dead: U64) -> U64:
    parts = [
        segment.postings[int(segment.starts[bucket]) : int(segment.starts[bucket + 1])]
        for segment in segments
    ]
    records = np.sort(np.concatenate(parts))
    return records[~np.isin(records & _LOW_MASK, dead)] if len(dead) else records


def _write(folder: Path, name: str, channel: Channel, pieces: Iterator[U64], starts: U64) -> Written:
    """Write under another name, flush to the disk, then rename: a file is there whole or not at all."""
    count = int(starts[-1])
    temporary = folder / f"{name}.part"
    with temporary.open("wb") as stream:
        crc = _put(stream, _HEADER.pack(_MAGIC, FORMAT_VERSION, channel, count), 0)
        for piece in pieces:
            crc = _put(stream, piece.astype("<u8", copy=False).tobytes(), crc)
        crc = _put(stream, starts.astype("<u8", copy=False).tobytes(), crc)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / name)
    return Written(
        file=name,
        channel=channel,
        postings=count,
        disk_bytes=_HEADER.size + 8 * (count + len(starts)),
        crc32=crc,
    )


def _put(stream: BinaryIO, block: bytes, crc: int) -> int:
    stream.write(block)
    return zlib.crc32(block, crc)
