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


class Scope(Enum):
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
TEXTS = frozenset({Scope.STRING, Scope.FORMAT, Scope.COMMENT, Scope.REGEX})


class Open(NamedTuple):
    """One thing that is open; `closer` is "" if its line's end closes it, or nothing has to."""

    kind: Scope
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


class Edge(NamedTuple):
    """Where something opens (`step` 1) or closes (-1), or a bracket closes nothing (0).

    What is closed because something around it is has no width. `n_brackets` are open after it.
    """

    start_char: int
    end_char: int
    kind: Scope
    step: int
    n_brackets: int


class Heir(NamedTuple):
    """Something that opens with the next line."""

    opener: str
    closer: str
    mode: Mode


class LexerState(NamedTuple):
    """What is open at a point."""

    stack: tuple[Open, ...] = ()
    heirs: tuple[Heir, ...] = ()

    @property
    def innermost(self) -> Open | None:
        """The innermost thing open that is not a bracket: in what the point is."""
        return next(
            (one for one in reversed(self.stack) if one.kind not in (Scope.BRACKET, Scope.ANGLE)), None
        )

    @property
    def is_text(self) -> bool:
        """Whether the point is in a string, a comment or the like, and not in code."""
        return bool(self.stack) and self.stack[-1].kind in TEXTS

    @property
    def closers(self) -> tuple[str, ...]:
        """What is still to be written for all to be closed, the innermost first."""
        return tuple(one.closer for one in reversed(self.stack) if one.closer)

    @property
    def brackets(self) -> tuple[Open, ...]:
        """The brackets that are open."""
        return tuple(one for one in self.stack if one.kind is Scope.BRACKET)

    def without_brackets(self) -> LexerState:
        """Only what decides how the following text is read."""
        kept = tuple(one for one in self.stack if one.kind not in (Scope.BRACKET, Scope.ANGLE))
        return LexerState(kept, self.heirs)


class Region(NamedTuple):
    """A part of a text that is of one kind, its delimiters included; brackets are code."""

    start_char: int
    end_char: int
    kind: Scope


def regions_of(size: int, edges: Sequence[Edge], start: LexerState, ground: Scope) -> list[Region]:
    """The text of `size` characters as regions, which follow each other without a gap."""
    kinds = [ground, *(one.kind for one in start.stack)]
    found: list[Region] = []
    at = 0
    for edge in edges:
        if edge.step == 0:
            continue
        # A delimiter belongs to what it delimits.
        boundary = edge.start_char if edge.step > 0 else edge.end_char
        if boundary > at:
            _add(found, at, boundary, _region_kind(kinds))
            at = boundary
        if edge.step > 0:
            kinds.append(edge.kind)
        else:
            kinds.pop()
    if size > at:
        _add(found, at, size, _region_kind(kinds))
    return found


def _region_kind(kinds: list[Scope]) -> Scope:
    kind = next(each for each in reversed(kinds) if each not in (Scope.BRACKET, Scope.ANGLE))
    return Scope.TEXT if kind is Scope.ELEMENT else kind


def _add(found: list[Region], start: int, end: int, kind: Scope) -> None:
    if found and found[-1].kind is kind:
        found[-1] = Region(found[-1].start_char, end, kind)
    else:
        found.append(Region(start, end, kind))
