"""Guessing the next tokens from the sequence itself: prompt lookup.

Code repeats itself: what followed the last few tokens' previous occurrence (in the file, its
suffix, the context or the output so far) often follows again. The engine verifies guesses in one
forward pass, so they change the speed and never the text.

Source: prompt lookup decoding, as in transformers' `prompt_lookup_num_tokens` (Saxena 2023);
verification: Leviathan et al., arXiv 2211.17192, for drafts without a distribution.
"""

from __future__ import annotations

import numpy as np

from model.kv_cache import TokenArray

_LONGEST_NGRAM = 4
_SHORTEST_NGRAM = 2


class PromptLookup:
    """Drafts for one sequence, as long as the last ones were right."""

    def __init__(self, max_draft_tokens: int) -> None:
        self._max = max_draft_tokens
        self._length = min(2, max_draft_tokens)

    def propose(self, tokens: TokenArray, room: int) -> TokenArray:
        """Up to `room` tokens that may follow `tokens`; empty where nothing like it occurred."""
        length = min(self._length, room)
        if length < 1:
            return tokens[:0]
        for size in range(_LONGEST_NGRAM, _SHORTEST_NGRAM - 1, -1):
            start = _last_occurrence(tokens, size)
            if start is not None:
                return tokens[start : start + length].copy()
        return tokens[:0]

    def learn(self, n_drafted: int, n_accepted: int) -> None:
        """Lengthen the drafts after a full success, halve them after a miss."""
        if n_drafted and n_accepted == n_drafted:
            self._length = min(self._max, self._length + 2)
        elif n_drafted and n_accepted * 2 < n_drafted:
            self._length = max(min(1, self._max), self._length // 2)


def _last_occurrence(tokens: TokenArray, size: int) -> int | None:
    """Where the text after the last earlier occurrence of the final `size` tokens begins."""
    n_starts = len(tokens) - size  # the occurrence at the very end is the n-gram itself
    if n_starts < 1:
        return None
    matches = tokens[:n_starts] == tokens[-size]
    for place in range(1, size):
        matches &= tokens[place : place + n_starts] == tokens[place - size]
    found = np.flatnonzero(matches)
    return int(found[-1]) + size if len(found) else None
