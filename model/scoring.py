"""The log-probabilities of a prompt's own tokens: how likely the model finds a text that it is given.

Evaluation harnesses ask for them (OpenAI's `echo` with `logprobs`). Nothing of such a prompt may come
from the KV cache, because a cached token has no logits any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(kw_only=True)
class PromptScores:
    """Of the tokens 1, 2, … of a prompt, as far as it is computed; nothing is known of the first."""

    logprobs: list[float] = field(default_factory=list)
    top: list[Mapping[int, float]] = field(default_factory=list)

    def add(self, logits: Tensor, token_ids: Sequence[int], n_top: int) -> None:
        """The next tokens [T] and the logits [T, V] that the model gave for them."""
        log_probs = torch.log_softmax(logits.float(), dim=-1)  # [T, V]
        wanted = torch.as_tensor(token_ids, dtype=torch.int64, device=logits.device)
        self.logprobs += log_probs.gather(1, wanted[:, None])[:, 0].tolist()
        if not n_top:
            self.top += [{} for _ in token_ids]
            return
        values, ids = log_probs.topk(min(n_top, log_probs.shape[-1]))  # [T, n_top]
        self.top += [
            dict(zip(row_ids, row, strict=True))
            for row_ids, row in zip(ids.tolist(), values.tolist(), strict=True)
        ]
