"""How fast prompts are computed here, and how long one may therefore be.

Owns what steps have taken lately. Lengths are powers of two and seldom change, because a prompt of another
length has another window and nothing in the cache. Knows neither prompts nor the cache.
"""

from __future__ import annotations

# Shorter steps take longer a token.
_FEWEST_TOKENS = 64
# A slow step says little, as other programs may have held it up. A quick step says much.
_WEIGHT_OF_FASTER, _WEIGHT_OF_SLOWER = 0.5, 0.1
# Of two older cores: what is believed before the first step.
_GUESSED_PRODUCTS_A_SECOND = 1e11
_SHORTEST = 128
# A length stays as long as a prompt of it takes so much less or more than it may.
_TOO_LONG, _TOO_SHORT = 0.8, 2.5


class PrefillSpeed:
    """Seconds that a token of a prompt takes."""

    def __init__(self, n_multiplying: int) -> None:
        """`n_multiplying` parameters are multiplied with every token."""
        self._token_s = n_multiplying / _GUESSED_PRODUCTS_A_SECOND
        self._is_guessed = True
        self._lengths: dict[int, int] = {}

    def measured(self, n_tokens: int, seconds: float) -> None:
        """Take note of a step that computed so many tokens."""
        if n_tokens < _FEWEST_TOKENS:
            return
        token_s = seconds / n_tokens
        weight = _WEIGHT_OF_FASTER if token_s < self._token_s else _WEIGHT_OF_SLOWER
        self._token_s += (1.0 if self._is_guessed else weight) * (token_s - self._token_s)
        self._is_guessed = False

    def is_affordable(self, n_tokens: int, max_ms: int) -> bool:
        """Whether so many tokens take no longer."""
        return n_tokens <= self.affordable_tokens(max_ms)

    def affordable_tokens(self, max_ms: int) -> int:
        """How long a prompt may be that is computed within so many milliseconds."""
        exactly = max_ms / 1e3 / self._token_s
        length = self._lengths.get(max_ms)
        if length is None or not _TOO_LONG * length <= exactly < _TOO_SHORT * length:
            length = self._lengths[max_ms] = max(_SHORTEST, 1 << max(int(exactly).bit_length() - 1, 0))
        return length
