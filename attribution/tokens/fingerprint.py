"""From tokens to fingerprints: winnowing (Schleimer, Wilkerson, Aiken 2003, §3).

Of every `window` successive k-grams of tokens, the one with the smallest hash is kept. Two texts
that share `k + window - 1` tokens in a row share all k-grams of a window, hence its fingerprint.

Two channels: TEXT sees the tokens as they are (every copy of at least 32 tokens is found); SHAPE
sees every identifier as V and every number as N (copies of at least 64 tokens with other names).

A k-gram's hash is a polynomial over its tokens' hashes, mixed, of which 48 bits are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from attribution.tokens.lexer import U64, Ints, TokenBatch, Tokens, lex_batch, mixed, splitmix64
from attribution.tokens.shape import shape_hashes

# Of the hash, its seeds, the lexer and the parameters below: fingerprints of another version are useless.
FORMAT_VERSION = 1
FINGERPRINT_BITS = 48
# Documents of one batch are numbered in the bits that a fingerprint leaves free.
MAX_BATCH_DOCUMENTS = 1 << (64 - FINGERPRINT_BITS)
_BASE = splitmix64(0x4752_414D) | 1  # "GRAM"
_DROPPED_BITS = np.uint64(64 - FINGERPRINT_BITS)


class Channel(IntEnum):
    """What a fingerprint sees; the numbers are part of the index format."""

    TEXT = 0
    SHAPE = 1


@dataclass(frozen=True, kw_only=True)
class Winnowing:
    """k tokens a gram, windows of `window` grams."""

    k: int
    window: int

    @property
    def guaranteed_tokens(self) -> int:
        """The shortest run of equal tokens that always shares a fingerprint."""
        return self.k + self.window - 1


WINNOWING = {Channel.TEXT: Winnowing(k=12, window=21), Channel.SHAPE: Winnowing(k=32, window=33)}


def gram_hashes(hashes: U64, k: int) -> U64:
    """[N] token hashes to [max(N - k + 1, 0)] hashes of k tokens, 64 bits, by binary doubling."""
    count = len(hashes) - k + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    total: U64 | None = None
    part, length, taken = hashes, 1, 0
    while True:
        if k & length:
            piece = part[taken : taken + count]
            total = piece.copy() if total is None else total * _power(length) + piece
            taken += length
        if taken == k:
            assert total is not None
            return mixed(total)
        part = part[:-length] * _power(length) + part[length:]
        length *= 2


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_BASE, exponent, 1 << 64))


def all_fingerprints(tokens: Tokens, channel: Channel) -> U64:
    """The fingerprint of every k-gram of a text, [max(N - k + 1, 0)]: gram i starts at token i."""
    return gram_hashes(_seen(tokens, channel), WINNOWING[channel].k) >> _DROPPED_BITS


def winnow(tokens: Tokens, channel: Channel) -> U64:
    """The winnowed fingerprints of one text, sorted, each once."""
    batch = TokenBatch(tokens, np.array([0, len(tokens)]))
    return winnow_batch(batch, channel) >> _DROPPED_BITS


def fingerprint_texts(texts: Sequence[bytes], channels: Sequence[Channel]) -> list[U64]:
    """Per channel, the postings of at most 65,536 texts: `fingerprint << 16 | number of the text`."""
    batch = lex_batch(texts)
    return [winnow_batch(batch, channel) for channel in channels]


def winnow_batch(batch: TokenBatch, channel: Channel) -> U64:
    """Sorted, distinct `fingerprint << 16 | number of the text` of a batch of texts."""
    texts = len(batch.first) - 1
    if texts > MAX_BATCH_DOCUMENTS:
        raise ValueError(f"a batch of {texts} texts; at most {MAX_BATCH_DOCUMENTS} fit")
    sizes = WINNOWING[channel]
    grams = gram_hashes(_seen(batch.tokens, channel), sizes.k)
    gram_counts = np.maximum(np.diff(batch.first) - (sizes.k - 1), 0)
    picked, owners = _window_minima(grams, batch.first, gram_counts, sizes.window)
    short_picked, short_owners = _short_minima(grams, batch.first, gram_counts, sizes.window)
    values = np.concatenate([picked, short_picked])
    numbers = np.concatenate([owners, short_owners]).astype(np.uint64)
    return distinct((values >> _DROPPED_BITS) << _DROPPED_BITS | numbers)


def distinct(values: U64) -> U64:
    """Sorted and each once, in place where possible (`np.unique` is three times slower)."""
    values.sort()
    keep = np.empty(len(values), dtype=bool)
    keep[:1] = True
    np.not_equal(values[1:], values[:-1], out=keep[1:])
    return values[keep]


def _seen(tokens: Tokens, channel: Channel) -> U64:
    return tokens.hashes if channel is Channel.TEXT else shape_hashes(tokens)


def _window_minima(grams: U64, first: Ints, gram_counts: Ints, window: int) -> tuple[U64, Ints]:
    """The minima of all whole windows (of texts that have one) and the numbers of their texts."""
    minima = sliding_minimum(grams, window)
    inside = np.zeros(len(minima), dtype=bool)
    for text_first, windows in zip(first[:-1].tolist(), (gram_counts - window + 1).tolist(), strict=True):
        if windows > 0:
            inside[text_first : text_first + windows] = True
    # Neighbouring windows mostly share their minimum; before a text's first window stands one outside.
    inside[1:] &= (minima[1:] != minima[:-1]) | ~inside[:-1]
    at = np.flatnonzero(inside)
    return minima[at], np.searchsorted(first, at, side="right") - 1


def sliding_minimum(values: U64, window: int) -> U64:
    """[N] to [max(N - window + 1, 0)]: the minimum of every `window` values, by binary doubling."""
    count = len(values) - window + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    reached = 1
    while reached * 2 <= window:
        values = np.minimum(values[:-reached], values[reached:])
        reached *= 2
    return np.minimum(values[:count], values[window - reached : window - reached + count])


def _short_minima(grams: U64, first: Ints, gram_counts: Ints, window: int) -> tuple[U64, Ints]:
    """One fingerprint for each text that has grams, but fewer than a window of them."""
    short = np.flatnonzero((gram_counts > 0) & (gram_counts < window))
    minima = [grams[start : start + count].min() for start, count in _ranges(first, gram_counts, short)]
    return np.array(minima, dtype=np.uint64), short.astype(np.int64)


def _ranges(first: Ints, counts: Ints, chosen: Ints) -> list[tuple[int, int]]:
    return list(zip(first[chosen].tolist(), counts[chosen].tolist(), strict=True))


def positions_of(fingerprints: U64, wanted: U64) -> npt.NDArray[np.int64]:
    """Where in `fingerprints` a value of the sorted `wanted` stands."""
    if not len(wanted):
        return np.empty(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(wanted, fingerprints), len(wanted) - 1)
    return np.flatnonzero(wanted[at] == fingerprints)
