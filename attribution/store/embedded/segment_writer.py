"""Writing segments: of what a commit brings, and of other segments (merged like an LSM tree).

A file is written under another name and renamed when all of it is on the disk. Nothing of its size
is held in memory but a count for each bucket.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from attribution.store.embedded.checked_file import checksums
from attribution.store.embedded.folder import CATALOGUE
from attribution.store.embedded.segment import HEADER, Layout, Postings, SegmentFile, Written
from attribution.tokens.fingerprint import FINGERPRINT_BITS, Channel
from attribution.tokens.lexer import U64, Ints
from attribution.tokens.packed import GROUP, PADDING, pack
from model.local.private import private_files

_MERGE_POSTINGS = 1 << 21


def write_segment(folder: Path, name: str, channel: Channel, keys: U64, contents: Ints) -> Written:
    """Write sorted `fingerprint << 16 | number` keys; `contents[number]`, ascending, is the content's id."""
    ids = contents[(keys & np.uint64(0xFFFF)).astype(np.int64)].astype(np.uint64)
    layout = Layout.fitting(channel, len(keys), int(contents[0]), int(contents[-1]))
    return _write(folder, name, layout, [(keys >> np.uint64(16), ids)])


def merge_segments(folder: Path, name: str, segments: Sequence[SegmentFile], dead: U64) -> Written:
    """Join segments of one channel, whose contents ascend, without the postings of `dead` contents."""
    ranges = [segment.content_range for segment in segments]
    at_most = sum(len(segment) for segment in segments)
    layout = Layout.fitting(segments[0].channel, at_most, ranges[0][0], ranges[-1][1])
    return _write(folder, name, layout, _merged(segments, at_most, dead))


def _merged(segments: Sequence[SegmentFile], postings: int, dead: U64) -> Iterator[Postings]:
    """The postings of all segments in order, about `_MERGE_POSTINGS` at a time (hashes are even)."""
    piece_bits = FINGERPRINT_BITS - (postings // _MERGE_POSTINGS).bit_length()
    for first in range(0, 1 << FINGERPRINT_BITS, 1 << piece_bits):
        parts = [segment.part(first, first + (1 << piece_bits) - 1) for segment in segments]
        fingerprints = np.concatenate([part[0] for part in parts])
        contents = np.concatenate([part[1] for part in parts])
        # Stable: of the same fingerprint, the segments' order is the contents' order.
        order = np.argsort(fingerprints, kind="stable")
        if len(dead):
            order = order[~np.isin(contents[order], dead)]
        yield fingerprints[order], contents[order]


def _write(folder: Path, name: str, layout: Layout, pieces: Iterable[Postings]) -> Written:
    """Write under another name, flush to the disk, then rename: a file is there whole or not at all."""
    temporary = folder / f"{name}.part"
    with private_files(), temporary.open("w+b") as stream:
        stream.write(bytes(HEADER.size))
        layout, crc = _write_body(stream, layout, pieces)
        stream.seek(0)
        stream.write(layout.header())
        table = checksums(stream)
        crc = _put(stream, table, crc)
        stream.flush()
        os.fsync(stream.fileno())
    if (catalogue := folder.parent / CATALOGUE).is_file():  # a user may have opened the index to others
        shutil.copymode(catalogue, temporary)
    temporary.replace(folder / name)
    return Written(
        file=name,
        channel=layout.channel,
        postings=layout.count,
        disk_bytes=layout.disk_bytes,
        crc32=zlib.crc32(layout.header(), crc),
    )


def _write_body(stream: BinaryIO, layout: Layout, pieces: Iterable[Postings]) -> tuple[Layout, int]:
    """Everything behind the header; the layout with the number of postings, and the crc32."""
    counts = np.zeros(layout.buckets + 1, dtype=np.int64)
    left = np.empty(0, dtype=np.uint64)
    crc = 0
    for fingerprints, contents in pieces:
        _count(counts[1:], (fingerprints >> np.uint64(layout.low_bits)).astype(np.int64))
        values = np.concatenate([left, layout.packed(fingerprints, contents)])
        # Packed pieces join where a whole number of groups ends.
        whole = len(values) - len(values) % GROUP
        crc = _put(stream, pack(values[:whole], layout.posting_bits), crc)
        left = values[whole:]
    crc = _put(stream, pack(left, layout.posting_bits), crc)
    starts = np.cumsum(counts)
    layout = replace(layout, count=int(starts[-1]))
    crc = _put(stream, pack(starts.astype(np.uint64), layout.start_bits) + PADDING, crc)
    return layout, crc


def _count(counts: Ints, buckets: Ints) -> None:
    """Add the sizes of the buckets, which ascend, to `counts`."""
    if len(buckets):
        sizes = np.bincount(buckets - buckets[0])
        counts[buckets[0] : buckets[0] + len(sizes)] += sizes


def _put(stream: BinaryIO, block: bytes, crc: int) -> int:
    stream.write(block)
    return zlib.crc32(block, crc)
