"""The last few generations. One serves again when the typed text agrees with it.

Decides whether one fits a place; `lsp.completion.reading` makes an item of it there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from lsp.completion.generation import Alternative, Generation
from lsp.completion.type_through import DocumentState, Fit, Offer, type_through

KEPT_GENERATIONS = 8


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A generation, where it began, and whether it was to end with its line."""

    origin: DocumentState
    generation: Generation
    single_line: bool

    def fits(self, now: DocumentState) -> bool:
        """Whether an alternative agrees with the typed text and has, or will have, more."""
        return any(self._fits(alternative, now) for alternative in self.generation.alternatives)

    def _fits(self, alternative: Alternative, now: DocumentState) -> bool:
        if alternative.is_given_up or (self.generation.is_ending and not alternative.is_finished):
            return False
        offer = Offer(state=self.origin, text=alternative.text, finished=alternative.is_finished)
        match = type_through(offer, now)
        return match is not None and match.fit is not Fit.COMPLETE


class KeptGenerations:
    """The last `KEPT_GENERATIONS` of all documents. After a backspace an older one serves again."""

    def __init__(self) -> None:
        self._kept: deque[Kept] = deque(maxlen=KEPT_GENERATIONS)

    def add(self, kept: Kept) -> None:
        """Keep a new one, and end those of its document that nobody reads."""
        for other in self._kept:
            if other.origin.uri == kept.origin.uri:
                other.generation.stop_if_unread()
        self._kept.append(kept)

    def find(self, now: DocumentState, *, asked_again: bool, random: bool) -> Kept | None:
        """The newest that fits.

        A user who asks again by key wants more than a single line or, at a temperature above 0, another
        answer.
        """
        for kept in reversed(self._kept):
            too_little = asked_again and kept.origin == now and (kept.single_line or random)
            if not too_little and kept.fits(now):
                return kept
        return None

    def forget(self, uri: str) -> None:
        """Drop those of a document that was closed."""
        for kept in [kept for kept in self._kept if kept.origin.uri == uri]:
            kept.generation.stop_if_unread()
            self._kept.remove(kept)

    def clear(self) -> None:
        """Drop all, since the settings have changed. Those that are being read go on."""
        for kept in self._kept:
            kept.generation.stop_if_unread()
        self._kept.clear()

    async def aclose(self) -> None:
        """End all that run."""
        await asyncio.gather(*(kept.generation.stop() for kept in self._kept))
        self._kept.clear()
