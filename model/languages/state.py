"""Where a point of a text is: what is open there, from the outermost to the innermost.

Plain data. Made by `model.languages.lexer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from model.languages.language import Quote

if TYPE_CHECKING:
    from model.languages.run import Mode


class Kind(Enum):
    """What something that opens and closes is; CODE and TEXT are what is around all of it."""

    CODE = auto()
    TEXT = auto()  # between tags
    STRING = auto()
    INTERPOLATION = auto()  # code within a string, a template or text
    FORMAT = auto()  # what follows the `:` of an interpolation
    COMMENT = auto()
    REGEX = auto()
    TAG = auto()  # <a href="…">, from `<` to `>`
    ELEMENT = auto()  # from <a> to </a>
    BRACKET = auto()
    ANGLE = auto()  # the < > of types, and of #include


# Kinds whose inside is not code: nothing in it opens or closes but their own end.
TEXTS = frozenset({Kind.STRING, Kind.FORMAT, Kind.COMMENT, Kind.REGEX})


class Open(NamedTuple):
    """One thing that is open; `closer` is "" if its line's end closes it, or nothing has to."""

    kind: Kind
    opener: str
    closer: str
    start_char: int  # in the text of the call that met it
    mode: Mode  # how its inside is read

    @property
    def quote(self) -> Quote | None:
        """A string's escapes and interpolations."""
        return self.mode.quote

    @property
    def ends_with_line(self) -> bool:
        """Whether a line's end closes it."""
        return self.mode.ends_with_line


class Mark(NamedTuple):
    """Where something opens (`step` 1) or closes (-1), or a bracket closes nothing (0).

    What is closed because something around it is has no width. `n_brackets` are open after it.
    """

    start_char: int
    end_char: int
    kind: Kind
    step: int
    n_brackets: int


class Heir(NamedTuple):
    """Something that opens with the next line."""

    opener: str
    closer: str
    mode: Mode


class State(NamedTuple):
    """What is open at a point."""

    stack: tuple[Open, ...] = ()
    heirs: tuple[Heir, ...] = ()

    @property
    def innermost(self) -> Open | None:
        """The innermost thing open that is not a bracket: in what the point is."""
        return next((one for one in reversed(self.stack) if one.kind not in (Kind.BRACKET, Kind.ANGLE)), None)

    @property
    def is_text(self) -> bool:
        """Whether the point is in a string, a comment or the like, and not in code."""
        return bool(self.stack) and self.stack[-1].kind in TEXTS

    @property
    def closers(self) -> tuple[str, ...]:
        """What is still to be written for all to be closed, the innermost first."""
        return tuple(one.closer for one in reversed(self.stack) if one.closer)

    @property
    def interpolation_depth(self) -> int:
        """In how many interpolations the point is."""
        return sum(one.kind is Kind.INTERPOLATION for one in self.stack)

    @property
    def brackets(self) -> tuple[Open, ...]:
        """The brackets that are open."""
        return tuple(one for one in self.stack if one.kind is Kind.BRACKET)

    def without_brackets(self) -> State:
        """Only what decides how the following text is read."""
        kept = tuple(one for one in self.stack if one.kind not in (Kind.BRACKET, Kind.ANGLE))
        return State(kept, self.heirs)


class Region(NamedTuple):
    """A part of a text that is of one kind, its delimiters included; brackets are code."""

    start_char: int
    end_char: int
    kind: Kind


def regions_of(size: int, marks: Sequence[Mark], start: State, ground: Kind) -> list[Region]:
    """The text of `size` characters as regions, which follow each other without a gap."""
    kinds = [ground, *(one.kind for one in start.stack)]
    found: list[Region] = []
    at = 0
    for mark in marks:
        if mark.step == 0:
            continue
        # A delimiter belongs to what it delimits.
        edge = mark.start_char if mark.step > 0 else mark.end_char
        if edge > at:
            _add(found, at, edge, _region_kind(kinds))
            at = edge
        if mark.step > 0:
            kinds.append(mark.kind)
        else:
            kinds.pop()
    if size > at:
        _add(found, at, size, _region_kind(kinds))
    return found


def _region_kind(kinds: list[Kind]) -> Kind:
    kind = next(each for each in reversed(kinds) if each not in (Kind.BRACKET, Kind.ANGLE))
    return Kind.TEXT if kind is Kind.ELEMENT else kind


def _add(found: list[Region], start: int, end: int, kind: Kind) -> None:
    if found and found[-1].kind is kind:
        found[-1] = Region(found[-1].start_char, end, kind)
    else:
        found.append(Region(start, end, kind))
