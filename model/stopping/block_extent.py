"""How far a completion reaches when it may span lines: to the end of the block it is in.

Which block that is: if the cursor's line has text and the completion goes on deeper, the body
that this line opens (with its closing bracket, unless the suffix has it); else the block that the
first line of the completion is in. It ends before a line that is less deep. A completion on the
top level, or of a definition, has nothing that is less deep, so there one statement is the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from model.languages.line_kind import LineKind, begins_definition, kind_of
from model.stopping.extent import Line, LineReader, after_indent, may_be
from model.stopping.lines import indent_of, is_shallower
from model.stopping.surroundings import Surroundings


class _Do(Enum):
    """What becomes of a line."""

    ACCEPT = auto()
    CLOSE = auto()  # accept; it closes the block
    HOLD = auto()  # not known yet
    SKIP = auto()  # stays if a line that is accepted follows
    MATCH = auto()  # the suffix's first line: out, if the text goes on (or ends) as the suffix does
    CUT = auto()


@dataclass
class _Seen:
    """What the completion held so far."""

    code: bool = False
    blank: bool = False
    deeper: bool = False
    definition: bool = False
    closing: bool = False
    skipped: bool = False


class BlockExtent:
    """The lines of one block."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._reader = LineReader(around)
        self._has_lead = not around.begins_line
        self._level: str | None = None  # indentation of the block, once known
        self._seen = _Seen()
        self._good = 0  # where the last line ends that was accepted
        self._last_line: Line | None = None  # with which the block closed
        self._match_cut: int | None = None  # where the suffix's first line was met

    def look(self, text: str, *, ended: bool) -> tuple[int, bool]:
        """See `model.stopping.stopping.Extent`."""
        while True:
            if self._last_line is not None:
                return self._after(self._last_line, text, ended)
            line = self._reader.line(text, ended=ended)
            if line.blank:
                if line.next_start is None:
                    return self._end(text) if ended else (self._good, False)
                self._seen.blank |= self._seen.code
                self._reader.advance(line)
                continue
            do = self._decide(line)
            cut = self._cut_of(line) if do is _Do.CUT else self._tail_of(line, do)
            if cut is not None and line.complete:
                return cut, True
            if line.next_start is None:
                return self._last(line, do, text if ended else None, cut)
            if self._commit(line, do):
                self._last_line = line

    def _after(self, line: Line, text: str, ended: bool) -> tuple[int, bool]:
        """The end after the last line; with its line end if the suffix begins within a line."""
        if not (self._around.rest and self._around.begins_line) or line.next_start is None:
            return self._good, True
        end, certain = after_indent(text, line.next_start, self._around.lead)
        return (end, True) if certain or ended else (self._good, False)

    def _end(self, text: str) -> tuple[int, bool]:
        """The text ended in white space."""
        if self._match_cut is not None:
            return self._match_cut, True
        return (self._good if self._seen.skipped else len(text)), True

    def _last(self, line: Line, do: _Do, text: str | None, held: int | None) -> tuple[int, bool]:
        """The unfinished last line; `text` is the whole text if it has ended."""
        if do is _Do.CUT:
            return self._cut_of(line), True
        if do in (_Do.ACCEPT, _Do.CLOSE):
            if text is not None:
                return len(text), False
            # White space goes out with the word after it, so that the block can end without.
            end = line.start + len(line.text.rstrip())
            return (end if held is None else min(held, end)), False
        return self._good, False

    def _commit(self, line: Line, do: _Do) -> bool:
        """Take note of a complete line; whether the block ends with it."""
        own = self._is_own(line)
        within = self._reader.within
        self._reader.advance(line)
        if do is _Do.MATCH:
            self._match_cut = self._match_cut if self._match_cut is not None else self._before(line)
        elif do is _Do.SKIP:
            self._seen.skipped = True
            return False
        else:
            self._match_cut = None
            self._good = line.start + len(line.text.rstrip())
        self._note(line, own=own, within=within)
        self._seen.closing |= do is _Do.CLOSE
        return self._seen.closing and not self._reader.within

    def _note(self, line: Line, *, own: bool, within: bool) -> None:
        seen, indent = self._seen, self._indent(line)
        seen.skipped = seen.blank = False
        if own and not within and self._level is None:
            self._level = self._level_from(indent)
            seen.definition = not self._has_lead and begins_definition(line.text)
        seen.deeper |= own and is_shallower(self._floor(), indent)
        kind = kind_of(line.text, complete=line.complete)
        seen.code |= kind is not LineKind.COMMENT

    def _level_from(self, indent: str) -> str:
        """The block's level, given the first of its lines."""
        lead = indent_of(self._around.lead)
        return lead if self._has_lead and indent == lead else indent

    def _floor(self) -> str:
        if self._level is not None:
            return self._level
        return indent_of(self._around.lead)

    def _is_own(self, line: Line) -> bool:
        """Whether the completion wrote all of the line that is not white space."""
        return not (line.is_first and self._has_lead)

    def _whole(self, line: Line) -> str:
        return self._around.lead + line.text if line.is_first else line.text

    def _indent(self, line: Line) -> str:
        return indent_of(self._whole(line))

    def _decide(self, line: Line) -> _Do:
        reached = self._reached(line)
        if reached is not None and self._match_cut is not None:
            return reached
        if not self._is_own(line) or self._reader.within:
            return reached or _Do.ACCEPT
        kind = kind_of(line.text, complete=line.complete)
        do = self._place(line, kind)
        if do is _Do.ACCEPT and reached is not None:
            return reached
        return do

    def _place(self, line: Line, kind: LineKind) -> _Do:
        """What to do with a line of the completion's own, by its depth and first word."""
        outside = self._is_outside(self._indent(line))
        if kind is LineKind.UNDECIDED:  # it matters only where some kinds of line may not stand
            return _Do.HOLD if outside or self._is_done(line, LineKind.CODE) else _Do.ACCEPT
        if kind is LineKind.BRACKET:
            too_much = self._reader.closes_too_much(line)
            if too_much is not None:
                return _Do.CUT if too_much else _Do.CLOSE
            kind = LineKind.CLOSING
        if kind is LineKind.CLOSING and outside:
            if not line.complete:
                return _Do.HOLD
            return _Do.CUT if self._around.closes(self._whole(line)) else _Do.CLOSE
        if kind is LineKind.COMMENT and (outside or self._is_done(line, LineKind.CODE)):
            return _Do.SKIP if line.complete else _Do.HOLD
        if kind is LineKind.CONTINUING and outside and self._around.takes_clause(self._indent(line)):
            return _Do.ACCEPT
        return _Do.CUT if outside or self._is_done(line, kind) else _Do.ACCEPT

    def _is_outside(self, indent: str) -> bool:
        """Whether a line that deep is no longer in the block."""
        if self._level is None and not self._seen.code:
            # Nothing came yet, so the block is the one that this line is in, if the suffix allows.
            following = self._around.following[:1]
            if not any(is_shallower(indent, indent_of(line)) for line in following):
                return False
        return is_shallower(indent, self._floor())

    def _is_done(self, line: Line, kind: LineKind) -> bool:
        """Whether the one statement that is the block was complete before `line`."""
        indent = self._indent(line)
        if is_shallower(self._floor(), indent) or not (indent == "" or self._seen.definition):
            return False
        if any(is_shallower(indent, indent_of(after)) for after in self._around.following[:1]):
            return False  # the suffix is a body that still wants its first line
        if indent == "" and self._seen.blank:
            return True
        return self._seen.deeper and kind is LineKind.CODE

    def _reached(self, line: Line) -> _Do | None:
        """MATCH, CUT or HOLD if this is where the suffix goes on."""
        following = self._around.following
        if not following or not self._is_own(line):
            return None
        whole = self._whole(line)
        if self._match_cut is not None and len(following) > 1:
            if whole.rstrip() == following[1] and line.complete:
                return _Do.CUT
            if may_be(whole, following[1], complete=line.next_start is not None):
                return _Do.CUT if line.complete else _Do.HOLD
        if not may_be(whole, following[0], line.complete) or not self._reader.where_suffix_fits:
            return None
        if not line.complete:
            return _Do.HOLD
        return _Do.CUT if len(following) == 1 or line.next_start is None else _Do.MATCH

    def _cut_of(self, line: Line) -> int:
        """Where the text ends if `line` must not be in it."""
        return self._match_cut if self._match_cut is not None else self._before(line)

    def _before(self, line: Line) -> int:
        """Where the text before `line` ends; with its line end if the suffix begins within a line."""
        if line.is_first or not self._around.rest:
            return self._good
        if not self._has_lead:
            return after_indent(line.text, 0, self._around.lead)[0] + line.start
        closer = line.text.lstrip()[0] in ")]}"
        return line.start + len(indent_of(line.text)) if closer else self._good

    def _tail_of(self, line: Line, do: _Do) -> int | None:
        """Where an accepted line begins to repeat the suffix."""
        return self._reader.tail(line) if do in (_Do.ACCEPT, _Do.CLOSE) else None
