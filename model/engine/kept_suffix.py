"""Suffixes that were computed behind an older prefix, to be used again where the prefix has grown.

In a prompt with the prefix first, a new line changes what stands before the suffix, and so all of the
suffix's keys and values. They are nearly right still: keys are turned to their new places, values stay, and
only the suffix's sentinel is computed anew, as without it the model goes on at the prefix's *old* end. On
HumanEval's single lines no loss was seen (`benchmarks/kept_suffix.py`).

Owns which suffixes are known and how a prompt with a kept one is told from an exact one in the cache. Knows
nothing about tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.engine.kv_cache import KVCache, TokenArray, common_prefix_length

# Of several open documents.
_KNOWN_SUFFIXES = 16
# Tokens that must be saved: a prompt that is exact soon is better than one that is not.
_WORTH_KEEPING_TOKENS = 16
# As many tokens of the prefix may differ from those that the suffix was computed behind.
_FARTHEST_TOKENS = 512


def kept_key(tokens: TokenArray, suffix: range) -> TokenArray:
    """What `tokens` are called in the cache where their suffix was kept: its sentinel is another token."""
    key = tokens.copy()
    key[suffix.start] = ~key[suffix.start]
    return key


@dataclass(frozen=True)
class KnownSuffix:
    """The suffix of a prompt that was computed, or kept."""

    key: TokenArray
    """What the prompt is called in the cache, up to the suffix's end."""
    place: range
    distance: int = 0
    """Tokens of the prefix that are others than those that it was computed behind."""

    def n_common(self, prompt: TokenArray, place: range) -> int:
        """How many tokens after its sentinel a prompt's suffix begins with: a window's end moves at times."""
        own, wanted = self.key[self.place.start + 1 :], prompt[place.start + 1 : place.stop]
        return common_prefix_length(own, wanted)

    def distance_to(self, prompt: TokenArray, place: range) -> int:
        """The distance if it were kept in a prompt."""
        n_same = common_prefix_length(self.key[: self.place.start], prompt[: place.start])
        return self.distance + max(self.place.start, place.start) - n_same


@dataclass(frozen=True, kw_only=True)
class KeptSuffix:
    """What is kept in a prompt."""

    suffix: KnownSuffix
    distance: int
    """`KnownSuffix.distance`, in that prompt."""
    n_known: int
    """Tokens of the prompt that need not be computed."""
    n_moved: int
    """Tokens after the sentinel that are moved there; 0: the prompt itself is in the cache with them."""


class KeptSuffixes:
    """The suffixes of the last prompts, the latest first."""

    def __init__(self, cache: KVCache) -> None:
        self._cache = cache
        self._known: list[KnownSuffix] = []

    def remember(self, suffix: KnownSuffix) -> None:
        """Take note of a suffix whose keys and values are in the cache."""
        others = [one for one in self._known if not np.array_equal(one.key, suffix.key)]
        self._known = [suffix, *others][:_KNOWN_SUFFIXES]

    def find(self, prompt: TokenArray, place: range) -> KeptSuffix | None:
        """What to keep in a prompt; None if there is nothing or it saves little.

        What is at its place already is preferred: every other suffix would have to be moved there first.
        """
        key = kept_key(prompt, place)
        n_exact, n_here = self._cache.match(prompt[:-1]), self._cache.match(key[:-1])
        found = []
        for one in self._known:
            is_here = n_here >= place.stop and np.array_equal(one.key, key[: place.stop])
            n_kept = n_here if is_here else min(n_exact, place.start) + self._n_cached(one, prompt, place)
            distance = one.distance_to(prompt, place)
            if distance <= _FARTHEST_TOKENS and n_kept >= n_exact + _WORTH_KEEPING_TOKENS:
                found.append((is_here, n_kept, -distance, one))
        if not found:
            return None
        is_here, n_kept, distance, best = max(found, key=lambda each: each[:3])
        n_moved = 0 if is_here else n_kept - min(n_exact, place.start)
        return KeptSuffix(suffix=best, distance=-distance, n_known=n_kept, n_moved=n_moved)

    def _n_cached(self, suffix: KnownSuffix, prompt: TokenArray, place: range) -> int:
        """How many tokens after the sentinel can be moved into a prompt."""
        first = suffix.place.start + 1
        n_common = suffix.n_common(prompt, place)
        return max(0, self._cache.match(suffix.key[: first + n_common]) - first)
