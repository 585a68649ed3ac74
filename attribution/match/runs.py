"""Runs of equal tokens: where they are, and which of them follow each other.

Shared k-grams give diagonals (how much further a token stands in the source than in the query). On
a diagonal, runs are found by comparing, so they are maximal and a collision of hashes cannot survive.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from attribution.tokens.arrays import ranges
from attribution.tokens.fingerprint import WINNOWING, Channel, gram_hashes
from attribution.tokens.lexer import U64, Ints

# Shorter runs prove nothing by themselves, but hold a near match together.
SEED_TOKENS = WINNOWING[Channel.TEXT].k
MAX_GAP_TOKENS = 48
# An insertion lets the runs around it overlap by the tokens that happen to agree.
_OVERLAP_TOKENS = SEED_TOKENS // 2
# Tables repeat themselves on thousands of diagonals; the fullest ones suffice.
MAX_DIAGONALS = 64
MAX_PAIRS = 100_000
MAX_REPEATS = 32
MAX_RUNS = 1000
# So many pairs of tokens stay in a core's cache.
_COMPARED_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """`length` equal tokens in a row."""

    query_start: int
    source_start: int
    length: int

    @property
    def query_end(self) -> int:
        """One past the last token in the query."""
        return self.query_start + self.length

    @property
    def source_end(self) -> int:
        """One past the last token in the source."""
        return self.source_start + self.length


class SortedGrams:
    """The k-grams of a query's [N] token hashes, sorted once for all the sources that it is compared to.

    What repeats too often to know all pairs of is looked for on whole diagonals, unless `is_frugal`.
    """

    def __init__(self, hashes: U64, k: int, *, is_frugal: bool = False) -> None:
        self.hashes = hashes
        self.k = k
        self.is_frugal = is_frugal
        grams = gram_hashes(hashes, k)
        self._order = np.argsort(grams, kind="stable")
        self._ranked = grams[self._order]
        # A table of the low bits lets through few of a source's values; only those are searched for.
        self._has_low_bits = np.zeros(1 << 16, dtype=bool)
        self._has_low_bits[(grams & np.uint64(0xFFFF)).astype(np.uint16)] = True

    def shared(self, source: U64) -> tuple[Ints, Ints, bool]:
        """Positions of equal k-grams, and whether they are all pairs: of many, those of the first repeats."""
        grams = gram_hashes(source, self.k)
        maybe = np.flatnonzero(self._has_low_bits.take((grams & np.uint64(0xFFFF)).astype(np.uint16)))
        first = np.searchsorted(self._ranked, grams[maybe], side="left")
        counts = np.searchsorted(self._ranked, grams[maybe], side="right") - first
        is_complete = bool(counts.sum() <= MAX_PAIRS)
        if not is_complete:
            counts = np.minimum(counts, MAX_REPEATS)
            counts[_repeats(first) >= MAX_REPEATS] = 0
        return self._order[ranges(first, first + counts)], np.repeat(maybe, counts), is_complete


def shared_runs(
    query: SortedGrams, source: U64, *, only: Sequence[int] | None = None
) -> tuple[list[Run], list[int]]:
    """The maximal runs of at least k equal tokens, and their diagonals (source position - query position).

    Looked for on the fullest diagonals of shared k-grams, or on those of `only`.
    """
    query_at, source_at, is_complete = query.shared(source)
    if only is not None:
        kept = np.isin(source_at - query_at, only)
        query_at, source_at = query_at[kept], source_at[kept]
    values, inverse, counts = np.unique(source_at - query_at, return_inverse=True, return_counts=True)
    fullest = np.argsort(-counts, kind="stable")[:MAX_DIAGONALS]
    diagonals: list[int] = values[fullest].tolist()
    if is_complete or query.is_frugal:
        is_full = np.zeros(len(values), dtype=bool)
        is_full[fullest] = True
        kept = is_full[inverse]
        runs = _joined(query_at[kept], source_at[kept], query.k)
        if _are_equal(query.hashes, source, runs):
            return runs, diagonals
    # Not all pairs are known, or hashes of k-grams collided.
    return list(equal_runs(query.hashes, source, diagonals, query.k)), diagonals


def _joined(query_at: Ints, source_at: Ints, k: int) -> list[Run]:
    """Runs from the places of all their k-grams."""
    diagonals = source_at - query_at
    order = np.lexsort((query_at, diagonals))
    query_at, diagonals = query_at[order], diagonals[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (diagonals[1:] != diagonals[:-1]) | (query_at[1:] != query_at[:-1] + 1)
    first = np.flatnonzero(begins)
    lengths = np.diff(np.append(first, len(order))) + k - 1
    starts = query_at[first]
    sources = starts + diagonals[first]
    return [Run(*one) for one in zip(starts.tolist(), sources.tolist(), lengths.tolist(), strict=True)]


def _are_equal(query: U64, source: U64, runs: Sequence[Run]) -> bool:
    """Whether the tokens of the runs are the same: hashes of k-grams may collide."""
    if not runs:
        return True
    starts, sources, lengths = np.array([(run.query_start, run.source_start, run.length) for run in runs]).T
    ours, theirs = query[ranges(starts, starts + lengths)], source[ranges(sources, sources + lengths)]
    return bool((ours == theirs).all())


def _repeats(values: Ints) -> Ints:
    """[N] how many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    before = np.empty(len(values), dtype=np.int64)
    before[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    return before


def equal_runs(query: U64, source: U64, diagonals: Sequence[int], min_tokens: int) -> Iterator[Run]:
    """The maximal runs of at least `min_tokens` equal tokens, diagonal by diagonal."""
    if not len(query) or not len(source):
        return
    width = len(query) + 1
    for part in _pieces(diagonals, max(_COMPARED_AT_ONCE // width, 1)):
        at = np.arange(len(query)) + np.array(part)[:, np.newaxis]  # [D, Q] places in the source
        equal = np.zeros((len(part), width), dtype=np.int8)  # a run ends where its row does
        np.equal(source[np.clip(at, 0, len(source) - 1)], query, out=equal[:, :-1], casting="unsafe")
        equal[:, :-1] &= (at >= 0) & (at < len(source))
        edges = np.flatnonzero(np.diff(equal.reshape(-1), prepend=np.int8(0)))
        starts, lengths = edges[::2], edges[1::2] - edges[::2]
        long = lengths >= min_tokens
        rows, columns = np.divmod(starts[long], width)
        for row, column, length in zip(rows.tolist(), columns.tolist(), lengths[long].tolist(), strict=True):
            yield Run(column, column + part[row], length)


def _pieces(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def undominated(runs: Sequence[Run]) -> list[Run]:
    """The runs whose query tokens do not all lie in a longer run; repetitive code has thousands that do."""
    kept: list[Run] = []
    furthest = -1
    for run in sorted(runs, key=lambda run: (run.query_start, -run.length, run.source_start)):
        if run.query_end > furthest:
            kept.append(run)
            furthest = run.query_end
    return kept


def chains(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that follow each other in both texts with small gaps; each run in one chain, the longest first."""
    longest = sorted(runs, key=lambda run: (-run.length, run))[:MAX_RUNS]
    left = _Runs(longest)
    found = []
    for run in longest:
        if run in left:
            chain = [left.take(run)]
            while (after := left.after(chain[-1])) is not None:
                chain.append(left.take(after))
            while (before := left.before(chain[0])) is not None:
                chain.insert(0, left.take(before))
            found.append([chain[0], *_without_overlap(chain)])
    return found


class _Runs:
    """Runs that are in no chain yet, found by where they begin or end in the query."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._left = set(runs)
        self._by_start = sorted(runs)
        self._by_end = sorted(runs, key=lambda run: (run.query_end, run))

    def __contains__(self, run: Run) -> bool:
        return run in self._left

    def take(self, run: Run) -> Run:
        """Mark a run as part of a chain."""
        self._left.remove(run)
        return run

    def after(self, run: Run) -> Run | None:
        """The nearest run that follows."""
        first = bisect_left(self._by_start, run.query_end - _OVERLAP_TOKENS, key=_query_start)
        last = bisect_right(self._by_start, run.query_end + MAX_GAP_TOKENS, key=_query_start)
        return self._nearest((gap_between(run, other), other) for other in self._by_start[first:last])

    def before(self, run: Run) -> Run | None:
        """The nearest run that comes before."""
        first = bisect_left(self._by_end, run.query_start - MAX_GAP_TOKENS, key=_query_end)
        last = bisect_right(self._by_end, run.query_start + _OVERLAP_TOKENS, key=_query_end)
        return self._nearest((gap_between(other, run), other) for other in self._by_end[first:last])

    def _nearest(self, measured: Iterator[tuple[int | None, Run]]) -> Run | None:
        near = [(gap, other) for gap, other in measured if gap is not None and other in self._left]
        return min(near)[1] if near else None


def _query_start(run: Run) -> int:
    return run.query_start


def _query_end(run: Run) -> int:
    return run.query_end


def _without_overlap(chain: Sequence[Run]) -> Iterator[Run]:
    """The second to the last run, begun after the one before has ended on both sides."""
    end_query, end_source = chain[0].query_end, chain[0].source_end
    for run in chain[1:]:
        cut = max(end_query - run.query_start, end_source - run.source_start, 0)
        if cut < run.length:
            yield Run(run.query_start + cut, run.source_start + cut, run.length - cut)
            end_query, end_source = run.query_end, run.source_end


def gap_between(first: Run, second: Run) -> int | None:
    """How far `second` begins after `first`, summed over both texts; None where it does not, or too far."""
    query_gap = second.query_start - first.query_end
    source_gap = second.source_start - first.source_end
    if min(query_gap, source_gap) < -_OVERLAP_TOKENS or max(query_gap, source_gap) > MAX_GAP_TOKENS:
        return None
    return abs(query_gap) + abs(source_gap)
