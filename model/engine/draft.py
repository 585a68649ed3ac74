"""Guessing the next tokens from the sequence itself: prompt lookup.

Code repeats itself: what followed the last few tokens' previous occurrence (in the file, its
suffix, the context or the output so far) often follows again. The engine verifies guesses in one
forward pass, so they change the speed and never the text.

Source: prompt lookup decoding, as in transformers' `prompt_lookup_num_tokens` (Saxena 2023);
verification: Leviathan et al., arXiv 2211.17192, for drafts without a distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from model.engine.kv_cache import TokenArray

_LONGEST_NGRAM = 4
# Drafts so long that a step has 1, 2, 4 or 8 rows: the sizes that products are fastest for.
_LENGTHS = (0, 1, 3, 7)
_FIRST_TRIES = 3
_TRY_ANOTHER_EVERY = 32
# A slow step says little, as other programs may have held it up. A quick step says much.
_WEIGHT_OF_FASTER, _WEIGHT_OF_SLOWER, _SLOWEST = 0.5, 0.1, 2.0
_WEIGHT_OF_A_GUESS = 0.1


class DraftPolicy:
    """How many guesses a step verifies: the number that brings the most tokens a second, by what steps
    have cost lately and how often guesses have been right.

    A step of eight tokens costs a GPU what one token costs it, and a CPU up to four times as much. So
    lengths are tried, and tried again now and then. Where drafts do not pay they are off.
    """

    def __init__(self, most: int) -> None:
        self.lengths = [length for length in _LENGTHS if length <= most]
        self.likely = 0.5
        """How often a guess is right, over all sequences."""
        self._seconds: dict[int, float] = {}  # by length
        self._tries = Counter[int]()
        self._steps = 0

    @property
    def most(self) -> int:
        """The longest draft."""
        return self.lengths[-1]

    def length(self, likely: float, available: int) -> int:
        """How many of `available` guesses to verify, each of them `likely` right."""
        lengths = [length for length in self.lengths if length <= available]
        for length in lengths:
            if self._tries[length] < _FIRST_TRIES:
                return length
        self._steps += 1
        if self._steps % _TRY_ANOTHER_EVERY == 0:
            return lengths[self._steps // _TRY_ANOTHER_EVERY % len(lengths)]
        return max(lengths, key=lambda length: _expected(likely, length) / self._seconds[length])

    def measured(self, length: int, seconds: float) -> None:
        """What a step took that verified so many guesses of the only sequence."""
        before = self._seconds.get(length, seconds)
        weight = _WEIGHT_OF_FASTER if seconds < before else _WEIGHT_OF_SLOWER
        self._seconds[length] = before + weight * (min(seconds, _SLOWEST * before) - before)
        self._tries[length] += 1


def _expected(likely: float, length: int) -> float:
    """Tokens that a step brings: the guesses up to the first wrong one, and one more."""
    return sum(likely**n for n in range(length + 1))


class PromptLookup:
    """Guesses for one sequence, and how good they have been."""

    def __init__(self, policy: DraftPolicy) -> None:
        self._policy = policy
        self._likely = policy.likely
        self._guesses = np.empty(0, np.int32)

    def propose(self, tokens: TokenArray, room: int) -> TokenArray:
        """Up to `room` tokens that may follow `tokens`, if verifying them pays; often none."""
        if not self._policy.most:
            return self._guesses
        start = last_occurrence(tokens)
        if start is None:
            return self._guesses
        self._guesses = tokens[start : start + self._policy.most].copy()
        length = self._policy.length(self._likely, min(room, len(self._guesses)))
        return self._guesses[:length]

    def learn(self, taken: Iterable[int]) -> None:
        """Compare the guesses with the tokens that came, whether they were verified or not."""
        for guess, token in zip(self._guesses.tolist(), taken, strict=False):
            right = float(guess == token)
            self._likely += _WEIGHT_OF_A_GUESS * (right - self._likely)
            self._policy.likely += _WEIGHT_OF_A_GUESS / 4 * (right - self._policy.likely)
            if not right:
                break
        self._guesses = self._guesses[:0]


def last_occurrence(tokens: TokenArray) -> int | None:
    """The place behind the last earlier occurrence of the final tokens: of the longest run of them that
    occurred before, two to four tokens."""
    found: int | None = None
    ends = np.flatnonzero(tokens[:-1] == tokens[-1])
    for back in range(1, min(_LONGEST_NGRAM, len(tokens) - 1)):
        ends = ends[ends >= back]
        ends = ends[tokens[ends - back] == tokens[-1 - back]]
        if not len(ends):
            break
        found = int(ends[-1]) + 1
    return found
