"""How far a completion reaches: to the end of its line, or of its block.

Both kinds read the text line by line. A decision is only taken once no further character could
change it, so text in doubt is held back; there is little of it: what may repeat the suffix, and
in block mode line ends and the first word of a line.
Source of the rules: what Tabby, Continue and llama.vscode cut after the fact, done while decoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from model.languages.state import LexerState, Scope
from model.stopping.surroundings import Surroundings, signs_of, texts_of

_LINE_END = re.compile(r"\r\n|\n|\r(?=.)", re.DOTALL)
# A model that writes nothing but empty lines will not recover.
_MAX_LEADING_LINE_ENDS = 4
# What a line may start within. Elements of tags end by their depth, as blocks do.
_WITHIN = {Scope.BRACKET, Scope.STRING, Scope.INTERPOLATION, Scope.COMMENT, Scope.REGEX, Scope.TAG}
# Such a line is data or minified, and scanning it anew for each token would take milliseconds.
_MAX_TAIL_CHARS = 1_000


@dataclass(frozen=True)
class Line:
    """One line of the completion: where it starts and ends, and whether the end is final."""

    text: str
    start: int
    is_first: bool
    complete: bool
    next_start: int | None

    @property
    def end(self) -> int:
        """Where the line's content ends."""
        return self.start + len(self.text)

    @property
    def blank(self) -> bool:
        """Whether there is but white space."""
        return not self.text.strip()


class LineReader:
    """Cuts a growing text into lines and follows the brackets and strings in them."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._state: LexerState | None = None  # None until needed: then as at the cursor
        self._depth = 0
        self._low = 0
        self._start = 0

    @property
    def state(self) -> LexerState:
        """What is open at the start of the current line."""
        if self._state is None:
            self._state = self.around.state
        return self._state

    @property
    def within(self) -> bool:
        """Whether the current line starts within a string, or a bracket that the completion opened."""
        return self.state.is_text or self._depth > self._low

    def line(self, text: str, *, ended: bool) -> Line:
        """The current line, as much of it as there is."""
        match = _LINE_END.search(text, self._start)
        first = self._start == 0
        if match:
            return Line(text[self._start : match.start()], self._start, first, True, match.end())
        rest = text[self._start :]
        # A carriage return at the end may be half a line end.
        return Line(rest if ended else rest.removesuffix("\r"), self._start, first, ended, None)

    def advance(self, line: Line) -> None:
        """Go on to the line after `line`, which is complete."""
        assert line.next_start is not None
        scan = self.around.lexer.scan(line.text + "\n", self.state)
        for edge in scan.edges:
            if edge.kind in _WITHIN:
                self._depth += edge.step
                self._low = min(self._low, self._depth)
        self._state = scan.state
        self._start = line.next_start

    def tail(self, line: Line) -> int | None:
        """Where that part of `line` begins which the suffix already has, None if there is none.

        That is a bracket closed for the second time, or the rest of the cursor's line. While the
        line is incomplete the answer may still become None, so the text is held, not cut.
        """
        if len(line.text) > _MAX_TAIL_CHARS:
            return None
        found = [at for at in (self._over(line), self._rest(line)) if at is not None]
        return line.start + min(found) if found else None

    @property
    def where_suffix_fits(self) -> bool:
        """Whether the suffix may go on at the start of the current line, as far as brackets tell."""
        return not self.within or self._fits(self.state, self.around.state_below)

    def closes_too_much(self, line: Line) -> bool | None:
        """Whether the closer that `line` begins with is one the suffix has; None if it closes nothing."""
        edges = self.around.lexer.scan(line.text.lstrip()[0], self.state).edges
        if not edges or not edges[-1].step:
            return None
        return edges[-1].n_brackets < self.around.min_depth

    def _over(self, line: Line) -> int | None:
        """Where a bracket is closed that the suffix closes, and not opened again on this line."""
        if not any(closer in line.text for closer in ")]}"):
            return None
        at = None
        for edge in self.around.lexer.scan(line.text, self.state).edges:
            if edge.n_brackets >= self.around.min_depth:
                at = None
            elif at is None and edge.step < 0 and edge.kind is Scope.BRACKET:
                at = edge.start_char
        return at

    def _rest(self, line: Line) -> int | None:
        """Where the rest of the cursor's line begins in `line`, if the brackets fit there."""
        rest = self.around.rest
        if not rest:
            return None
        text = line.text.rstrip()
        starts = [len(text) - len(rest)] if text.endswith(rest) else []
        if not line.complete:
            sizes = range(min(len(rest), len(line.text)), 0, -1)
            starts += [len(line.text) - n for n in sizes if line.text.endswith(rest[:n])]
        if self.around.begins_line:  # as lines of their own they are compared in whole, see `following`
            starts = [at for at in starts if line.text[:at].strip()]
        scan = self.around.lexer.scan
        states = ((at, scan(line.text[:at], self.state).state) for at in sorted(starts))
        return next((at for at, state in states if self._fits(state, self.around.state)), None)

    def _fits(self, state: LexerState, cursor: LexerState) -> bool:
        """Whether the suffix can stand in `state`, given what is open at the cursor."""
        return texts_of(state) == texts_of(cursor) and signs_of(state.brackets) in self.around.wanted


class LineExtent:
    """One line of text: the cursor's own, or the next one if the completion begins with a line end."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._reader = LineReader(around)
        self._line_ends = 0

    def look(self, text: str, *, ended: bool) -> tuple[int, bool]:
        """See `model.stopping.stopping.Extent`."""
        line = self._reader.line(text, ended=ended)
        while line.blank and line.next_start is not None:
            self._line_ends += 1
            if self._line_ends > _MAX_LEADING_LINE_ENDS:
                return 0, True
            self._reader.advance(line)
            line = self._reader.line(text, ended=ended)
        if line.blank:
            return (len(text) if ended else 0), False
        cut = self._repeated(line)
        if cut is not None or line.next_start is None:
            return (line.end if cut is None else cut), line.complete and cut is not None
        if not (self._around.rest and self._around.begins_line):
            return line.end, True
        # The cursor stands before a line: that one must stay a line of its own, as deep as it is.
        end, certain = after_indent(text, line.next_start, self._around.lead)
        return (end, True) if certain or ended else (line.end, False)

    def _repeated(self, line: Line) -> int | None:
        """Where to cut (or hold, while the line is incomplete) because the suffix says the same."""
        around = self._around
        if around.following and (not line.is_first or around.begins_line):
            whole = around.lead + line.text if line.is_first else line.text
            if may_be(whole, around.following[0], line.complete):
                return 0
        return self._reader.tail(line)


def after_indent(text: str, start: int, indent: str) -> tuple[int, bool]:
    """Where the white space at `start` ends as far as it agrees with `indent`, and if that is final."""
    size = 0
    while text[start : start + size + 1] == indent[: size + 1] and size < len(indent):
        size += 1
    return start + size, size == len(indent) or start + size < len(text)


def may_be(whole: str, wanted: str, complete: bool) -> bool:
    """Whether the line is `wanted`, or can still become it."""
    return whole.rstrip() == wanted or (not complete and wanted.startswith(whole))
