"""From "they share fingerprints" to "these tokens here are those tokens there".

Shared k-grams give diagonals (how much further a token stands in the source than in the query). On
a diagonal, runs of equal tokens are found by comparing, so they are maximal and a collision of
fingerprints cannot survive. Runs that follow each other on nearby diagonals are chained, and what
lies between them is aligned by rapidfuzz (LCS). With names abstracted, a run may also be a renamed
copy: then its names must map one to one.

Knows tokens only: nothing of bytes, documents or indexes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import LCSseq

from attribution.fingerprint import WINNOWING, Channel, gram_hashes
from attribution.lexer import U64, Ints, Tokens
from attribution.renaming import is_renamed_copy
from attribution.shape import shape_hashes
from attribution.source import ALL_KINDS, Kind

# Shorter runs prove nothing by themselves, but hold a near match together.
SEED_TOKENS = WINNOWING[Channel.TEXT].k
MAX_GAP_TOKENS = 48
# An insertion lets the runs around it overlap by the tokens that happen to agree.
_OVERLAP_TOKENS = SEED_TOKENS // 2
# Beyond the ends of a chain, this many tokens are searched for more of the same.
MARGIN_TOKENS = 16
MIN_ANCHOR_TOKENS = 3
NEAR_SIMILARITY = 0.8
# Tables repeat themselves on thousands of diagonals; the fullest ones suffice.
MAX_DIAGONALS = 64
MAX_PAIRS = 100_000
MAX_REPEATS = 32
MAX_RUNS = 1000
# A weaker kind has to explain this much more than an exact run inside it to be worth saying instead.
MUCH_LONGER = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Tokens [query_start, query_end) of the query and [source_start, source_end) of the source.

    `tokens` of them are the same. For a kind of EXACT all are: the bytes between are not looked at
    here, so that EXACT stands for REFORMATTED too.
    """

    kind: Kind
    query_start: int
    query_end: int
    source_start: int
    source_end: int
    tokens: int

    @property
    def similarity(self) -> float:
        """Twice the same tokens by all tokens of both sides: 1 is equal."""
        return 2 * self.tokens / (self.query_end - self.query_start + self.source_end - self.source_start)


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


def align(
    query: Tokens,
    source: Tokens,
    *,
    min_tokens: int,
    kinds: frozenset[Kind] = ALL_KINDS,
    by_shape: bool = False,
) -> list[Alignment]:
    """All copies of at least `min_tokens` tokens, by their place in the query.

    `by_shape` also looks where only the shapes agree, which an index with the SHAPE channel finds.
    """
    diagonals = _diagonals(query.hashes, source.hashes, SEED_TOKENS)
    runs = [
        run
        for diagonal in diagonals
        for run in equal_runs(query.hashes, source.hashes, diagonal, SEED_TOKENS)
    ]
    whole = next((run for run in runs if run.length == len(query)), None)
    if whole is not None and len(query) >= min_tokens:
        return [_exact(whole)]
    found: list[Alignment] = []
    if Kind.RENAMED in kinds:
        found += _renamed(query, source, diagonals, min_tokens, by_shape=by_shape)
    if kinds & {Kind.EXACT, Kind.REFORMATTED, Kind.NEAR}:
        allow_near = Kind.NEAR in kinds
        for chain in chains(undominated(runs)) if allow_near else [[run] for run in runs]:
            found += _of_chain(query.hashes, source.hashes, chain, min_tokens, allow_near=allow_near)
    return sorted(_best(found), key=lambda alignment: (alignment.query_start, alignment.source_start))


def _best(found: Sequence[Alignment]) -> list[Alignment]:
    """Without those whose query tokens a longer one covers, or one as long and more equal."""
    exact = [one for one in found if one.kind is Kind.EXACT]
    kept: list[Alignment] = []
    for one in sorted(found, key=lambda a: (a.query_start - a.query_end, -a.tokens, a.source_start)):
        if one.kind is Kind.RENAMED and any(_says_as_much(other, one) for other in exact):
            continue
        if not any(k.query_start <= one.query_start and one.query_end <= k.query_end for k in kept):
            kept.append(one)
    return kept


def _says_as_much(exact: Alignment, renamed: Alignment) -> bool:
    inside = renamed.query_start <= exact.query_start and exact.query_end <= renamed.query_end
    return inside and renamed.query_end - renamed.query_start < MUCH_LONGER * exact.tokens


def _diagonals(query: U64, source: U64, k: int) -> list[int]:
    """The fullest diagonals (source position - query position) of shared k-grams."""
    query_at, source_at = shared_grams(gram_hashes(query, k), gram_hashes(source, k))
    values, counts = np.unique(source_at - query_at, return_counts=True)
    return [int(value) for value in values[np.argsort(-counts, kind="stable")[:MAX_DIAGONALS]]]


def shared_grams(query: U64, source: U64) -> tuple[Ints, Ints]:
    """Positions of equal values, all pairs; of values that repeat too often, the first ones."""
    order = np.argsort(query, kind="stable")
    ranked = query[order]
    # A table of the low bits lets through few of the source's values; only those are searched for.
    known = np.zeros(1 << 16, dtype=bool)
    known[(query & np.uint64(0xFFFF)).astype(np.uint16)] = True
    maybe = np.flatnonzero(known[(source & np.uint64(0xFFFF)).astype(np.uint16)])
    first = np.searchsorted(ranked, source[maybe], side="left")
    counts = np.searchsorted(ranked, source[maybe], side="right") - first
    if counts.sum() > MAX_PAIRS:
        counts = np.minimum(counts, MAX_REPEATS)
        counts[_repeats(first) >= MAX_REPEATS] = 0
    at = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return order[at], np.repeat(maybe, counts)


