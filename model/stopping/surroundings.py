"""What stands around the cursor, as far as the stop rules need to know.

Everything is worked out when it is first asked for: most line completions end before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from model.languages.languages import PROSE, language_of_path
from model.languages.lexer import Lexer, lexer_of
from model.languages.line_kind import begins_clause
from model.languages.run import OPENER_OF
from model.languages.state import LexerState, Open, Scope
from model.stopping.lines import indent_of, is_shallower, line_start, lines_of


class Bracket(NamedTuple):
    """A bracket that is open, and the white space that its line begins with."""

    sign: str
    indent: str


def signs_of(brackets: Sequence[Open]) -> list[str]:
    """The brackets, without where they stand."""
    return [one.opener for one in brackets]


def texts_of(state: LexerState) -> list[tuple[Scope, str]]:
    """What decides how the text that follows is read."""
    return [(one.kind, one.closer) for one in state.without_brackets().stack if one.kind is not Scope.ELEMENT]


def _lexer(path: str | None) -> Lexer:
    """In prose, brackets and quotes are mostly text; lines and their depth say enough."""
    language = language_of_path(path) if path else None
    return lexer_of(PROSE if language is not None and language.is_prose else language)


class Surroundings:
    """The text before and after a cursor. `closed_tail` is what an editor has closed between the two."""

    def __init__(self, prefix_tail: str, suffix: str, path: str | None, closed_tail: str = "") -> None:
        self.lexer = _lexer(path)
        self._prefix_tail = prefix_tail
        self._suffix = suffix
        self._closed_tail = closed_tail
        # The cursor's own line, before the cursor.
        self.lead = prefix_tail[max(prefix_tail.rfind("\n"), prefix_tail.rfind("\r")) + 1 :]
        # ... and after it, empty if there is but white space.
        self.rest = next(lines_of(suffix))[0].rstrip()

    @cached_property
    def state(self) -> LexerState:
        """What is open at the cursor."""
        return self.lexer.scan(self._prefix_tail).state

    @cached_property
    def state_below(self) -> LexerState:
        """What is open where the line below the cursor's begins, as far as the cursor decides it."""
        return self.lexer.scan("\n", self.state).state

    @cached_property
    def brackets(self) -> tuple[Bracket, ...]:
        """The brackets open at the cursor."""
        text = self._prefix_tail
        return tuple(
            Bracket(one.opener, indent_of(text[line_start(text, one.start_char) : one.start_char]))
            for one in self.state.brackets
        )

    @property
    def begins_line(self) -> bool:
        """Whether the cursor stands before all the text of its line, if there is any."""
        return not self.lead.strip()

    @cached_property
    def following(self) -> tuple[str, ...]:
        """The first two lines with text that the suffix holds in full; none if the cursor divides one."""
        if self.rest and not self.begins_line:
            return ()
        texts = (line.rstrip() for line, _, _ in lines_of(self._suffix) if line.strip())
        lines = [text for text, _ in zip(texts, range(2), strict=False)]
        return (self.lead + lines[0], *lines[1:]) if self.rest else tuple(lines)

    @cached_property
    def min_depth(self) -> int:
        """How many brackets must stay open, counted from the outermost, for the suffix to close."""
        stack = self.brackets[: self._n_below_tail]
        closed = _closed(self._marks, stack)[0]
        depth = len(stack)
        while depth and _closed(self._marks, stack[: depth - 1])[0] == closed:
            depth -= 1
        return depth

    @property
    def _n_below_tail(self) -> int:
        """How many of the brackets the editor has not closed on the cursor's line."""
        return len(self.lexer.scan(self._closed_tail, self.state).state.brackets)

    @cached_property
    def wanted(self) -> tuple[list[str], ...]:
        """Which brackets may be open where the suffix begins: those it closes, or those at the cursor."""
        missing = _closed(self._marks, self.brackets[: self._n_below_tail])[1]
        signs = signs_of(self.state.brackets)
        ideal = signs[: self.min_depth] + missing[::-1]
        return (ideal,) if self._rest_closes else (ideal, signs)

    @property
    def _rest_closes(self) -> bool:
        """Whether the rest of the cursor's line closes brackets opened before the cursor."""
        edges = self.lexer.scan(self.rest, self.state.without_brackets()).edges
        return any(edge.step == 0 for edge in edges)

    def takes_clause(self, indent: str) -> bool:
        """Whether the suffix can be the body of a clause such as `else` that deep, and has none itself."""
        lines = [(line, own) for line, own, _ in lines_of(self.lead + self._suffix) if line.strip()]
        if not lines or not is_shallower(indent, lines[0][1]):
            return False
        after = next((line for line, own in lines if not is_shallower(indent, own)), "")
        return indent_of(after) != indent or not begins_clause(after)

    def closes(self, closing_line: str) -> bool:
        """Whether the suffix goes on with this very line: a bracket, a tag or a word such as `end`."""
        indent = indent_of(closing_line)
        for line, own, _ in lines_of(self._suffix):
            if line.strip() and not is_shallower(indent, own):
                return own == indent and line.split()[0].rstrip(",;") == closing_line.split()[0].rstrip(",;")
        return False

    @cached_property
    def _marks(self) -> list[_Mark]:
        return list(self._find_marks())

    def _find_marks(self) -> Iterator[_Mark]:
        """The suffix's lines, and the closers in them whose openers are not in the suffix."""
        state = self.state.without_brackets()
        for number, (line, indent, complete) in enumerate(lines_of(self._suffix)):
            if number and line.strip() and not state.brackets and not state.is_text:
                yield _Mark(None, indent, line.strip()[0] in OPENER_OF)
            scan = self.lexer.scan(line + "\n" if complete else line, state)
            for edge in scan.edges:
                if edge.step == 0:
                    yield _Mark(OPENER_OF[line[edge.start_char]], indent, False)
            state = scan.state


class _Mark(NamedTuple):
    """A line of the suffix (`opener` None), or a closer in it."""

    opener: str | None
    indent: str
    begins_with_closer: bool


def _closed(marks: Sequence[_Mark], stack: Sequence[Bracket]) -> tuple[int, list[str]]:
    """How many brackets of `stack` the closers among `marks` close, innermost first.

    Also which openers are missing: those of closers that come before and close none of them.
    Indentation decides where counting would not: a closer that begins its line belongs to an
    opener whose line is as deep, and a line of text as shallow as the opener's own ends the hope
    that its bracket will still be closed. What is in doubt counts as not closed.
    """
    waiting = list(stack)
    closed, missing = 0, []
    for mark in marks:
        if mark.opener is None:
            waiting = [one for one in waiting if _may_close(one, mark)]
            continue
        at = len(waiting) - 1
        while at >= 0 and waiting[at].sign != mark.opener:
            at -= 1
        if at >= 0:
            del waiting[at:]
            closed += 1
        elif not closed:
            missing.append(mark.opener)
    return closed, missing


def _may_close(one: Bracket, line: _Mark) -> bool:
    """Whether a suffix line may still close the bracket `one`."""
    if is_shallower(line.indent, one.indent):
        return False
    return line.begins_with_closer or is_shallower(one.indent, line.indent)
