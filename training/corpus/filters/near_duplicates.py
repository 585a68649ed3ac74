"""From signatures to clusters of near duplicates: LSH of 25 bands × 10 rows, then union-find.

Documents whose signatures agree in a band's ten rows are candidates; a candidate counts only if
the signatures agree on .7 of all places. Clusters are the connected components of what counts, and
of each the document with the smallest label stays, as in StarCoder's preprocessing
(arXiv 2305.06161, §3.4), which joins candidates without that check.

Memory: a band's keys in slices of at most `max_keys`, and a few signatures; all else stays on disk.

S signature places · B bands · D documents
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from attribution.tokens.lexer import U64
from training.corpus.filters.minhash import JACCARD_MIN, PERMUTATIONS, Signature, _mixed

BANDS, ROWS = 25, 10
# 16 bytes each while they are sorted, and as much again for the order.
MAX_KEYS = 1 << 24
_BLOCK_DOCUMENTS = 1024  # signatures in memory at once: 1 MiB
# Documents of one bucket that resemble none of so many others stay apart in this band.
_MAX_FIRSTS = 32

I64 = npt.NDArray[np.int64]
# Document numbers [n] -> their signatures [n, S].
ReadSignatures = Callable[[I64], npt.NDArray[np.uint32]]


def band_keys(signature: Signature) -> U64:
    """One 64-bit key for each band's rows: [S] -> [B]."""
    rows = signature[: BANDS * ROWS].reshape(BANDS, ROWS).astype(np.uint64)  # [B, rows]
    keys = np.arange(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        keys = _mixed(keys + rows[:, row] + np.uint64(1))
    return keys


def pairs_of_band(
    keys: Callable[[], Iterator[tuple[I64, U64]]],
    count: int,
    read: ReadSignatures,
    *,
    max_keys: int = MAX_KEYS,
) -> Iterator[I64]:
    """Verified pairs [p, 2] of one band, (smaller, larger), bucket by bucket.

    `keys` starts a pass over (document numbers, their keys in this band); `count` bounds how many
    there are. With more than `max_keys` several passes are made, each over a slice of the keys.
    """
    for numbers, sorted_keys in _sorted_slices(keys, count, max_keys):
        for bucket in _runs(numbers, sorted_keys):
            yield from _resembling(bucket, read)


def equal_pairs(
    keys: Callable[[], Iterator[tuple[I64, U64]]], count: int, *, max_keys: int = MAX_KEYS
) -> Iterator[I64]:
    """Pairs [p, 2] of documents with the same key: exact duplicates."""
    for numbers, sorted_keys in _sorted_slices(keys, count, max_keys):
        for bucket in _runs(numbers, sorted_keys):
            yield np.stack([np.full(bucket.size - 1, bucket[0]), bucket[1:]], axis=1)


def components(count: int, parts: Iterable[I64]) -> I64:
    """The smallest member of each document's cluster: parts of pairs, [p, 2] each -> [D].

    Union-find without loops over pairs: every root is hooked onto the smallest root that it is
    paired with, and paths are halved until nothing changes (Shiloach and Vishkin 1982). One part
    is in memory at a time.
    """
    parent = np.arange(count, dtype=np.int64)
    for pairs in parts:
        while pairs.size:
            roots = parent[pairs]  # [p, 2]
            apart = roots[:, 0] != roots[:, 1]
            pairs, roots = pairs[apart], roots[apart]
            np.minimum.at(parent, roots.max(axis=1), roots.min(axis=1))
            parent = _halved(parent)
    return parent


def _halved(parent: I64) -> I64:
    """Every document's root."""
    while True:
        halved = parent[parent]
        if np.array_equal(halved, parent):
            return parent
        parent = halved


def _sorted_slices(
    keys: Callable[[], Iterator[tuple[I64, U64]]], count: int, max_keys: int
) -> Iterator[tuple[I64, U64]]:
    slices = max(1, -(-count // max_keys))
    for number in range(slices):
        parts = [_of_slice(ids, values, number, slices) for ids, values in keys()]
        ids = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, dtype=np.int64)
        values = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, dtype=np.uint64)
        del parts
        order = np.argsort(values, kind="stable")  # stable: numbers rise within a bucket
        yield ids[order], values[order]


def _of_slice(ids: I64, values: U64, number: int, slices: int) -> tuple[I64, U64]:
    if slices == 1:
        return ids, values
    chosen = values % np.uint64(slices) == number
    return ids[chosen], values[chosen]


def _runs(numbers: I64, keys: U64) -> Iterator[I64]:
    """The numbers of each run of at least two equal keys."""
    cuts = np.flatnonzero(np.diff(keys)) + 1
    starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [keys.size]])
    several = ends - starts > 1
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield numbers[start:end]


def _resembling(bucket: I64, read: ReadSignatures) -> Iterator[I64]:
    """Pairs of a bucket: each document with the first one before it that it resembles."""
    firsts: list[tuple[int, npt.NDArray[np.uint32]]] = []
    for start in range(0, bucket.size, _BLOCK_DOCUMENTS):
        rest = bucket[start : start + _BLOCK_DOCUMENTS]
        signatures = read(rest)  # [n, S]
        place = 0
        while rest.size:
            if place == len(firsts):
                if place == _MAX_FIRSTS:
                    break
                firsts.append((int(rest[0]), signatures[0]))
                rest, signatures = rest[1:], signatures[1:]
            number, first = firsts[place]
            alike = (signatures == first).sum(axis=1) >= JACCARD_MIN * PERMUTATIONS  # [n]
            yield np.stack([np.full(int(alike.sum()), number), rest[alike]], axis=1)
            rest, signatures = rest[~alike], signatures[~alike]
            place += 1
