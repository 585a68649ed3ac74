"""One sequence within one step: the tokens it takes, and how far its drafts hold.

Knows nothing about tensors: `row` is where the logits for its next token stand.
"""

from __future__ import annotations

from model.engine.generation import Delta
from model.engine.kv_cache import TokenArray
from model.engine.sequence import Sequence


class Turn:
    """Collects a sequence's tokens of one step and confirms its drafts one by one."""

    def __init__(self, sequence: Sequence, drafts: TokenArray, row: int) -> None:
        self.sequence, self.drafts, self.row = sequence, drafts, row
        self.ends_prefill = sequence.n_tokens == sequence.n_prompt
        self.n_confirmed = 0
        self.failed = False
        self._text = ""
        self.token_ids: list[int] = []
        self._logprobs: list[float] = []
        self._top: list[dict[int, float]] = []

    def take(self, token_id: int, logprob: float, top: dict[int, float]) -> None:
        """Append the token chosen at `row`; one that only ends the text is not reported."""
        n_before = self.sequence.n_tokens
        self._text += self.sequence.append(token_id)
        if self.sequence.n_tokens == n_before:
            return
        self.token_ids.append(token_id)
        self._logprobs.append(logprob)
        self._top.append(top)

    def confirmed(self, token_id: int) -> bool:
        """Whether the token was the next draft, so that the row after it counts too."""
        if self.sequence.finish_reason is not None or self.n_confirmed == len(self.drafts):
            return False
        if token_id != self.drafts[self.n_confirmed]:
            return False
        self.n_confirmed += 1
        self.row += 1
        return True

    def delta(self) -> Delta:
        """What the step added to the sequence."""
        reason = self.sequence.finish_reason
        return Delta(
            index=self.sequence.index,
            text=self._text,
            token_ids=tuple(self.token_ids),
            logprobs=tuple(self._logprobs),
            top_logprobs=tuple(self._top),
            finish_reason=reason,
            timings=None if reason is None else self.sequence.timings(),
            prompt_scores=self.sequence.prompt_scores if self.ends_prefill else None,
        )
