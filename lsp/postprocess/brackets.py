"""Brackets around the cursor, strings and comments left out.

It is asked only for evidence that a text would break what now fits, so where it cannot know (a
language whose brackets are not certain, a cursor in a string, a window that begins in the middle of
one), the answer is None and nothing is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from model.languages.languages import language_of_id
from model.languages.lexer import Lexer, lexer_of
from model.languages.run import CLOSER_OF
from model.languages.state import Edge, LexerState, Scope

# JSX puts its code in braces like any other; in a string they are the string's.
_BRACKETS = {Scope.BRACKET, Scope.INTERPOLATION}
_TEXTS = {Scope.STRING, Scope.COMMENT, Scope.REGEX}
# Where a Python file has no bracket open: these statements cannot stand inside one.
_PYTHON_TOP = re.compile(r"^[ \t]*(?:(?:def|class|async def) \w|@\w)", re.M)


@dataclass(frozen=True)
class Closer:
    """A closing bracket in a text: where it stands and whether it closes what an earlier text opened."""

    start_char: int
    outer: bool


@dataclass(frozen=True)
class Balance:
    """The stack of open brackets after a text, outermost first, and what happened on the way."""

    stack: str
    state: LexerState
    closers: tuple[Closer, ...] = ()
    mismatch_char: int | None = None  # the first bracket that closes another kind, or nothing at all
    in_code: bool = True  # the text does not end in a string or a comment


@dataclass(frozen=True)
class Brackets:
    """What the document around the cursor has open, and what its suffix closes."""

    lexer: Lexer
    state: LexerState  # at the start of the cursor's line
    line_before: str
    closed_after: str  # the suffix's closing brackets that close what is open at the cursor, in order
    base_known: bool  # nothing is open outside `stack`

    @property
    def stack(self) -> str:
        """The brackets open at the start of the cursor's line, outermost first."""
        return _stack(self.state)

    @property
    def consistent(self) -> bool:
        """Whether the document fits as it stands; if not, there is nothing to compare with."""
        here = self.after("")
        return here.mismatch_char is None and self.fits(here.stack)

    def after(self, text: str) -> Balance:
        """The brackets after `text` is put at the cursor; positions count from the cursor."""
        start_char = len(self.line_before)
        return _balance(
            self.lexer, self.line_before + text, self.state, base_known=self.base_known, start_char=start_char
        )

    def fits(self, stack: str) -> bool:
        """Whether the suffix closes `stack` from the inside out."""
        closing = self.closed_after
        if len(closing) > len(stack) and self.base_known:
            return False
        return all(
            CLOSER_OF[opened] == closer for opened, closer in zip(reversed(stack), closing, strict=False)
        )


def brackets_at(prefix: str, suffix: str, *, language: str, from_file_start: bool) -> Brackets | None:
    """The brackets around a cursor between two texts, or None where they cannot be told."""
    table = language_of_id(language)
    if table is None or table.family is None:
        return None
    known = from_file_start
    if table.family == "python":
        if (top := python_top(prefix)) is not None:
            prefix, known = prefix[top:], True
        below = _PYTHON_TOP.search(suffix, suffix.find("\n") + 1) if "\n" in suffix else None
        suffix = suffix[: below.start()] if below else suffix
    line_start = prefix.rfind("\n") + 1
    above_text, line_before = prefix[:line_start], prefix[line_start:]
    if table.family == "c" and _is_macro(above_text, line_before):
        return None  # its brackets need not fit
    lexer = lexer_of(table)
    above = _balance(lexer, above_text, lexer.start(prefix), base_known=known)
    if not above.in_code or above.mismatch_char is not None:
        return None
    here = _balance(lexer, line_before, above.state, base_known=known)
    if not here.in_code or here.mismatch_char is not None:
        return None
    return Brackets(lexer, above.state, line_before, _closed(lexer, suffix, here.state), known)


def python_top(prefix: str) -> int | None:
    """Where the last line of Python begins at which nothing can be open."""
    return max((match.start() for match in _PYTHON_TOP.finditer(prefix)), default=None)


def _is_macro(above: str, line_before: str) -> bool:
    return above.endswith("\\\n") or line_before.rstrip().endswith("\\")


def _balance(lexer: Lexer, text: str, state: LexerState, *, base_known: bool, start_char: int = 0) -> Balance:
    scan = lexer.scan(text, state)
    opened = list(_stack(state))
    lowest = -1  # the stack's depth at `start_char`; what is closed below it is "outer"
    closers: list[Closer] = []
    for edge in _of_code(scan.edges):
        here = edge.start_char - start_char
        if here >= 0 and lowest < 0:
            lowest = len(opened)
        if edge.step > 0:
            opened.append(text[edge.end_char - 1])
            continue
        # What closes without a sign was left open by what does close, and a sign may close nothing.
        if edge.start_char == edge.end_char or (edge.step == 0 and (opened or base_known)):
            return Balance("".join(opened), scan.state, tuple(closers), here)
        outer = len(opened) <= lowest
        if opened:
            opened.pop()
        if here >= 0:
            lowest = min(lowest, len(opened))
            closers.append(Closer(here, outer))
    in_code = not any(one.kind in _TEXTS for one in scan.state.stack)
    return Balance("".join(opened), scan.state, tuple(closers), None, in_code)


def _closed(lexer: Lexer, suffix: str, state: LexerState) -> str:
    """The suffix's closing brackets that close nothing in it."""
    depth, closed = 0, []
    for edge in _of_code(lexer.scan(suffix, state.without_brackets()).edges):
        if edge.step > 0:
            depth += 1
        elif depth and edge.step < 0:
            depth -= 1
        elif edge.start_char < edge.end_char:
            closed.append(suffix[edge.start_char])
    return "".join(closed)


def _stack(state: LexerState) -> str:
    return "".join(one.opener[-1] for one in state.stack if one.kind in _BRACKETS)


def _of_code(edges: Iterable[Edge]) -> Iterable[Edge]:
    """Brackets, but not those of code in strings."""
    n_strings = 0
    for edge in edges:
        if edge.kind is Scope.STRING:
            n_strings += edge.step
        elif not n_strings and edge.kind in _BRACKETS:
            yield edge
