"""A portrait of a training set: small enough to ship with a model; it says "seen", but not where.

The winnowed fingerprints of all texts as a set of shortened hashes: two bytes each. A copy of 32
tokens or more is always recognised. Well under 1 % of checks of unseen code answer "seen" in error:
`bits` grows with the set, so that a fingerprint of unseen code hits one time in 2,000.

    header   32 bytes: magic, format version, bucket bits, number of fingerprints
    counts   [2^bucket_bits] u16: how many fingerprints each bucket has
    rest     [N] u16: the 16 bits behind the bucket's, sorted within a bucket

All little-endian. A portrait is no index: it holds neither texts nor names, and nothing can be removed.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from attribution.errors import PortraitError
from attribution.source import SourceDocument, Span, span_in
from attribution.tokens.fingerprint import (
    FINGERPRINT_BITS,
    FORMAT_VERSION,
    WINNOWING,
    Channel,
    all_fingerprints,
    positions_of,
    winnow,
    winnow_batch,
)
from attribution.tokens.lexer import U64, lex, lex_batch

# In the folder of a model: what it was trained on, a line a document, and the portrait of that.
DOCUMENTS = "documents.jsonl.gz"
PORTRAIT = "portrait.bin"
_HELD_OUT = b'"split": "held-out"'
_MAGIC = b"SCPORTRA"
_HEADER = struct.Struct("<8sIIQ8x")
_REST_BITS = 16
# A fingerprint of unseen code hits this often at most; a check of 20 lines asks for about 16.
MAX_HIT_RATE = 1 / 2000
_K = WINNOWING[Channel.TEXT].k


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How much of a text the training set holds: of its `asked` fingerprints, `hits` are in it.

    `spans` are the places of the k-grams that hit, joined as one copy has them, and `span_tokens`
    their lengths. One gram of 12 tokens is often an idiom of many code bases.
    """

    asked: int
    hits: int
    spans: tuple[Span, ...]
    span_tokens: tuple[int, ...]

    @property
    def share(self) -> float:
        """The share of the fingerprints that are in it, 0 to 1."""
        return self.hits / self.asked if self.asked else 0.0

    @property
    def copies(self) -> tuple[tuple[Span, int], ...]:
        """The spans that are more than idioms, with their tokens: as long as what is always recognised."""
        least = WINNOWING[Channel.TEXT].guaranteed_tokens
        both = zip(self.spans, self.span_tokens, strict=True)
        return tuple((span, tokens) for span, tokens in both if tokens >= least)

    @property
    def copied(self) -> bool:
        """Whether what hits is more than an idiom."""
        return bool(self.copies)


class Portrait:
    """A portrait file in memory."""

    def __init__(self, counts: npt.NDArray[np.uint16], rest: npt.NDArray[np.uint16]) -> None:
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._rest = rest
        self._bucket_bits = len(counts).bit_length() - 1

    def __len__(self) -> int:
        """How many fingerprints it holds (those that became equal when shortened count once)."""
        return len(self._rest)

    @property
    def hit_rate(self) -> float:
        """How often a fingerprint that is not in it is taken for one that is."""
        return len(self._rest) / (1 << (self._bucket_bits + _REST_BITS))

    @classmethod
    def load(cls, path: Path) -> Portrait:
        """Read a portrait; raises `PortraitError`."""
        try:
            data = path.read_bytes()
            magic, version, bits, count = _HEADER.unpack_from(data)
        except (OSError, struct.error) as error:
            raise PortraitError(f"{path}: cannot read this portrait: {error}") from error
        if magic != _MAGIC or version != FORMAT_VERSION:
            raise PortraitError(f"{path}: not a portrait of format {FORMAT_VERSION}; make it again")
        if len(data) != _HEADER.size + 2 * ((1 << bits) + count):
            raise PortraitError(f"{path}: truncated; fetch or make it again")
        values = np.frombuffer(data, dtype="<u2", offset=_HEADER.size)
        return cls(values[: 1 << bits], values[1 << bits :])

    def contains(self, fingerprints: U64) -> npt.NDArray[np.bool_]:
        """[Q] whether each fingerprint is in the set (or, seldom, seems to be)."""
        buckets, wanted = _shortened(fingerprints, self._bucket_bits)
        found = np.zeros(len(fingerprints), dtype=bool)
        for at, (bucket, rest) in enumerate(zip(buckets.tolist(), wanted.tolist(), strict=True)):
            part = self._rest[self._starts[bucket] : self._starts[bucket + 1]]
            place = int(np.searchsorted(part, rest))
            found[at] = place < len(part) and int(part[place]) == rest
        return found

    def check(self, text: bytes) -> Seen:
        """How much of a text is in the set, by its winnowed fingerprints."""
        tokens = lex(text)
        asked = winnow(tokens, Channel.TEXT)
        hits = asked[self.contains(asked)]
        at = positions_of(all_fingerprints(tokens, Channel.TEXT), hits)
        places = list(_joined(at))
        spans = (
            span_in(text, int(tokens.starts[first]), int(tokens.ends[last - 1])) for first, last in places
        )
        return Seen(
            asked=len(asked),
            hits=len(hits),
            spans=tuple(spans),
            span_tokens=tuple(last - first for first, last in places),
        )


