"""How far an answer reaches in a conversation that is written as text: to the next turn.

A base model that has answered goes on to write the next question itself. The answer ends before the
line that begins it (`model.prompt.dialogue` has the marks). White space at the answer's end is held back, as
is a line's beginning that may become a mark, so what is emitted never has to be taken back.
"""

from __future__ import annotations

from model.fences import FenceState
from model.prompt.dialogue import ASSISTANT, DIVIDER, HUMAN

_SPEAKERS = (HUMAN, ASSISTANT)


class TurnExtent:
    """An `Extent` (see `model.stopping.stopping`).

    With `code_is_quoted`, a mark inside fenced code is part of the answer: the conversation is about
    such text. Without it, a mark ends the answer there too: the model forgot to close its block.
    """

    def __init__(self, *, code_is_quoted: bool) -> None:
        self._code_is_quoted = code_is_quoted
        self._fences = FenceState()
        self._start = 0  # of the line that is not complete yet
        self._is_first = True
        self._after_blank = False
        self._end: int | None = None

    def look(self, text: str, *, ended: bool) -> tuple[int, bool]:
        """See `Extent`."""
        while self._end is None:
            line_end = text.find("\n", self._start)
            if line_end < 0:
                break
            self._take(text[self._start : line_end + 1])
        rest = text[self._start :]
        if self._end is None and (self._is_mark(rest) or (ended and self._is_divider(rest))):
            self._end = self._start
        if self._end is not None:
            return len(text[: self._end].rstrip()), True
        visible = self._start if not ended and self._may_become_mark(rest) else len(text)
        return len(text[:visible].rstrip()), False

    def _take(self, line: str) -> None:
        """A complete line."""
        if self._is_mark(line) or self._is_divider(line):
            self._end = self._start
            return
        self._fences.take(line)
        self._after_blank = not line.strip()
        self._is_first = False
        self._start += len(line)

    def _is_mark(self, line: str) -> bool:
        """Whether a line, or the beginning of one, is the next turn's."""
        return self._may_speak() and line.startswith(_SPEAKERS)

    def _is_divider(self, line: str) -> bool:
        """Whether a whole line divides conversations; after text it is a heading's underline."""
        return self._after_blank and not self._fences.fence and line.rstrip() == DIVIDER

    def _may_become_mark(self, rest: str) -> bool:
        speakers = _SPEAKERS if self._may_speak() else ()
        divider = (DIVIDER,) if self._after_blank and not self._fences.fence else ()
        return any(mark.startswith(rest.rstrip() if mark == DIVIDER else rest) for mark in speakers + divider)

    def _may_speak(self) -> bool:
        # The answer's first line is not a line's beginning: it stands behind "Assistant:".
        return not self._is_first and not (self._fences.fence and self._code_is_quoted)
