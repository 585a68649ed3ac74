"""Is the model sure enough to show its suggestion? Judged by the first tokens' log-probabilities.

The threshold is a mean probability (0 … 1), so it means the same for every length. The default, 0, shows
everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The first tokens decide what a suggestion is about; later ones dilute the mean.
FIRST_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """The geometric mean and the minimum of the first tokens' probabilities, over `tokens` of them."""

    mean: float
    least: float
    tokens: int


def confidence(logprobs: Sequence[float], *, first_tokens: int = FIRST_TOKENS) -> Confidence | None:
    """The confidence in a text from its tokens' natural log-probabilities; None without any.

    Some servers report -inf or a positive rounding error; both are clamped into what a
    probability may be. NaN counts as "not sure at all".
    """
    used = [_clamped(value) for value in logprobs[:first_tokens]]
    if not used:
        return None
    return Confidence(mean=math.exp(sum(used) / len(used)), least=math.exp(min(used)), tokens=len(used))


def is_confident(logprobs: Sequence[float], *, threshold: float, first_tokens: int = FIRST_TOKENS) -> bool:
    """Whether a suggestion passes the gate; without log-probabilities (some servers) every one does."""
    if threshold <= 0.0:
        return True
    judged = confidence(logprobs, first_tokens=first_tokens)
    return judged is None or judged.mean >= threshold


def can_decide(logprobs: Sequence[float], *, finished: bool, first_tokens: int = FIRST_TOKENS) -> bool:
    """Whether `is_confident` has seen all the tokens that it judges by."""
    return finished or len(logprobs) >= first_tokens


def _clamped(logprob: float) -> float:
    return -100.0 if math.isnan(logprob) else min(0.0, max(-100.0, logprob))
