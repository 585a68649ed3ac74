"""Segments: immutable files of sorted postings. Their layout, and reading them.

    header     64 bytes: magic, version, channel, number of postings, first and last content, bucket bits
    postings   [N] of w bits: low bits of the fingerprint << c | content - first content, sorted in a bucket
    starts     [2^b + 1]: where the bucket of each high b bits of a fingerprint begins
    padding    8 bytes
    checksums  the CRC-32 of each 4,096 bytes before (`checked_file`)

All little-endian and bit-packed (`packed`): c bits are what the contents of this segment need, w is
c + 48 - b. A bucket holds about 64 postings, so that a posting costs about six bytes, and one twice
as large costs no more: what the contents gain in bits, the fingerprints lose.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attribution.errors import IndexDamagedError, IndexFormatError
from attribution.store.embedded.checked_file import REMEDY, CheckedBytes, file_bytes
from attribution.tokens.arrays import ranges
from attribution.tokens.fingerprint import FINGERPRINT_BITS, Channel
from attribution.tokens.lexer import U64, Ints
from attribution.tokens.packed import MAX_BITS, PADDING, PackedArray, packed_bytes

# Of the file's layout; `fingerprint.FORMAT_VERSION` says what the fingerprints in it mean.
SEGMENT_VERSION = 3
_MAGIC = b"SCATTRIB"
HEADER = struct.Struct("<8sIIQQQB23x")
_BUCKET_POSTINGS_BITS = 6
# A writer counts the postings of each bucket in memory.
_MAX_BUCKET_BITS = 24
# Of a bucket, this many postings are compared rather than searched.
_READ_AT_ONCE = 128

# (fingerprints, contents) of as many postings, sorted by both.
Postings = tuple[U64, U64]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A segment file as the catalogue remembers it; `crc32` is of all but the header, then the header."""

    file: str
    channel: Channel
    postings: int
    disk_bytes: int
    crc32: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a segment's numbers are packed."""

    channel: Channel
    count: int
    first_content: int
    last_content: int
    bucket_bits: int

    @classmethod
    def fitting(cls, channel: Channel, at_most: int, first_content: int, last_content: int) -> Layout:
        """The layout of at most so many postings; their `count` is known once they are written."""
        content_bits = (last_content - first_content).bit_length()
        wanted = min(at_most.bit_length() - _BUCKET_POSTINGS_BITS, _MAX_BUCKET_BITS)
        bucket_bits = max(wanted, FINGERPRINT_BITS + content_bits - MAX_BITS, 0)
        return cls(
            channel=channel,
            count=at_most,
            first_content=first_content,
            last_content=last_content,
            bucket_bits=bucket_bits,
        )

    @property
    def low_bits(self) -> int:
        """The bits of a fingerprint that its bucket does not say."""
        return FINGERPRINT_BITS - self.bucket_bits

    @property
    def content_bits(self) -> int:
        """What tells the contents of this segment apart."""
        return (self.last_content - self.first_content).bit_length()

    @property
    def posting_bits(self) -> int:
        """One posting."""
        return self.low_bits + self.content_bits

    @property
    def start_bits(self) -> int:
        """The bits of any number of postings up to all of them."""
        return max(self.count.bit_length(), 1)

    @property
    def buckets(self) -> int:
        """How many there are."""
        return 1 << self.bucket_bits

    @property
    def starts_byte(self) -> int:
        """Where the starts begin in the file."""
        return HEADER.size + packed_bytes(self.count, self.posting_bits)

    @property
    def body_bytes(self) -> int:
        """The size of what the checksums are of."""
        return self.starts_byte + packed_bytes(self.buckets + 1, self.start_bits) + len(PADDING)

    @property
    def disk_bytes(self) -> int:
        """The size of the file."""
        return file_bytes(self.body_bytes)

    def header(self) -> bytes:
        """The first bytes of the file."""
        return HEADER.pack(
            _MAGIC,
            SEGMENT_VERSION,
            self.channel,
            self.count,
            self.first_content,
            self.last_content,
            self.bucket_bits,
        )

    def packed(self, fingerprints: U64, contents: U64) -> U64:
        """[N] postings as numbers."""
        lows = fingerprints & np.uint64((1 << self.low_bits) - 1)
        return lows << np.uint64(self.content_bits) | (contents - np.uint64(self.first_content))


