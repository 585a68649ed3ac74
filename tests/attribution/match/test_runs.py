"""Runs of equal tokens against their definition, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.match import runs
from attribution.match.renaming import is_renamed_copy, plausible
from attribution.match.runs import Run, SortedGrams, equal_runs, shared_runs
from attribution.tokens.lexer import U64
from attribution.tokens.shape import VARIABLE

TOKENS = st.lists(st.integers(1, 3), max_size=25)


def hashes(values: list[int]) -> U64:
    return np.array(values, dtype=np.uint64)


def runs_by_definition(query: list[int], source: list[int], diagonal: int, min_tokens: int) -> list[Run]:
    found = []
    start = None
    for at in range(len(query) + 1):
        inside = at < len(query) and 0 <= at + diagonal < len(source) and query[at] == source[at + diagonal]
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            if at - start >= min_tokens:
                found.append(Run(start, start + diagonal, at - start))
            start = None
    return found


@given(TOKENS, TOKENS, st.lists(st.integers(-30, 30), unique=True, max_size=8), st.integers(1, 6))
def test_runs_are_those_of_the_definition(
    query: list[int], source: list[int], diagonals: list[int], min_tokens: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Few diagonals at once.
        patch.setattr(runs, "_COMPARED_AT_ONCE", 60)
        found = list(equal_runs(hashes(query), hashes(source), diagonals, min_tokens))
    assert found == [
        run for diagonal in diagonals for run in runs_by_definition(query, source, diagonal, min_tokens)
    ]


@given(TOKENS, TOKENS)
def test_shared_grams_are_all_pairs_of_equal_ones(query: list[int], source: list[int]) -> None:
    ours, theirs, is_complete = SortedGrams(hashes(query), 1).shared(hashes(source))
    assert is_complete
    assert sorted(zip(ours.tolist(), theirs.tolist(), strict=True)) == [
        (i, j) for i, one in enumerate(query) for j, other in enumerate(source) if one == other
    ]


def test_the_fullest_diagonals_come_first() -> None:
    query = hashes(list(range(1, 41)))
    source = hashes([*range(100, 105), *range(1, 31), *range(200, 220), *range(25, 41)])
    assert shared_runs(SortedGrams(query, 3), source)[1] == [5, 31]


@given(TOKENS, TOKENS, st.integers(1, 4), st.sampled_from([runs.MAX_PAIRS, 8]))
def test_shared_runs_are_those_of_the_definition(
    query: list[int], source: list[int], k: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "MAX_PAIRS", most)
        found, diagonals = shared_runs(SortedGrams(hashes(query), k), hashes(source))
    assert sorted(found) == sorted(
        run for diagonal in diagonals for run in runs_by_definition(query, source, diagonal, k)
    )


NAMES = [10, 11, 12, 13, 14, 15]


@given(st.lists(st.sampled_from(NAMES), min_size=8, max_size=40), st.permutations(NAMES), st.booleans())
def test_what_is_implausible_is_no_renamed_copy(ours: list[int], names: list[int], broken: bool) -> None:
    renamed = dict(zip(NAMES, names, strict=True))
    query, source = hashes(ours), hashes([renamed[name] for name in ours])
    if broken:
        source[0] = 99
    # Names and marks in turn, and no two grams alike.
    shape = np.where(np.arange(len(ours)) % 2, np.arange(len(ours), dtype=np.uint64), VARIABLE)
    sizes = range(len(ours) // 2, len(ours) + 1)
    parts = [Run(first, first, size) for size in sizes for first in range(len(ours) - size + 1)]
    kept = plausible(parts, query, source, shape)
    for part in parts:
        at = slice(part.query_start, part.query_end)
        assert part in kept or not is_renamed_copy(query[at], source[at], shape[at])


def test_what_is_plausible_has_names_that_stayed_and_others() -> None:
    query, source = hashes([1, 2, 3, 4] * 3), hashes([1, 2, 3, 5, 6, 7, 8, 9, 1, 2, 3, 4])
    shape = np.full(12, VARIABLE)
    parts = [Run(0, 0, 4), Run(4, 4, 4), Run(8, 8, 4), Run(0, 8, 4), Run(0, 0, 12)]
    assert plausible(parts, query, source, shape) == [parts[0], parts[4]]
    assert plausible([], query, source, shape) == []
