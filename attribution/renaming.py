"""Whether two stretches of equal shape are one text with its names changed.

Much code has the same shape without being copied (`self.a = a; self.b = b; …`), so three things are
asked for: names map one to one, the shape is not one pattern over and over, and there is evidence,
that is names that stayed or that came back under their new name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attribution.fingerprint import gram_hashes
from attribution.lexer import U64
from attribution.shape import VARIABLE

# Of the identifiers' occurrences, those that follow the mapping (an edit may break a few).
MIN_CONSISTENT = 0.95
MIN_EVIDENCE = 16
# Names that stayed: code that shares none of them is the same idiom rather than a copy.
MIN_SAME_NAMES = 0.25
# Different 4-grams of the shape by all of them.
MIN_VARIETY = 0.4


def is_renamed_copy(query: U64, source: U64, shape: U64) -> bool:
    """Whether tokens `query` are tokens `source` with some names changed; both have the same [N] `shape`."""
    names = shape == VARIABLE
    ours, theirs = query[names], source[names]
    same = ours == theirs
    if not len(same) or same.all() or same.mean() < MIN_SAME_NAMES:
        return False
    pairs, occurrences = np.unique(np.stack([ours, theirs]), axis=1, return_counts=True)
    follows = occurrences[_is_one_to_one(pairs[0]) & _is_one_to_one(pairs[1])]
    evidence = same.sum() + (follows - 1).sum()
    return bool(
        follows.sum() >= MIN_CONSISTENT * len(ours)
        and evidence >= MIN_EVIDENCE
        and _variety(shape) >= MIN_VARIETY
    )


def _is_one_to_one(values: U64) -> npt.NDArray[np.bool_]:
    """[P] whether each value occurs in one pair only."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    once: npt.NDArray[np.bool_] = counts[at] == 1
    return once


def _variety(shape: U64) -> float:
    grams = gram_hashes(shape, 4)
    return len(np.unique(grams)) / max(len(grams), 1)