class SegmentFile:
    """A segment file, open for reading. Raises `IndexDamagedError` or `IndexFormatError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._layout = layout = _read_layout(path)
        words = CheckedBytes(path, layout.body_bytes).words
        self.channel = layout.channel
        self._postings = PackedArray(words, HEADER.size, layout.count, layout.posting_bits)
        self._starts = PackedArray(words, layout.starts_byte, layout.buckets + 1, layout.start_bits)

    def __len__(self) -> int:
        return self._layout.count

    @property
    def content_range(self) -> tuple[int, int]:
        """Its first and last content."""
        return self._layout.first_content, self._layout.last_content

    def find(self, fingerprints: U64) -> tuple[Ints, Ints]:
        """[Q] first and last + 1 posting of each fingerprint (equal where there is none)."""
        first = self._lower_bound(fingerprints)
        # Few are there, and only those have an end worth looking for.
        last = first.copy()
        inside = np.flatnonzero(first < len(self))
        hits = inside[self._lows(first[inside]) == fingerprints[inside] & self._low_mask]
        last[hits] = self._lower_bound(fingerprints[hits] + np.uint64(1))
        return first, last

    def contents(self, at: Ints) -> U64:
        """[Q] the contents of the postings at these positions."""
        mask = np.uint64((1 << self._layout.content_bits) - 1)
        return (self._postings[at] & mask) + np.uint64(self._layout.first_content)

    def part(self, first_fingerprint: int, last_fingerprint: int) -> Postings:
        """All postings of the fingerprints first to last, the last included."""
        bounds = np.array([first_fingerprint, last_fingerprint], dtype=np.uint64)
        first, last = self._lower_bound(bounds + np.array([0, 1], dtype=np.uint64)).tolist()
        low_bucket, high_bucket = (bounds >> np.uint64(self._layout.low_bits)).tolist()
        starts = self._starts.part(low_bucket, high_bucket + 2).astype(np.int64)
        bounded = np.clip(starts, first, last)
        sizes = bounded[1:] - bounded[:-1]
        buckets = np.repeat(np.arange(low_bucket, high_bucket + 1, dtype=np.uint64), sizes)
        at = np.arange(first, last)
        return buckets << np.uint64(self._layout.low_bits) | self._lows(at), self.contents(at)

    @property
    def _low_mask(self) -> np.uint64:
        return np.uint64((1 << self._layout.low_bits) - 1)

    def _lows(self, at: Ints) -> U64:
        return self._postings[at] >> np.uint64(self._layout.content_bits)

    def _lower_bound(self, fingerprints: U64) -> Ints:
        """[Q] the first posting of each fingerprint or a larger one; 2^48 is larger than all."""
        buckets = (fingerprints >> np.uint64(self._layout.low_bits)).astype(np.int64)
        last_bucket = self._layout.buckets
        low = self._starts[np.minimum(buckets, last_bucket)].astype(np.int64)
        high = self._starts[np.minimum(buckets + 1, last_bucket)].astype(np.int64)
        lows = fingerprints & self._low_mask
        # Buckets are small, but for those of what stands in every other file.
        while (wide := np.flatnonzero(high - low > _READ_AT_ONCE)).size:
            middle = (low[wide] + high[wide]) >> 1
            before = self._lows(middle) < lows[wide]
            low[wide[before]] = middle[before] + 1
            high[wide[~before]] = middle[~before]
        owners = np.repeat(np.arange(len(low)), high - low)
        before = self._lows(ranges(low, high)) < lows[owners]
        smaller: Ints = np.bincount(owners[before], minlength=len(low))
        return low + smaller


def segment_problem(path: Path, crc32: int) -> str | None:
    """What is wrong with a segment's file, if anything."""
    try:
        with path.open("rb") as stream:
            header = stream.read(HEADER.size)
            found = 0
            while block := stream.read(1 << 22):
                found = zlib.crc32(block, found)
    except OSError as error:
        return f"{path.name}: cannot be read: {error.strerror}"
    if zlib.crc32(header, found) == crc32:
        return None
    return f"{path.name}: its content has changed since it was written"


def _read_layout(path: Path) -> Layout:
    try:
        with path.open("rb") as stream:
            fields = HEADER.unpack(stream.read(HEADER.size))
    except (OSError, struct.error) as error:
        raise IndexDamagedError(f"{path}: cannot read this part of the index: {error}; {REMEDY}") from error
    magic, version, channel, count, first, last, bucket_bits = fields
    if magic != _MAGIC or version != SEGMENT_VERSION:
        raise IndexFormatError(
            f"{path}: not a segment of version {SEGMENT_VERSION}; build the index again with this program"
        )
    try:
        return Layout(
            channel=Channel(channel),
            count=count,
            first_content=first,
            last_content=last,
            bucket_bits=bucket_bits,
        )
    except ValueError as error:
        raise IndexDamagedError(f"{path}: {error}; {REMEDY}") from error
