"""The lexer of half-written code: what is code, string, comment or tag, and what is open at any point.

For a prefix up to a cursor, a whole file, or what follows a cursor (from its state). It never fails:
what no language allows is read as somebody would who sees it being typed. A text may be read at
once, or in parts that end with line ends, with the same result. Knows no grammar: see
`docs/adr/0013-one-table-of-languages.md` for why there is no parser here.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from model.languages.code import CodeModes
from model.languages.language import Language
from model.languages.languages import UNKNOWN, language_of_id
from model.languages.run import LexerRun, Token
from model.languages.state import Edge, LexerState, Region, Scope, regions_of
from model.languages.tags import TagModes


class Scan(NamedTuple):
    """What was met in a text, and the state at its end."""

    edges: list[Edge]
    state: LexerState


class Lexer:
    """Reads the text of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._tags: TagModes | None = None
        if language.markup is None:
            self._ground = CodeModes(language).code
        else:
            text = language_of_id("html") if language.markup.starts_in_code else language
            self._tags = TagModes(language.markup, text or language, _code_modes)
            self._ground = self._tags.ground

    def start(self, text: str) -> LexerState:
        """What is open where a text begins that may not be a file's beginning."""
        return LexerState() if self._tags is None else self._tags.start(text)

    def scan(self, text: str, state: LexerState | None = None) -> Scan:
        """Read a text, by default from where a file begins, or where the text seems to."""
        run = LexerRun(text, self.start(text) if state is None else state, self._ground)
        run.to_end()
        return Scan(run.edges, LexerState(tuple(run.stack), tuple(run.heirs)))

    def language_at(self, state: LexerState) -> Language:
        """Whose text it is: a script's in HTML, HTML's in PHP outside of `<?php`."""
        inner = (one.mode.language for one in reversed(state.stack) if one.mode.language is not None)
        return next(inner, self.language)

    def regions(self, text: str, state: LexerState | None = None) -> list[Region]:
        """The text as regions of one kind each."""
        start = self.start(text) if state is None else state
        markup = self.language.markup
        ground = Scope.CODE if markup is None or markup.starts_in_code else Scope.TEXT
        return regions_of(len(text), self.scan(text, start).edges, start, ground)


@cache
def lexer_of(language: Language | None) -> Lexer:
    """The lexer of a language; without one, that of any code, roughly."""
    return Lexer(language or UNKNOWN)


def _code_modes(language_id: str, within: tuple[Token, ...]) -> CodeModes:
    return CodeModes(language_of_id(language_id) or UNKNOWN, within)
