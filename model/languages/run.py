"""The lexer at work: modes with one regular expression each, and the stack that they move.

A mode (a start condition, in lex's words) skips what means nothing in it at the speed of `re` and
stops at a token; the token's action opens or closes something, which sets the next mode. No token
looks further than a bounded way ahead or back, so the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import NamedTuple

from model.languages.language import Language, Quote
from model.languages.state import Edge, Heir, LexerState, Open, Scope

# How far a closer looks for its opener past things that were left open.
_MAX_LEFT_OPEN = 64
_BEHIND_CHARS = 60
_MAX_INDENT = 200
_MAX_MODES = 200
CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
OPENER_OF = {closer: opener for opener, closer in CLOSER_OF.items()}
LINE_END = r"(?:\r\n|\r|\n)"
# A sign after a backslash; a line end is one sign.
ANY_SIGN = r"(?:\r\n|[\s\S])"

TokenAction = Callable[["LexerRun", "re.Match[str]", int], None]
"""What a token does, given its match and where it starts (what was skipped is in the match too)."""


class Token(NamedTuple):
    """Something that a mode stops at, and the signs it can begin with."""

    pattern: str
    first: str
    action: TokenAction


class Grammar(NamedTuple):
    """A mode's tokens, the first that fits counts, and what is skipped although it begins like one.

    `plain` is an expression of all that is skipped, if it is not the signs that begin nothing.
    """

    tokens: Sequence[Token]
    skipped: Sequence[str] = ()
    skipped_first: str = ""
    plain: str = ""


class Mode:
    """How one kind of inside is read. Its expression is compiled when it is first used."""

    def __init__(
        self,
        grammar: Callable[[], Grammar],
        *,
        language: Language | None = None,
        quote: Quote | None = None,
        ends_with_line: bool = False,
    ) -> None:
        self._grammar = grammar
        self.language = language  # where it is one of its own, within another's text
        self.quote = quote
        self.ends_with_line = ends_with_line

    @cached_property
    def compiled(self) -> tuple[re.Pattern[str], list[TokenAction | None]]:
        """The expression, and the action of each of its groups."""
        tokens, skipped, skipped_first, plain = self._grammar()
        signs = sorted({sign for token in tokens for sign in token.first} | set(skipped_first))
        if not signs:
            return re.compile(r"[\s\S]*"), [None]
        within = "".join(map(re.escape, signs))
        # Possessive, or a sign that is no token would make the search go back over all it skipped.
        skip = f"(?:{'|'.join([plain or f'[^{within}]++', *skipped])})*+"
        groups = [f"(?P<token{n}>{token.pattern})" for n, token in enumerate(tokens)]
        pattern = re.compile(f"{skip}(?:{'|'.join(groups)}|(?P<other>[{within}])|\\Z)", re.MULTILINE)
        actions: list[TokenAction | None] = [None] * (pattern.groups + 1)
        for number, token in enumerate(tokens):
            actions[pattern.groupindex[f"token{number}"]] = token.action
        return pattern, actions


class Modes:
    """Modes that are made where a text asks for them; it chooses delimiters, so not all are kept."""

    def __init__(self) -> None:
        self._modes: dict[object, Mode] = {}

    def get(self, key: object, make: Callable[[], Mode]) -> Mode:
        """The mode of that key."""
        if key not in self._modes:
            if len(self._modes) >= _MAX_MODES:
                self._modes.clear()
            self._modes[key] = make()
        return self._modes[key]


class LexerRun:
    """One pass over a text."""

    def __init__(self, text: str, state: LexerState, ground: Mode) -> None:
        self.text = text
        self.at = 0
        self.stack: list[Open] = list(state.stack)
        self.heirs: list[Heir] = list(state.heirs)
        self.edges: list[Edge] = []
        self._ground = ground
        self.mode = self.stack[-1].mode if self.stack else ground
        self._n_brackets = sum(one.kind is Scope.BRACKET for one in self.stack)

    def to_end(self) -> None:
        """Read the text."""
        while True:
            pattern, actions = self.mode.compiled
            match = pattern.match(self.text, self.at)
            assert match is not None  # an expression fits the text's end at least
            self.at = match.end()
            index = match.lastindex
            if index is None:
                return
            action = actions[index]
            if action is not None:
                action(self, match, match.start(index))

    def push(self, kind: Scope, closer: str, start: int, mode: Mode, opener: str | None = None) -> None:
        """Open what stands from `start` on."""
        self.stack.append(
            Open(kind, self.text[start : self.at] if opener is None else opener, closer, start, mode)
        )
        self._n_brackets += kind is Scope.BRACKET
        self.edges.append(Edge(start, self.at, kind, 1, self._n_brackets))
        self.mode = mode

    def pop_to(self, size: int, start: int) -> None:
        """Close what is open beyond `size` things; the closer of the outermost stands from `start` on."""
        while len(self.stack) > size:
            kind = self.stack.pop().kind
            self._n_brackets -= kind is Scope.BRACKET
            end = self.at if len(self.stack) == size else start
            self.edges.append(Edge(start, end, kind, -1, self._n_brackets))
        self.mode = self.stack[-1].mode if self.stack else self._ground

    def whole(self, kind: Scope, start: int, n_opener: int, n_closer: int) -> None:
        """Note something that is complete, with delimiters of so many characters."""
        self.edges.append(Edge(start, start + n_opener, kind, 1, self._n_brackets))
        self.edges.append(Edge(self.at - n_closer, self.at, kind, -1, self._n_brackets))

    def give_up(self, size: int, start: int) -> None:
        """Close what is open beyond `size` things without a closer, and read on from `start`."""
        self.at = start
        self.pop_to(size, start)

    def close(self, closer: str, start: int) -> None:
        """A closing bracket. One without its opener closes nothing.

        A brace also closes the round and square brackets left open within: those are typing errors.
        So does any bracket what was taken for a `<` of types.
        """
        stack = self.stack
        for at in range(len(stack) - 1, max(len(stack) - _MAX_LEFT_OPEN, 0) - 1, -1):
            one = stack[at]
            if one.closer == closer and one.kind in (Scope.BRACKET, Scope.INTERPOLATION):
                self.pop_to(at, start)
                return
            if one.kind is not Scope.ANGLE and not (one.kind is Scope.BRACKET and closer == "}"):
                break
        self.edges.append(Edge(start, self.at, Scope.BRACKET, 0, self._n_brackets))

    def find(self, *kinds: Scope) -> int | None:
        """The depth of the innermost of these kinds, if it is not too deep below."""
        lowest = max(len(self.stack) - _MAX_LEFT_OPEN, 0)
        return next(
            (at for at in range(len(self.stack) - 1, lowest - 1, -1) if self.stack[at].kind in kinds), None
        )


def line_before(text: str, start: int) -> str:
    """The part of a line before `start`, as far as it matters."""
    before = text[max(start - _MAX_INDENT, 0) : start]
    return before[max(before.rfind("\n"), before.rfind("\r")) + 1 :]


def begins_line(text: str, start: int, ignored: str = " \t") -> bool:
    """Whether only blanks stand before `start` on its line."""
    return not line_before(text, start).strip(ignored)


def behind(pattern: str, text: str, start: int) -> bool:
    """Whether an expression that ends in `\\Z` fits the text before `start`, of which it sees a little."""
    return compiled(pattern).search(text[max(start - _BEHIND_CHARS, 0) : start]) is not None


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """An expression that is compiled when it is first needed, for this takes longer than the import."""
    return re.compile(pattern)


def opening(kind: Scope, closer: str, mode: Mode) -> TokenAction:
    """What opens something."""
    return lambda run, match, start: run.push(kind, closer, start, mode)


def whole_string(run: LexerRun, match: re.Match[str], start: int) -> None:
    """What a string does that opens and closes at once, with a sign each."""
    run.whole(Scope.STRING, start, 1, 1)


def pop(run: LexerRun, match: re.Match[str], start: int) -> None:
    """What the end of the innermost thing does."""
    run.pop_to(len(run.stack) - 1, start)


def pop_at_line_end(run: LexerRun, match: re.Match[str], start: int) -> None:
    """What a line end does where it closes the innermost thing: it is still a line end outside."""
    run.give_up(len(run.stack) - 1, start)


def token_of(text: str, action: TokenAction) -> Token:
    """The token of a sign or word. One that begins with a line end must stand first in its line."""
    if text == "\n":
        return Token(LINE_END, "\r\n", action)
    if not text.startswith("\n"):
        return Token(re.escape(text), text[0], action)

    def guarded(run: LexerRun, match: re.Match[str], start: int) -> None:
        if begins_line(run.text, start):
            action(run, match, start)
        else:
            run.at = start + 1

    mark = text[1:]
    return Token(re.escape(mark) + (r"(?!\w)" if mark[-1].isalnum() else ""), mark[0], guarded)
