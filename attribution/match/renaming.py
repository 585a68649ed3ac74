"""Whether two stretches of equal shape are one text with its names changed.

Much code has the same shape without being copied (`self.a = a; self.b = b; …`), so three things are
asked for: names map one to one, the shape is not one pattern over and over, and there is evidence,
that is names that stayed or that came back under their new name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from attribution.match.runs import Run
from attribution.tokens.arrays import ranges
from attribution.tokens.fingerprint import gram_hashes
from attribution.tokens.lexer import U64
from attribution.tokens.shape import VARIABLE

# Of the identifiers' occurrences, those that follow the mapping (an edit may break a few).
MIN_CONSISTENT = 0.95
MIN_EVIDENCE = 16
# Names that stayed: code that shares none of them is the same idiom rather than a copy.
MIN_SAME_NAMES = 0.25
# Different 4-grams of the shape by all of them.
MIN_VARIETY = 0.4


def plausible(runs: Sequence[Run], query: U64, source: U64, shape: U64) -> list[Run]:
    """The runs of equal shape that keep enough of their names, but not all; few do, and counting is cheap.

    `shape` is the query's.
    """
    if not runs:
        return []
    starts, sources, lengths = np.array([(run.query_start, run.source_start, run.length) for run in runs]).T
    at = ranges(starts, starts + lengths)
    names = shape[at] == VARIABLE
    same = names & (query[at] == source[ranges(sources, sources + lengths)])
    first = np.cumsum(lengths) - lengths
    named = np.add.reduceat(names, first, dtype=np.int64)
    stayed = np.add.reduceat(same, first, dtype=np.int64)
    chosen = np.flatnonzero((stayed < named) & (stayed >= MIN_SAME_NAMES * named))
    return [runs[number] for number in chosen.tolist()]


def is_renamed_copy(query: U64, source: U64, shape: U64) -> bool:
    """Whether tokens `query` are tokens `source` with some names changed; both have the same [N] `shape`."""
    names = shape == VARIABLE
    ours, theirs = query[names], source[names]
    same = ours == theirs
    if not len(same) or same.all() or same.mean() < MIN_SAME_NAMES:
        return False
    if _variety(shape) < MIN_VARIETY:
        return False
    follows = _one_to_one(Counter(zip(ours.tolist(), theirs.tolist(), strict=True)))
    evidence = int(same.sum()) + sum(count - 1 for count in follows)
    return sum(follows) >= MIN_CONSISTENT * len(ours) and evidence >= MIN_EVIDENCE


def _one_to_one(pairs: Counter[tuple[int, int]]) -> list[int]:
    """How often each pair of names occurs, if both names occur in no other pair."""
    ours, theirs = Counter(our for our, _ in pairs), Counter(their for _, their in pairs)
    return [count for (our, their), count in pairs.items() if ours[our] == theirs[their] == 1]


def _variety(shape: U64) -> float:
    grams = gram_hashes(shape, 4)
    return len(np.unique(grams)) / max(len(grams), 1)
