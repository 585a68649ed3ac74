"""Drafts by prompt lookup: what is guessed, and when verifying it pays."""

from __future__ import annotations

import numpy as np
import pytest

from model.engine.draft import DraftPolicy, PromptLookup, last_occurrence

GPU = {0: 1.0, 1: 1.0, 3: 1.05, 7: 1.1}
CPU = {0: 1.0, 1: 1.5, 3: 2.2, 7: 4.0}
PROPORTIONAL = {0: 1.0, 1: 2.0, 3: 4.0, 7: 8.0}


def policy_of(costs: dict[int, float], most: int = 7) -> DraftPolicy:
    """A policy that has seen every length as often as it wants to."""
    policy = DraftPolicy(most)
    for _ in range(3):
        for length in policy.lengths:
            policy.measured(length, costs[length])
    return policy


@pytest.mark.parametrize(
    ("costs", "likely", "wanted"),
    [
        (GPU, 0.3, 3),
        (GPU, 0.9, 7),
        (CPU, 0.3, 0),
        (CPU, 0.6, 1),
        (CPU, 0.95, 3),
        (PROPORTIONAL, 0.99, 0),
    ],
)
def test_as_many_guesses_as_bring_the_most_tokens_a_second(
    costs: dict[int, float], likely: float, wanted: int
) -> None:
    assert policy_of(costs).length(likely, 7) == wanted


def test_every_length_is_tried_first_and_again_now_and_then() -> None:
    policy = DraftPolicy(3)
    tried = []
    for _ in range(9):
        tried.append(policy.length(0.0, 3))
        policy.measured(tried[-1], PROPORTIONAL[tried[-1]])
    assert tried == [0, 0, 0, 1, 1, 1, 3, 3, 3]
    later = [policy.length(0.0, 3) for _ in range(200)]
    assert set(later) == {0, 1, 3}
    assert later.count(0) > 190


def test_one_slow_step_does_not_switch_drafts_off() -> None:
    policy = policy_of(GPU)
    policy.measured(7, 500.0)
    assert policy.length(0.9, 7) == 7


def test_no_more_than_there_is_room_for() -> None:
    policy = policy_of(GPU)
    assert policy.length(0.9, 5) == 3
    assert policy.length(0.9, 0) == 0
    assert DraftPolicy(0).lengths == [0]


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([1, 2, 3, 9, 1, 2], 2),
        ([1, 2, 5, 1, 2, 6, 1, 2], 5),  # the last of them
        ([7, 1, 2, 5, 8, 1, 2, 6, 7, 1, 2], 3),  # three tokens before two
        ([4, 4, 4], 2),
        ([2, 9, 1, 2], None),  # one token is too little
        ([1], None),
    ],
)
def test_the_longest_match_of_the_end(tokens: list[int], start: int | None) -> None:
    assert last_occurrence(np.array(tokens, np.int32)) == start


def test_guesses_are_judged_whether_they_were_verified_or_not() -> None:
    text = np.array([1, 2, 3, 4, 5, 6, 7, 8, 1, 2], np.int32)
    policy = policy_of(PROPORTIONAL)
    good, bad = PromptLookup(policy), PromptLookup(policy)
    for _ in range(15):
        assert len(good.propose(text, 8)) == len(bad.propose(text, 8)) == 0, "it does not pay"
        good.learn([3])
        bad.learn([9])
    costs = policy_of(CPU)
    for lookup, wanted in ((good, [3, 4, 5]), (bad, [])):
        lookup._policy = costs
        assert lookup.propose(text, 8).tolist() == wanted