def _repeats(values: Ints) -> Ints:
    """[N] how many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    before = np.empty(len(values), dtype=np.int64)
    before[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    return before


def equal_runs(query: U64, source: U64, diagonal: int, min_tokens: int) -> Iterator[Run]:
    """The maximal runs of at least `min_tokens` equal tokens on a diagonal."""
    start = max(0, -diagonal)
    end = min(len(query), len(source) - diagonal)
    if end - start < min_tokens:
        return
    equal = np.zeros(end - start + 2, dtype=np.int8)
    equal[1:-1] = query[start:end] == source[start + diagonal : end + diagonal]
    edges = np.flatnonzero(np.diff(equal)) + start
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if last - first >= min_tokens:
            yield Run(first, first + diagonal, last - first)


def undominated(runs: Sequence[Run]) -> list[Run]:
    """Without runs whose query tokens all lie in a longer run: repetitive code has thousands."""
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
        """It is in a chain now."""
        self._left.remove(run)
        return run

    def after(self, run: Run) -> Run | None:
        """The nearest that follows."""
        first = bisect_left(self._by_start, run.query_end - _OVERLAP_TOKENS, key=_query_start)
        last = bisect_right(self._by_start, run.query_end + MAX_GAP_TOKENS, key=_query_start)
        return self._nearest((gap_between(run, other), other) for other in self._by_start[first:last])

    def before(self, run: Run) -> Run | None:
        """The nearest that it follows."""
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


def _of_chain(
    query: U64, source: U64, chain: Sequence[Run], min_tokens: int, *, allow_near: bool
) -> Iterator[Alignment]:
    """The chain as one near match if it is one, or else its runs."""
    near = _near(query, source, chain) if allow_near else None
    runs = [run for run in chain if run.length >= min_tokens]
    longest = max((run.length for run in runs), default=0)
    if near is not None and near.tokens >= max(MUCH_LONGER * longest, min_tokens):
        yield near
        return
    yield from map(_exact, runs)


def _exact(run: Run) -> Alignment:
    return Alignment(
        kind=Kind.EXACT,
        query_start=run.query_start,
        query_end=run.query_end,
        source_start=run.source_start,
        source_end=run.source_end,
        tokens=run.length,
    )


def _near(query: U64, source: U64, chain: Sequence[Run]) -> Alignment | None:
    """The chain with what is the same in its gaps and beyond its ends; None if too little is."""
    tokens = sum(run.length for run in chain)
    for before, after in pairwise(chain):
        tokens += LCSseq.similarity(
            query[before.query_end : after.query_start].tolist(),
            source[before.source_end : after.source_start].tolist(),
        )
    left, right = chain[0], chain[-1]
    more_right = _margin(query[right.query_end :], source[right.source_end :])
    more_left = _margin(query[: left.query_start][::-1], source[: left.source_start][::-1])
    found = Alignment(
        kind=Kind.NEAR,
        query_start=left.query_start - more_left[0],
        query_end=right.query_end + more_right[0],
        source_start=left.source_start - more_left[1],
        source_end=right.source_end + more_right[1],
        tokens=tokens + more_left[2] + more_right[2],
    )
    return found if found.similarity >= NEAR_SIMILARITY else None


def _margin(query: U64, source: U64) -> tuple[int, int, int]:
    """How far a match goes on behind a difference: (tokens of the query, of the source, the same)."""
    best = (0, 0, 0)
    same = 0
    for block in LCSseq.editops(
        query[:MARGIN_TOKENS].tolist(), source[:MARGIN_TOKENS].tolist()
    ).as_matching_blocks():
        same += block.size
        if block.size >= MIN_ANCHOR_TOKENS:
            best = (block.a + block.size, block.b + block.size, same)
    return best


def _renamed(
    query: Tokens, source: Tokens, diagonals: Sequence[int], min_tokens: int, *, by_shape: bool
) -> Iterator[Alignment]:
    """Runs of equal shape whose names map one to one."""
    if not diagonals and not by_shape:
        return
    shapes = shape_hashes(query), shape_hashes(source)
    lengths = [(diagonal, max(min_tokens, 2 * SEED_TOKENS)) for diagonal in diagonals]
    if by_shape:
        sizes = WINNOWING[Channel.SHAPE]
        found = _diagonals(*shapes, sizes.k)
        lengths += [(diagonal, max(min_tokens, sizes.guaranteed_tokens)) for diagonal in found]
    for diagonal, at_least in dict(reversed(lengths)).items():
        for run in equal_runs(*shapes, diagonal, at_least):
            ours = query.hashes[run.query_start : run.query_end]
            theirs = source.hashes[run.source_start : run.source_end]
            if is_renamed_copy(ours, theirs, shapes[0][run.query_start : run.query_end]):
                yield Alignment(
                    kind=Kind.RENAMED,
                    query_start=run.query_start,
                    query_end=run.query_end,
                    source_start=run.source_start,
                    source_end=run.source_end,
                    tokens=int((ours == theirs).sum()),
                )
