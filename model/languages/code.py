"""How code is read: from the table's words on a language to the modes of its code.

Strings, heredocs, the `<` of types and elements of JSX have files of their own; tags too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.languages.angles import AngleModes
from model.languages.elements import ElementModes
from model.languages.heredocs import HeredocModes
from model.languages.language import Comment, Language, Quote
from model.languages.run import (
    ANY_SIGN,
    CLOSER_OF,
    LINE_END,
    Grammar,
    LexerRun,
    Mode,
    Token,
    TokenAction,
    begins_line,
    behind,
    opening,
    pop,
    pop_at_line_end,
    token_of,
    whole_string,
)
from model.languages.state import Scope
from model.languages.strings import StringModes

# A slash begins a regular expression where a value may begin.
_BEFORE_VALUE = (
    r"(?:^|[=(,:\[!&|?{};<>+*%~^\r\n]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|yield|await"
    r"|if|unless|while|until|when|and|or|not|split|grep|map|then|elsif|join))\s*\Z"
)
_ESCAPE = rf"\\{ANY_SIGN}"
# What may stand before a comment that begins its line: `@rem` and `:" …` do.
_BEFORE_COMMENT = " \t@:"


class CodeModes:
    """The modes of one language's code. `within` are tokens that end it where it stands in something."""

    def __init__(self, language: Language, within: tuple[Token, ...] = ()) -> None:
        self._language = language
        self._strings = StringModes(lambda quote: self._grammar(line_comments=quote.multiline))
        self._angles = AngleModes(language.generics, self._tokens)
        self._regex = Mode(_regex_grammar, ends_with_line=True)
        self.code = Mode(lambda: self._grammar(within), language=language)

    def _grammar(self, before: tuple[Token, ...] = (), *, line_comments: bool = True) -> Grammar:
        tokens = [*before, *self._tokens(line_comments=line_comments)]
        skipped, first = [], self._language.character_sign
        if first:
            skipped.append(rf"(?<![\w)\]}}\"'$]){re.escape(first)}(?:{_ESCAPE}|[^\w\s\\])")
        if self._language.escapes_in_code:
            skipped.append(_ESCAPE)
            first += "\\"
        return Grammar(tokens, skipped, first)

    def _tokens(self, *, line_comments: bool = True) -> Iterator[Token]:
        language = self._language
        for comment in sorted(language.read_comments, key=lambda each: -len(each.start)):
            # In the code of a string of one line, a comment would take the string's end away.
            if comment.end or line_comments:
                yield self._comment(comment)
        if language.heredoc is not None:
            yield from HeredocModes(language.heredoc, self._strings).tokens()
        for number, quote in enumerate(language.quotes):
            yield from map(self._where_a_value_begins, self._strings.tokens(quote, number))
        if language.characters != "string":
            yield from self._characters()
        if language.has_regex:
            yield Token("/", "/", self._open_regex)
        if language.has_jsx:
            yield ElementModes(self.code, self._angles.open).token()
        elif language.generics != "none":
            yield Token("<", "<", self._angles.open)
        yield from self._brackets()

    def _brackets(self) -> Iterator[Token]:
        opening_signs = "".join(sign for sign in self._language.brackets if sign in CLOSER_OF)
        closing_signs = "".join(CLOSER_OF[sign] for sign in opening_signs)
        if opening_signs:
            yield self._where_a_value_begins(
                Token(f"[{re.escape(opening_signs)}]", opening_signs, self._open_bracket)
            )
            yield Token(f"[{re.escape(closing_signs)}]", closing_signs, _close_bracket)

    def _open_bracket(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        run.push(Scope.BRACKET, CLOSER_OF[run.text[start]], start, self.code)

    def _where_a_value_begins(self, token: Token) -> Token:
        before = self._language.value_behind
        if not before:
            return token

        def guarded(run: LexerRun, match: re.Match[str], start: int) -> None:
            if behind(before, run.text, start):
                token.action(run, match, start)
            else:
                run.at = start + 1

        return token._replace(action=guarded)

    def _comment(self, comment: Comment) -> Token:
        rest = "" if comment.end else r"[^\r\n]*+"
        pattern = comment.behind + re.escape(comment.start) + comment.ahead + rest
        mode = Mode(lambda: _comment_grammar(comment), ends_with_line=not comment.end)
        # In Vim's language it is a quote elsewhere.
        quote = next((each for each in self._language.quotes if each.start == comment.start), None)

        def action(run: LexerRun, match: re.Match[str], start: int) -> None:
            if comment.begins_line and not begins_line(run.text, start, _BEFORE_COMMENT):
                run.at = start + len(comment.start)
                if quote is not None:
                    self._strings.open(run, quote, quote.start, start)
            elif comment.end or run.at == len(run.text):
                run.at = start + len(comment.start)
                run.push(Scope.COMMENT, comment.end, start, mode, comment.start)
            else:
                run.whole(Scope.COMMENT, start, len(comment.start), 0)

        return Token(pattern, comment.start[0], action)

    def _characters(self) -> Iterator[Token]:
        # After a word it divides digits, primes a name or asks for an attribute, but for b'x' and L'x'.
        before = r"(?:(?<!\w)|(?<=\b[bLuU])|(?<=\bu8))"
        yield Token(rf"{before}'(?:\\[^\r\n]{{1,9}}?|[^'\\\r\n])'", "'", whole_string)
        if self._language.characters == "literal":
            # The cursor may stand in one.
            unfinished = rf"{before}'(?=(?:\\[^'\r\n]{{0,9}}|[^'\\\r\n]?)\Z)"
            yield Token(unfinished, "'", opening(Scope.STRING, "'", self._strings.mode(Quote("'"), "'")))

    def _open_regex(self, run: LexerRun, match: re.Match[str], start: int) -> None:
        if behind(_BEFORE_VALUE, run.text, start):
            run.push(Scope.REGEX, "/", start, self._regex)


def _close_bracket(run: LexerRun, match: re.Match[str], start: int) -> None:
    run.close(run.text[start], start)


def _comment_grammar(comment: Comment) -> Grammar:
    if not comment.end:
        return Grammar([Token(LINE_END, "\r\n", pop_at_line_end)])
    tokens = [token_of(comment.end, pop)]
    if comment.nests:
        tokens.append(Token(re.escape(comment.start), comment.start[0], _nest(comment)))
    return Grammar(tokens)


def _nest(comment: Comment) -> TokenAction:
    return lambda run, match, start: run.push(Scope.COMMENT, comment.end, start, run.mode)


def _regex_grammar() -> Grammar:
    skipped = (r"\\[^\r\n]", r"\[(?:[^\]\\\r\n]++|\\[^\r\n])*+\]?")
    return Grammar([Token("/", "/", pop), Token(LINE_END, "\r\n", pop_at_line_end)], skipped, "\\[")
