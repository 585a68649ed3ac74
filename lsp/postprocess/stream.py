"""Filters over a text that is still being generated: shown text only ever grows.

Only whole lines are shown, and only those that pass the streaming filters. The end of the stream gives
the result of the whole list, unless that would take back what was shown.
"""

from __future__ import annotations

from dataclasses import replace

from lsp.postprocess import FINAL, STREAMING, Outcome, postprocess
from lsp.postprocess.repetition import is_looping
from lsp.postprocess.suggestion import CursorContext, Ended, Suggestion


class SuggestionStream:
    """One alternative while it comes in: `push` text, show `shown`, then `finish`."""

    def __init__(self, context: CursorContext) -> None:
        self._context = context
        self._text = ""
        self._judged_chars = 0
        self.shown = ""

    @property
    def text(self) -> str:
        """All that was generated, unfiltered."""
        return self._text

    def push(self, delta: str) -> str:
        """Take generated text; returns what may be shown in addition, often nothing."""
        self._text += delta
        complete = self._text.rfind("\n")
        # With text right of the cursor only the finished suggestion can be judged.
        if complete <= self._judged_chars or self._context.line_tail.strip():
            return ""
        self._judged_chars = complete
        outcome = postprocess(Suggestion(self._text[:complete], Ended.RUNNING), self._context, STREAMING)
        if outcome.suggestion is None or not outcome.suggestion.text.startswith(self.shown):
            return ""
        added = outcome.suggestion.text[len(self.shown) :]
        self.shown += added
        return added

    def is_looping(self) -> bool:
        """Whether the text repeats itself, so that only the token limit would end it."""
        return is_looping(self._text)

    def finish(self, ended: Ended) -> Outcome:
        """The result of all filters, which always begins with what was shown."""
        outcome = postprocess(Suggestion(self._text, ended), self._context, FINAL)
        if not self.shown or (outcome.suggestion and outcome.suggestion.text.startswith(self.shown)):
            return outcome
        kept = Suggestion(self.shown, ended)
        return replace(outcome, suggestion=kept, dropped_by=None)
