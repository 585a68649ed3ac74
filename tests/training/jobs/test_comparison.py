from __future__ import annotations

import math

import pytest

from training.errors import EvaluationError
from training.jobs.comparison import Comparison, Standing

WEIGHTS = {"Python": 0.6, "*": 0.4}


def standing(python: float, c: float, markdown: float, exact: float = 0.05) -> Standing:
    bits = {"Python": python, "C": c, "Markdown": markdown}
    return Standing(name="x", bits_per_byte=bits, exact_match=exact)


def comparison(after: Standing) -> Comparison:
    return Comparison(before=standing(1.0, 1.0, 1.0), after=after, weights=WEIGHTS)


def test_languages_count_by_their_weights() -> None:
    assert comparison(standing(0.9, 1.1, 1.0)).mean_loss(standing(0.9, 1.1, 1.0)) == pytest.approx(0.96)
    assert not comparison(standing(0.9, 1.1, 1.0)).objections()
    assert comparison(standing(1.1, 0.9, 1.0)).objections() == [
        "held-out loss 1.040 bits a byte, before 1.000"
    ]


def test_infilling_counts_on_its_own() -> None:
    assert comparison(standing(0.5, 0.5, 0.5, exact=0.04)).objections() == [
        "infilling 4.0 % exact, before 5.0 %"
    ]
    assert not comparison(standing(1.0, 1.0, 1.0)).objections()


def test_a_loss_that_is_no_number_is_worse() -> None:
    assert comparison(standing(math.nan, 1.0, 1.0)).objections()


def test_a_language_that_one_of_them_lacks_does_not_count() -> None:
    only_python = Standing(name="y", bits_per_byte={"Python": 0.8}, exact_match=0.05)
    both = comparison(only_python)
    assert both.mean_loss(both.before) == 1.0
    assert [line.split(" | ")[0] for line in both.table()][2:] == [
        "| Python, bits a byte",
        "| all, as they are weighted, bits a byte",
        "| single-line infilling, exact match",
    ]


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(EvaluationError, match="has a weight"):
        Comparison(before=standing(1, 1, 1), after=standing(1, 1, 1), weights={"Ruby": 1.0})
