"""Alternatives of a greedy request: each begins unlike those before it.

All follow the likeliest text until one can leave it: at the first of a few tokens where another is likely
enough, at the last of them in any case. Two tokens are alike if one's text begins the other's, since the
texts that follow might be the same. Knows nothing of logits: it says what may not be taken.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from model.engine.sequence import Sequence
from model.prompt.tokenizer import Tokenizer

# Chosen, not measured.
_MIN_LOGPROB = math.log(0.05)
_MAX_COMMON_TOKENS = 3


class Beginnings:
    """Where the alternatives of one request part. `sequences` are all of them, the likeliest first."""

    def __init__(self, tokenizer: Tokenizer, end_ids: frozenset[int], sequences: list[Sequence]) -> None:
        self.sequences = sequences
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._parted: set[int] = {0}

    def has_parted(self, sequence: Sequence) -> bool:
        """Whether it goes its own way already."""
        return sequence.index in self._parted

    def taken(self, sequence: Sequence) -> list[int]:
        """The next tokens of those before it that began as it did so far; an end is all end tokens."""
        n_new = sequence.n_new_tokens
        own = sequence.new_tokens(n_new)
        found: list[int] = []
        for other in self.sequences[: sequence.index]:
            if other.new_tokens(n_new) != own:
                continue
            if other.n_new_tokens > n_new:
                found.append(other.new_tokens(n_new + 1)[-1])
            elif other.finish_reason is not None:
                found += self._end_ids
        return found

    def waits(self, sequence: Sequence, active: Collection[Sequence]) -> bool:
        """Whether one before it, of which it must differ, chooses in this step first."""
        return not self.has_parted(sequence) and any(
            other in active and other.n_new_tokens <= sequence.n_new_tokens
            for other in self.sequences[: sequence.index]
        )

    def is_alike(self, token_id: int, taken: Collection[int]) -> bool:
        """Whether the text of a token may become that of another that was taken."""
        text = self._tokenizer.token_bytes(token_id)
        others = [self._tokenizer.token_bytes(other) for other in taken if other not in self._end_ids]
        return any(text.startswith(other) or other.startswith(text) for other in others)

    def may_part(self, sequence: Sequence, logprob: float) -> bool:
        """Whether a token of that probability is a beginning of its own."""
        if logprob >= _MIN_LOGPROB or sequence.n_new_tokens + 1 >= _MAX_COMMON_TOKENS:
            return True
        return self.sequences[0].finish_reason is not None  # there is no later place

    def part(self, sequence: Sequence) -> None:
        """It goes its own way from here."""
        self._parted.add(sequence.index)
