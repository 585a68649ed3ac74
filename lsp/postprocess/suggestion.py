"""What the filters look at: a suggestion, and the place in the document where it would stand.

Texts have LF line ends only; `CursorContext.at` converts the document's and remembers them. Knows nothing
about the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from lsp.postprocess.brackets import Brackets, brackets_at, python_top
from lsp.postprocess.closing import MAX_LINE_CHARS, ClosedTail, Position
from model.languages.language import SyntaxFamily
from model.languages.languages import language_of_id


class Ended(StrEnum):
    """Why the text ends where it does. A text that ended by itself is trusted more than a cut one."""

    RUNNING = "running"  # more is being generated
    STOP = "stop"  # the model or a stop rule ended it
    LENGTH = "length"  # cut at the token limit


@dataclass(frozen=True)
class Suggestion:
    """A middle. It replaces `replace_chars` characters behind the cursor, on the cursor's line."""

    text: str
    ended: Ended = Ended.STOP
    replace_chars: int = 0

    def with_text(self, text: str) -> Suggestion:
        """The same suggestion with another text."""
        return self if text == self.text else replace(self, text=text)


@dataclass(frozen=True, kw_only=True)
class CursorContext:
    """The document around the cursor. Build it with `at`, which normalises line ends."""

    prefix: str
    suffix: str
    language: str = ""
    eol: str = "\n"
    manual: bool = False  # the user asked for it (a key), not a typed character
    can_replace: bool = False  # the client can replace text after the cursor
    from_file_start: bool = False  # the prefix is not cut at its start

    @classmethod
    def at(
        cls,
        *,
        prefix: str,
        suffix: str,
        language: str = "",
        manual: bool = False,
        can_replace: bool = False,
        from_file_start: bool = False,
    ) -> CursorContext:
        """The context of a cursor between two texts that have the document's line ends."""
        sample = prefix if "\n" in prefix or "\r" in prefix else suffix
        eol = "\r\n" if "\r\n" in sample else "\r" if "\r" in sample and "\n" not in sample else "\n"
        return cls(
            prefix=to_lf(prefix),
            suffix=to_lf(suffix),
            language=language,
            eol=eol,
            manual=manual,
            can_replace=can_replace,
            from_file_start=from_file_start,
        )

    def beyond(self, n_chars: int) -> CursorContext:
        """The context without the first characters behind the cursor."""
        return replace(self, suffix=self.suffix[n_chars:]) if n_chars else self

    @property
    def family(self) -> SyntaxFamily | None:
        """How sure the language's brackets are; None: not enough to cut by them."""
        known = language_of_id(self.language)
        return None if known is None else known.family

    @cached_property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @cached_property
    def line_tail(self) -> str:
        """The cursor's line from the cursor on, without its end."""
        return self.suffix.partition("\n")[0]

    @cached_property
    def lines_above(self) -> list[str]:
        """The prefix's lines above the cursor's, the nearest last."""
        return self.prefix.split("\n")[:-1]

    @cached_property
    def lines_below(self) -> list[str]:
        """The lines below the cursor's that are not blank, without white space at their ends."""
        return [line.rstrip() for line in self.suffix.split("\n")[1:] if line.strip()]

    @cached_property
    def brackets(self) -> Brackets | None:
        """The brackets around the cursor; None in a string, a comment or an unknown language."""
        return brackets_at(
            self.prefix, self.suffix, language=self.language, from_file_start=self.from_file_start
        )

    @cached_property
    def position(self) -> Position:
        """What is open at the cursor."""
        start = python_top(self.prefix) or 0 if self.family == "python" else 0
        lines = self.prefix[start : len(self.prefix) - len(self.line_before)]
        return Position.after(lines, self.line_before, language_of_id(self.language))

    @property
    def is_in_block(self) -> bool:
        """Whether nothing is open at the cursor in which lines may stand as they like."""
        return self.position.is_in_block

    @cached_property
    def closed_tail(self) -> ClosedTail | None:
        """The rest of the line, where it closes what is open at the cursor."""
        tail = self.line_tail.rstrip()
        if not tail or max(len(tail), len(self.line_before)) > MAX_LINE_CHARS:
            return None
        closed = ClosedTail(self.position, tail)
        return closed if closed.ends else None

    def whole_lines(self, text: str) -> list[str]:
        """A suggestion's lines as the document would have them, the first with the text before the cursor."""
        return (self.line_before + text).split("\n")


Filter = Callable[[Suggestion, CursorContext], Suggestion | None]
"""A pure function; None drops the suggestion."""


def to_lf(text: str) -> str:
    """The text with LF line ends only."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
