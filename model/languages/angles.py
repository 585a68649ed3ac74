"""Where `<` is a bracket in code: before the arguments of a type, and in `#include <`.

Told by what stands around it, and given up again where something shows that it was a comparison.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from model.languages.language import Generics
from model.languages.run import (
    LINE_END,
    Grammar,
    LexerRun,
    Mode,
    Token,
    behind,
    compiled,
    pop,
    pop_at_line_end,
)
from model.languages.state import Scope

_TYPE_BEFORE = {
    "types": (
        r"(?:(?:\A|[\r\n])[ \t]*|\b[A-Z]\w*|::|\bimpl|\bfor"
        r"|\b(?:fn|class|interface|enum|struct|trait|type) \w+"
        r"|\b(?:public|private|protected|static|final|abstract|default) |\.)\Z"
    ),
    "calls": r"(?:\b[A-Z]\w*|\b(?:fun|func|function|class|interface|type|struct) ?\w*)\Z",
    "c++": (
        r"(?:\b[A-Z]\w*|\btemplate ?|::\w+|_cast|_ptr|#[ \t]*(?:include|import)[ \t]*"
        r"|\b(?:vector|map|set|pair|tuple|array|optional|function|list|deque|queue|stack|variant|span))\Z"
    ),
}
_INCLUDE = r"#[ \t]*(?:include|import)[ \t]*\Z"
# After any name, a type is what it begins with: useState<Foo> and a<b differ. One may be about to be written.
_TYPE = (
    r"(?:[A-Z]\w*|string|number|boolean|bool|int|long|double|float|char|any|unknown|never|void|object"
    r"|null|undefined|typeof|keyof|readonly)"
)
_TYPE_AFTER = rf"(?:{_TYPE}\s*(?:[,>\[<?|&]|\Z)|>|\Z)"
_MAX_TYPE_CHARS = 60


class AngleModes:
    """The modes of one language's `< >`. `code` gives the tokens of the code between them."""

    def __init__(self, generics: Generics, code: Callable[[], Iterable[Token]]) -> None:
        self._generics = generics
        self._code = code
        self._types = Mode(self._grammar)
        self._include = Mode(_include_grammar, ends_with_line=True)

    def open(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        """What a `<` does."""
        is_operator = (
            run.text[start + 1 : start + 2] in ("<", "=", " ", "-") or run.text[start - 1 : start] == "<"
        )
        if self._generics == "none" or is_operator or not self._precedes_type(run.text, start):
            return
        is_include = self._generics == "c++" and behind(_INCLUDE, run.text, start)
        run.push(Scope.ANGLE, ">", start, self._include if is_include else self._types)

    def _precedes_type(self, text: str, start: int) -> bool:
        if behind(_TYPE_BEFORE[self._generics], text, start):
            return True
        if self._generics != "calls" or not behind(r"\w\Z", text, start):
            return False
        return compiled(_TYPE_AFTER).match(text[start + 1 : start + 1 + _MAX_TYPE_CHARS]) is not None

    def _grammar(self) -> Grammar:
        # Between the < and > of types these cannot stand, but for the braces of TypeScript's.
        against = "&&|[|][|]|;" if self._generics == "calls" else "&&|[|][|]|[;{]"
        tokens = [Token(against, "&|;{", pop_at_line_end), Token(">", ">", pop), *self._code()]
        return Grammar(tokens, ("[-=]>",), "-=")


def _include_grammar() -> Grammar:
    return Grammar([Token(">", ">", pop), Token(LINE_END, "\r\n", pop_at_line_end)])
