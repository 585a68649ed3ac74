"""MinHash signatures of texts: 256 permutations over 5-grams of words.

As in StarCoder's preprocessing (arXiv 2305.06161, §3.4): words are what stands between
`[^A-Za-z_0-9]`, and two texts are near duplicates from a Jaccard similarity of .7 of their 5-grams
on; the share of equal places of two signatures estimates it. All hashes are seeded and ours: the
same on every machine. Knows nothing of files and of what becomes of duplicates.

S signature places (permutations) · G distinct 5-grams of a document · N bytes of a text
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from attribution.tokens.lexer import U64

PERMUTATIONS = 256
NGRAM_WORDS = 5
JACCARD_MIN = 0.7
_SEED = 42
_CHUNK_GRAMS = 1024  # 1024 × 256 × 4 bytes = 1 MiB, stays in the L2 cache
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's finalizer
_BASE = 0x9E3779B97F4A7C15  # of the words' polynomial; odd, hence invertible modulo 2**64
_WORD_BYTES = np.zeros(256, dtype=bool)
_WORD_BYTES[np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789", np.uint8)] = (
    True
)

Signature = npt.NDArray[np.uint32]


def signature(text: str) -> Signature | None:
    """The signature [S] of a text, or None of one without words."""
    grams = gram_hashes(text)
    return signature_of_grams(grams) if grams.size else None


def signature_of_grams(grams: U64) -> Signature:
    """The minimum of each permutation over the grams: [G] -> [S].

    A permutation is x -> a·x + b modulo 2**32 with odd a, of the well mixed upper half of a gram.
    """
    multiply, add = _permutations()
    halves = (grams >> np.uint64(32)).astype(np.uint32)  # [G]
    lowest = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)  # [S]
    for start in range(0, halves.size, _CHUNK_GRAMS):
        chunk = halves[None, start : start + _CHUNK_GRAMS]  # [1, ≤ 1024]
        np.minimum(lowest, (chunk * multiply + add).min(axis=1), out=lowest)
    return lowest


def similarity(one: Signature, other: Signature) -> float:
    """The estimated Jaccard similarity of two texts: the share of equal places."""
    return float(np.count_nonzero(one == other)) / PERMUTATIONS


def gram_hashes(text: str) -> U64:
    """Distinct 64-bit hashes of a text's word 5-grams [G]; a text with fewer words is one gram."""
    words = word_hashes(text.encode("utf-8", errors="surrogatepass"))
    if not words.size:
        return words
    if words.size < NGRAM_WORDS:
        words = np.concatenate([words, np.zeros(NGRAM_WORDS - words.size, dtype=np.uint64)])
    count = words.size - NGRAM_WORDS + 1
    grams = np.zeros(count, dtype=np.uint64)  # [grams]
    for place in range(NGRAM_WORDS):
        grams = _mixed(grams + words[place : place + count] + np.uint64(1))
    return np.unique(grams)


def word_hashes(data: bytes) -> U64:
    """A 64-bit hash of every word, in the text's order.

    A word's hash is its bytes as the digits of a number in a large base, modulo 2**64: differences
    of running sums, scaled back to the word's start.
    """
    raw = np.frombuffer(data, dtype=np.uint8)  # [N]
    is_word = np.zeros(raw.size + 2, dtype=bool)
    is_word[1:-1] = _WORD_BYTES[raw]
    edges = np.flatnonzero(is_word[1:] != is_word[:-1])  # starts and ends in turn
    starts, ends = edges[::2], edges[1::2]
    if not starts.size:
        return np.empty(0, dtype=np.uint64)
    powers, inverses = _powers(1 << max(16, raw.size.bit_length()))
    sums = np.zeros(raw.size + 1, dtype=np.uint64)
    np.cumsum((raw.astype(np.uint64) + np.uint64(1)) * powers[: raw.size], out=sums[1:])
    # The length keeps apart what only differs in bytes that count as nothing.
    return _mixed((sums[ends] - sums[starts]) * inverses[starts] + (ends - starts).astype(np.uint64))


@lru_cache(maxsize=1)
def _permutations() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    random = np.random.default_rng(_SEED)
    multiply = random.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    add = random.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    return multiply[:, None], add[:, None]  # [S, 1] each


@lru_cache(maxsize=8)
def _powers(size: int) -> tuple[U64, U64]:
    """The base's powers 0 to `size` - 1, and their inverses, modulo 2**64."""
    return _powers_of(_BASE, size), _powers_of(pow(_BASE, -1, 1 << 64), size)


def _powers_of(base: int, size: int) -> U64:
    factors = np.full(size, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _mixed(values: U64) -> U64:
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    mixed: U64 = values ^ (values >> np.uint64(31))
    return mixed
