"""From "they share fingerprints" to "these tokens here are those tokens there".

Runs of equal tokens that follow each other on nearby diagonals are chained, and what
lies between them is aligned by rapidfuzz (LCS). With names abstracted, a run may also be a renamed
copy: then its names must map one to one.

Knows tokens only: nothing of bytes, documents or indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rapidfuzz.distance import LCSseq

from attribution.match.renaming import is_renamed_copy, plausible
from attribution.match.runs import SEED_TOKENS, Run, SortedGrams, chains, shared_runs, undominated
from attribution.source import ALL_KINDS, MatchKind
from attribution.tokens.lexer import U64, Tokens
from attribution.tokens.shape import shape_hashes

# Beyond the ends of a chain, this many tokens are searched for more of the same.
MARGIN_TOKENS = 16
MIN_ANCHOR_TOKENS = 3
# Shorter stretches look alike by chance.
MIN_SHAPE_TOKENS = 64
NEAR_SIMILARITY = 0.8
# A weaker kind is reported instead of an exact run inside it only if it covers this much more.
MUCH_LONGER = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Tokens [query_start, query_end) of the query and [source_start, source_end) of the source.

    `tokens` of them are the same; in an EXACT alignment all are. The bytes between tokens are not
    compared here, so EXACT stands for REFORMATTED too.
    """

    kind: MatchKind
    query_start: int
    query_end: int
    source_start: int
    source_end: int
    tokens: int

    @property
    def similarity(self) -> float:
        """Twice the number of equal tokens, divided by the tokens of both sides; 1 means equal."""
        return 2 * self.tokens / (self.query_end - self.query_start + self.source_end - self.source_start)


class AlignedQuery:
    """A query's tokens, and what comparing them to many sources needs once."""

    def __init__(self, tokens: Tokens, min_tokens: int) -> None:
        self.tokens = tokens
        self.min_tokens = min_tokens

    @cached_property
    def seeds(self) -> SortedGrams:
        """Of the tokens."""
        return SortedGrams(self.tokens.hashes, SEED_TOKENS)

    # Shapes that repeat so often are prose and tables, which are no renamed copies.
    @cached_property
    def shapes(self) -> SortedGrams:
        """Of what the tokens look like: as long as a renamed copy is at least."""
        k = max(self.min_tokens, 2 * SEED_TOKENS)
        return SortedGrams(shape_hashes(self.tokens), k, is_frugal=True)

    @cached_property
    def long_shapes(self) -> SortedGrams:
        """As long as a copy under other names that share no tokens in a row with their source."""
        return SortedGrams(self.shapes.hashes, max(self.min_tokens, MIN_SHAPE_TOKENS), is_frugal=True)


def align(
    query: AlignedQuery,
    source: Tokens,
    *,
    kinds: frozenset[MatchKind] = ALL_KINDS,
    by_shape: bool = False,
) -> list[Alignment]:
    """All copies of at least the query's `min_tokens`, by their place in the query.

    `by_shape` also looks where only the shapes agree, which an index with the SHAPE channel finds.
    """
    ours, min_tokens = query.tokens.hashes, query.min_tokens
    runs, diagonals = shared_runs(query.seeds, source.hashes)
    whole = next((run for run in runs if run.length == len(ours)), None)
    if whole is not None and len(ours) >= min_tokens:
        return [_exact(whole)]
    found: list[Alignment] = []
    if MatchKind.RENAMED in kinds:
        found += _renamed(query, source, diagonals, by_shape=by_shape)
    if kinds & {MatchKind.EXACT, MatchKind.REFORMATTED, MatchKind.NEAR}:
        allow_near = MatchKind.NEAR in kinds
        for chain in chains(undominated(runs)) if allow_near else [[run] for run in runs]:
            found += _of_chain(ours, source.hashes, chain, min_tokens, allow_near=allow_near)
    return sorted(_best(found), key=lambda alignment: (alignment.query_start, alignment.source_start))


def _best(found: Sequence[Alignment]) -> list[Alignment]:
    """Those whose query tokens are covered by no longer one, nor by one as long and more equal."""
    exact = [one for one in found if one.kind is MatchKind.EXACT]
    kept: list[Alignment] = []
    for one in sorted(found, key=lambda a: (a.query_start - a.query_end, -a.tokens, a.source_start)):
        if one.kind is MatchKind.RENAMED and any(_says_as_much(other, one) for other in exact):
            continue
        if not any(k.query_start <= one.query_start and one.query_end <= k.query_end for k in kept):
            kept.append(one)
    return kept


def _says_as_much(exact: Alignment, renamed: Alignment) -> bool:
    inside = renamed.query_start <= exact.query_start and exact.query_end <= renamed.query_end
    return inside and renamed.query_end - renamed.query_start < MUCH_LONGER * exact.tokens


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
        kind=MatchKind.EXACT,
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
        kind=MatchKind.NEAR,
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
    query: AlignedQuery, source: Tokens, diagonals: Sequence[int], *, by_shape: bool
) -> Iterator[Alignment]:
    """Runs of equal shape whose names map one to one."""
    if not diagonals and not by_shape:
        return
    # Only what the diagonals reach: the shapes of a whole long file would cost more than everything else.
    first, last = (0, len(source)) if by_shape else _reached(diagonals, len(query.tokens), len(source))
    ours, theirs = query.tokens, source.part(first, last)
    shape, their_shape = query.shapes.hashes, shape_hashes(theirs)
    shifted = [diagonal - first for diagonal in diagonals]
    runs, _ = shared_runs(query.shapes, their_shape, only=shifted)
    if by_shape:
        known = set(shifted)
        others, _ = shared_runs(query.long_shapes, their_shape)
        runs += [run for run in others if run.source_start - run.query_start not in known]
    for run in plausible(runs, ours.hashes, theirs.hashes, shape):
        at, to = slice(run.query_start, run.query_end), slice(run.source_start, run.source_end)
        if is_renamed_copy(ours.hashes[at], theirs.hashes[to], shape[at]):
            yield Alignment(
                kind=MatchKind.RENAMED,
                query_start=run.query_start,
                query_end=run.query_end,
                source_start=run.source_start + first,
                source_end=run.source_end + first,
                tokens=int((ours.hashes[at] == theirs.hashes[to]).sum()),
            )


def _reached(diagonals: Sequence[int], query: int, source: int) -> tuple[int, int]:
    """The tokens of a source of `source` tokens that lie on the diagonals of a query of `query` tokens."""
    return max(min(diagonals), 0), min(max(diagonals) + query, source)
