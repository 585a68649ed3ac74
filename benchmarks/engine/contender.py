"""What every engine in the comparison must be able to do.

Shapes: a prompt is a list of token ids. All times are taken by the caller.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Prompt = Sequence[int]


class Contender(Protocol):
    """One engine with one model."""

    name: str

    def prefill(self, prompt: Prompt) -> int:
        """Compute `prompt` from nothing; the likeliest next token."""

    def decode(self, prompts: Sequence[Prompt], n_tokens: int) -> Callable[[], None]:
        """Compute the prompts, then return what generates `n_tokens` more of each, together, greedily."""

    def keystroke(self, before: Prompt, after: Prompt) -> Callable[[], int]:
        """Compute `before`, then return what answers `after`, keeping what the engine can keep."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one contender, in milliseconds."""

    task: str
    contender: str
    median_ms: float
    p95_ms: float
    least_ms: float
    runs: int


def cell(task: str, contender: str, times_s: Sequence[float]) -> Cell:
    """Summarise runs of one task."""
    ordered = sorted(times_s)
    return Cell(
        task=task,
        contender=contender,
        median_ms=statistics.median(ordered) * 1e3,
        p95_ms=percentile_95(ordered) * 1e3,
        least_ms=ordered[0] * 1e3,
        runs=len(ordered),
    )


def percentile_95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed (by the nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]
