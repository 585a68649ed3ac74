"""One alternative of a generation, as seen from one place: what may be shown, and the item it becomes.

The user may have typed on since the generation began. The alternative then begins with the typed
characters, and only the rest counts. Filters and the confidence gate act here. Nothing here waits or
knows the editor's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lsp.completion.confidence import can_decide, confidence, is_confident
from lsp.completion.generation import Alternative
from lsp.completion.type_through import DocumentState, Fit, Offer, type_through
from lsp.documents.place import Place
from lsp.postprocess import CursorContext, Ended
from lsp.postprocess.stream import SuggestionStream
from lsp.postprocess.suggestion import to_lf

if TYPE_CHECKING:
    from lsp.sources.references import Reference


@dataclass(frozen=True, kw_only=True)
class Item:
    """A finished suggestion. `text` goes between `place.lead` and what follows `replace_chars`.

    `finish_reason` is the engine's ("stop", "length"), and so are `timings`, where it tells any.
    `latency_ms` counts from the editor's question. `references` are the sources that the text was found to
    be a copy of; `label` is what an editor shows beside it.
    """

    index: int
    place: Place
    text: str
    replace_chars: int = 0
    finish_reason: str = "stop"
    confidence: float | None = None
    latency_ms: float | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Update:
    """How one alternative stands. `text` is all of it so far, unfiltered; `shown` is what may be shown.

    `shown` grows by whole lines and is never taken back while the alternative runs. The last update is
    `done`; it has the item, or the reason why there is none.
    """

    index: int
    text: str
    shown: str = ""
    done: bool = False
    item: Item | None = None
    dropped_by: str | None = None


class Reading:
    """Follows one alternative; call `look` whenever it may have changed."""

    def __init__(
        self, index: int, *, origin: DocumentState, place: Place, context: CursorContext, threshold: float
    ) -> None:
        self.index = index
        self.done = False
        # The alternative differs from what the user typed, or has nothing beyond it.
        self.is_misfit = False
        self._origin = origin
        self._place = place
        self._threshold = threshold
        self._stream = SuggestionStream(context)
        self._n_typed: int | None = None  # None: the typed text is ahead of the generated one

    def look(self, alternative: Alternative, *, ended: bool) -> Update | None:
        """What is new, or None. `ended`: the generation has ended."""
        if self.done:
            return None
        fit = self._align(alternative, ended=ended)
        finished = alternative.is_finished
        if fit is None:
            self.is_misfit = True
            return self._drop("typed differently")
        # What the engine could not finish is not shown.
        if alternative.is_given_up or (ended and not finished):
            return self._drop("not finished")
        if fit is Fit.AHEAD:
            return None
        has_text = self._read(alternative)
        at_end = finished or self._stream.is_looping()
        if self._threshold and not can_decide(alternative.logprobs, finished=at_end):
            return None
        if not is_confident(alternative.logprobs, threshold=self._threshold):
            return self._drop("confidence")
        if at_end:
            return self._finish(alternative)
        return self._update() if has_text else None

    def _align(self, alternative: Alternative, *, ended: bool) -> Fit | None:
        """Find how much of the alternative the user has typed."""
        if self._n_typed is not None:
            return Fit.REMAINDER
        offer = Offer(
            state=self._origin,
            text=alternative.text,
            finished=ended or alternative.is_finished,
        )
        match = type_through(offer, state_of(self._place))
        if match is not None and match.fit is not Fit.AHEAD:
            self._n_typed = len(match.typed)
        return None if match is None else match.fit

    def _read(self, alternative: Alternative) -> bool:
        """Push new text to the filters; returns whether there was any."""
        assert self._n_typed is not None
        # Line ends first: a \r at the end may be the first half of \r\n.
        added = to_lf(alternative.text)[self._n_typed + len(self._stream.text) :]
        if added:
            self._stream.push(added)
        return bool(added)

    def _finish(self, alternative: Alternative) -> Update:
        reason = alternative.finish_reason or "length"  # a loop is cut here, as at the limit
        outcome = self._stream.finish(Ended.LENGTH if reason == "length" else Ended.STOP)
        if outcome.suggestion is None:
            self.is_misfit = bool(self._n_typed) and not self._stream.text.strip()
            return self._drop(outcome.dropped_by or "filters")
        suggestion = outcome.suggestion
        self.done = True
        sure = confidence(alternative.logprobs)
        item = Item(
            index=self.index,
            place=self._place,
            text=suggestion.text,
            replace_chars=suggestion.replace_chars,
            finish_reason=reason,
            confidence=None if sure is None else sure.mean,
        )
        return Update(index=self.index, text=self._stream.text, shown=item.text, done=True, item=item)

    def _update(self) -> Update:
        return Update(index=self.index, text=self._stream.text, shown=self._stream.shown)

    def _drop(self, reason: str) -> Update:
        self.done = True
        return Update(index=self.index, text=self._stream.text, done=True, dropped_by=reason)


def state_of(place: Place) -> DocumentState:
    """The document around a place, as type-through compares it."""
    return DocumentState(
        uri=place.uri,
        version=place.version or 0,
        line=place.line + place.lead.count("\n"),
        before=place.before,
        after=place.after,
    )