def trained_documents(folder: Path) -> int:
    """How many documents a model was trained on, by the list beside its portrait; 0 without one."""
    listing = folder / DOCUMENTS
    if not listing.is_file():
        return 0
    with gzip.open(listing) as lines:
        return sum(_HELD_OUT not in line for line in lines)


def build_portrait(documents: Iterable[SourceDocument], path: Path) -> Portrait:
    """Make the portrait of a set of documents and write it; the same documents give the same bytes."""
    from attribution.store.prepare import (
        batches,  # needs the extra `attribution`; reading a portrait does not
    )

    parts = [_fingerprints(group) for group in batches(documents)]
    fingerprints = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.uint64)
    bits = _bucket_bits(len(fingerprints))
    buckets, rest = _shortened(fingerprints, bits)
    # Sorted by fingerprint, hence by bucket and rest; what became equal stands next to its like.
    first = np.ones(len(rest), dtype=bool)
    first[1:] = (np.diff(buckets) != 0) | (np.diff(rest.astype(np.int64)) != 0)
    counts = np.bincount(buckets[first], minlength=1 << bits)
    if counts.max(initial=0) > np.iinfo(np.uint16).max:
        raise PortraitError(f"{path}: {len(fingerprints)} fingerprints are too many for a portrait")
    values = np.concatenate([counts, rest[first]]).astype("<u2")
    header = _HEADER.pack(_MAGIC, FORMAT_VERSION, bits, int(first.sum()))
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_bytes(header + values.tobytes())
    temporary.replace(path)
    return Portrait.load(path)


def _fingerprints(documents: list[SourceDocument]) -> U64:
    batch = lex_batch([document.text for document in documents])
    return np.unique(winnow_batch(batch, Channel.TEXT) >> np.uint64(64 - FINGERPRINT_BITS))


def _bucket_bits(count: int) -> int:
    """As few bits as keep the rate of false hits."""
    bits = max(int(np.ceil(np.log2(max(count, 1) / MAX_HIT_RATE))), _REST_BITS) - _REST_BITS
    return min(bits, FINGERPRINT_BITS - _REST_BITS)


def _shortened(fingerprints: U64, bucket_bits: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """The high bits of fingerprints: bucket and rest."""
    short = fingerprints >> np.uint64(FINGERPRINT_BITS - bucket_bits - _REST_BITS)
    return (short >> np.uint64(_REST_BITS)).astype(np.int64), (short & np.uint64(0xFFFF)).astype(np.uint16)


def _joined(grams: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Token ranges of grams (sorted positions), joined as one copy would have them."""
    if not len(grams):
        return
    # In a copy, the next winnowed gram is at most a window away.
    breaks = np.flatnonzero(np.diff(grams) > WINNOWING[Channel.TEXT].window) + 1
    for part in np.split(grams, breaks):
        yield int(part[0]), int(part[-1]) + _K
