"""The log-probabilities of a prompt's own tokens: how likely the model finds a text that it is given.

Evaluation harnesses ask for them (OpenAI's `echo` with `logprobs`). Nothing of such a prompt may come
from the KV cache, because a cached token has no logits any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model.runner.runner import Logits


@dataclass(kw_only=True)
class PromptScores:
    """The scores of the tokens 1, 2, … of a prompt, as far as it is computed. The first has none."""

    logprobs: list[float] = field(default_factory=list)
    top: list[Mapping[int, float]] = field(default_factory=list)

    def add(self, logits: Logits, token_ids: Sequence[int], n_top: int) -> None:
        """The next tokens [T] and the logits [T, V] that the model gave for them."""
        own, top = logits.score(token_ids, n_top)
        self.logprobs += own
        self.top += top
