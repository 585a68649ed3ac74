"""The gate on token probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.completion.confidence import can_decide, confidence, is_confident


def test_the_mean_is_geometric_and_of_the_first_tokens() -> None:
    judged = confidence([math.log(0.5), math.log(0.125), math.log(0.01)], first_tokens=2)
    assert judged is not None
    assert (judged.mean, judged.least) == pytest.approx((0.25, 0.125))
    assert judged.tokens == 2


def test_off_by_default_and_open_without_probabilities() -> None:
    assert is_confident([-50.0], threshold=0.0)
    assert is_confident([], threshold=0.9)
    assert not is_confident([math.log(0.4)], threshold=0.5)
    assert is_confident([math.log(0.6)], threshold=0.5)


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_any_numbers_are_a_probability(values: list[float]) -> None:
    judged = confidence(values)
    assert judged is not None
    assert 0.0 <= judged.least <= judged.mean * (1 + 1e-9) <= 1.0 + 1e-9


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=30), st.floats(0, 1), st.integers(1, 30))
def test_a_decision_that_can_be_made_early_stays(values: list[float], threshold: float, seen: int) -> None:
    if can_decide(values[:seen], finished=False):
        assert is_confident(values[:seen], threshold=threshold) == is_confident(values, threshold=threshold)
