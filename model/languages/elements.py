"""Elements of JSX in the code of a script, and what all tags have in common."""

from __future__ import annotations

import re

from model.languages.run import (
    Grammar,
    LexerRun,
    Mode,
    Token,
    TokenAction,
    behind,
    compiled,
    opening,
    pop,
    pop_at_line_end,
    token_of,
)
from model.languages.state import Scope

TAG_NAME = r"[A-Za-z_][\w.:-]*"
# An element of JSX stands where a value may begin.
_BEFORE = r"(?:^|[=(,:\[&|?{};>\r\n]|\b(?:return|default|yield))\s*\Z"
_TYPE_PARAMETER = r"[A-Z]\w*(?:,|\s+extends\b)"
_MAX_LEFT_OPEN = 64


class ElementModes:
    """The tags in the code that `code` reads. What `<` is if it begins no tag is `other`'s to say."""

    def __init__(self, code: Mode, other: TokenAction) -> None:
        self._code = code
        self._other = other
        self._text = Mode(self._text_grammar)
        self._tag = Mode(lambda: tag_grammar([self._open_code()], self._open_element))
        self._end_tag = Mode(lambda: tag_grammar([], close_element))

    def token(self) -> Token:
        """What opens an element in code."""
        return Token(f"<(?:{TAG_NAME}|(?=>)|\\Z)?", "<", self._open_in_code)

    def _open_in_code(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        is_tag = run.at > start + 1 or run.text.startswith(">", run.at) or run.at == len(run.text)
        if (
            is_tag
            and behind(_BEFORE, run.text, start)
            and not compiled(_TYPE_PARAMETER).match(run.text, start + 1)
        ):
            run.push(Scope.TAG, ">", start, self._tag)
        else:
            run.at = start + 1
            self._other(run, match, start)

    def _text_grammar(self) -> Grammar:
        end = Token(f"</(?:{TAG_NAME})?", "<", opening(Scope.TAG, ">", self._end_tag))
        begin = Token(f"<(?:{TAG_NAME}|(?=>)|\\Z)", "<", opening(Scope.TAG, ">", self._tag))
        return Grammar([end, begin, self._open_code()])

    def _open_code(self) -> Token:
        return Token(r"\{", "{", opening(Scope.INTERPOLATION, "}", self._code))

    def _open_element(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        opener = run.stack[-1].opener
        run.pop_to(len(run.stack) - 1, start)
        run.push(Scope.ELEMENT, f"</{opener[1:]}>", run.at, self._text, opener)


def until(closer: str, kind: Scope) -> TokenAction:
    """What opens something in which nothing but its closer counts."""
    return opening(kind, closer, Mode(lambda: Grammar([token_of(closer, pop)])))


def tag_grammar(code: list[Token], end: TokenAction) -> Grammar:
    """The inside of a tag, where `code` begins code and `end` is what its `>` does."""
    quotes = [Token(quote, quote, until(quote, Scope.STRING)) for quote in "\"'"]
    # With the next tag it is clear that this one will not be finished.
    unfinished = Token("<(?=[A-Za-z/!])", "<", pop_at_line_end)
    return Grammar([*code, *quotes, unfinished, Token("/>", "/", pop), Token(">", ">", end)])


def close_element(run: LexerRun, match: re.Match[str], start: int) -> None:
    """The `>` of `</name>`: closes the element of that name, and those in it that were left open."""
    closer = f"{run.stack[-1].opener}>".lower()
    run.pop_to(len(run.stack) - 1, start)
    for depth in range(len(run.stack) - 1, max(len(run.stack) - _MAX_LEFT_OPEN, 0) - 1, -1):
        one = run.stack[depth]
        if one.kind is not Scope.ELEMENT:
            return
        if one.closer.lower() == closer:
            run.pop_to(depth, run.at)
            return
