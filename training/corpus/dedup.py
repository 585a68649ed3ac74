"""Exact and near duplicates. Near: MinHash over 5-grams of words, LSH of 25 bands × 10 rows.

Parameters as in StarCoder's preprocessing (arXiv 2305.06161, §3.4): split on `[^A-Za-z_0-9]`,
256 permutations, Jaccard .7. A candidate found by LSH counts only if the signatures agree on
.7 of their places. Greedy instead of union-find: a file is dropped when it resembles a *kept*
file, so the order of the stream decides which copy stays (held-out packages come first).
"""

from __future__ import annotations

import re
import zlib

import numpy as np
import numpy.typing as npt

# S signature places (permutations) · G distinct 5-grams of a document
PERMUTATIONS = 256
BANDS, ROWS = 25, 10
NGRAM_WORDS = 5
JACCARD_MIN = 0.7
_SEED = 42  # stored nowhere: signatures live only as long as one build
_CHUNK_GRAMS = 512  # 512 × 256 × 8 bytes = 1 MiB, stays in the L2 cache
_WORD = re.compile(rb"[A-Za-z_0-9]+")
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's finalizer

Signature = npt.NDArray[np.uint32]


class ExactDuplicates:
    """Remembers the SHA-256 of every text seen."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def seen(self, sha256_hex: str) -> bool:
        """Whether this hash came before; remembers it."""
        digest = bytes.fromhex(sha256_hex)
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False


class NearDuplicates:
    """An LSH index of the kept documents' signatures (1 KiB each)."""

    def __init__(self) -> None:
        random = np.random.default_rng(_SEED)
        self._multiply = random.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(
            1
        )
        self._add = random.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)
        self._signatures: list[Signature] = []
        self._buckets: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]

    def seen(self, text: str) -> bool:
        """Whether a kept document has an estimated Jaccard similarity ≥ .7; if none has, keep this one."""
        grams = gram_hashes(text)
        if grams.size == 0:
            return False
        signature = self._signature(grams)
        keys = [signature[band * ROWS : (band + 1) * ROWS].tobytes() for band in range(BANDS)]
        candidates = {
            other for key, bucket in zip(keys, self._buckets, strict=True) for other in bucket.get(key, ())
        }
        for other in sorted(candidates):
            if float(np.mean(signature == self._signatures[other])) >= JACCARD_MIN:
                return True
        self._keep(signature, keys)
        return False

    def _keep(self, signature: Signature, keys: list[bytes]) -> None:
        for key, bucket in zip(keys, self._buckets, strict=True):
            bucket.setdefault(key, []).append(len(self._signatures))
        self._signatures.append(signature)

    def _signature(self, grams: npt.NDArray[np.uint64]) -> Signature:
        """The minimum of each permutation over the grams [G] -> [S] uint32."""
        lowest = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)  # [S]
        for start in range(0, grams.size, _CHUNK_GRAMS):
            chunk = grams[start : start + _CHUNK_GRAMS, None]  # [≤ 512, 1]
            np.minimum(lowest, (chunk * self._multiply + self._add).min(axis=0), out=lowest)  # mod 2**64
        return (lowest >> np.uint64(32)).astype(np.uint32)


def gram_hashes(text: str) -> npt.NDArray[np.uint64]:
    """Distinct 64-bit hashes of a text's word 5-grams [G]; a text with fewer words is one gram."""
    words = [zlib.crc32(word) for word in _WORD.findall(text.encode())]
    if not words:
        return np.empty(0, dtype=np.uint64)
    words += [0] * (NGRAM_WORDS - len(words))
    codes = np.array(words, dtype=np.uint64)  # [words]
    count = codes.size - NGRAM_WORDS + 1
    grams = np.zeros(count, dtype=np.uint64)  # [grams]
    for place in range(NGRAM_WORDS):
        grams = _mixed(grams + codes[place : place + count] + np.uint64(1))
    return np.unique(grams)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    mixed: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
