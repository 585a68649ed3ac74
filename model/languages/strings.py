"""How strings are read, and the code and formats in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from model.languages.language import Interpolation, Quote
from model.languages.run import (
    ANY_SIGN,
    CLOSER_OF,
    LINE_END,
    Grammar,
    LexerRun,
    Mode,
    Modes,
    Token,
    TokenAction,
    compiled,
    opening,
    pop,
    pop_at_line_end,
    token_of,
    whole_string,
)
from model.languages.state import Scope

_PAIRS = CLOSER_OF | {"<": ">"}


class StringModes:
    """The modes of one language's strings. `code` gives what an interpolation stops at."""

    def __init__(self, code: Callable[[Quote], Grammar]) -> None:
        self._code = code
        self._modes = Modes()

    def tokens(self, quote: Quote, number: int) -> Iterator[Token]:
        """What begins a string; `number` is the quote's in its language."""
        if quote.escape == "\\" and quote == Quote(quote.start):
            # Most strings are complete: one step instead of two.
            inner = rf"(?:[^{quote.start}\\\r\n]++|\\[^\r\n])*+"
            yield Token(quote.start + inner + quote.start, quote.start, whole_string)
        pattern, group = re.escape(quote.start), f"d{number}"
        if quote.is_pattern:
            pattern = quote.start.replace("(?P<d>", f"(?P<{group}>")
        end = quote.end or quote.start

        def action(run: LexerRun, match: re.Match[str], start: int) -> None:
            delimiter = match[group] if quote.is_pattern else ""
            closer = end.replace("{}", _PAIRS.get(delimiter, delimiter))
            self.open(run, quote, closer, start, delimiter)

        first = quote.first or quote.start[0]
        yield Token(_after_prefix(quote.prefixes, first) + pattern, first, action)

    def open(self, run: LexerRun, quote: Quote, closer: str, start: int, delimiter: str = "") -> None:
        """Open a string. `delimiter`: the opening one, if the text chose it."""
        to_write = "" if closer == "\n" else closer
        run.push(Scope.STRING, to_write, start, self.mode(quote, closer, delimiter))

    def mode(self, quote: Quote, closer: str, delimiter: str = "") -> Mode:
        """The inside of a string."""
        return self._modes.get(
            (quote, closer, delimiter),
            lambda: Mode(
                lambda: self._grammar(quote, closer, delimiter),
                quote=quote,
                ends_with_line=not quote.multiline,
            ),
        )

    def _grammar(self, quote: Quote, closer: str, delimiter: str) -> Grammar:
        codes = [each for each in quote.interpolations if each.end]
        tokens = [token_of(each.start, self._open_code(quote, closer, each)) for each in codes]
        tokens.append(token_of(closer, self._next_part(quote, closer) if quote.parts > 1 else pop))
        if not quote.multiline and closer != "\n":
            tokens.append(Token(LINE_END, "\r\n", pop_at_line_end))
        if delimiter in _PAIRS:
            tokens.append(
                token_of(delimiter, opening(Scope.STRING, closer, self.mode(quote, closer, delimiter)))
            )
        return Grammar(tokens, list(_escapes(quote, closer, codes)), quote.escape[:1])

    def _next_part(self, quote: Quote, closer: str) -> TokenAction:
        """The end of the first part: the next begins with the same sign, or with a bracket of its own."""
        last = quote._replace(parts=quote.parts - 1)

        def action(run: LexerRun, match: re.Match[str], start: int) -> None:
            run.pop_to(len(run.stack) - 1, start)
            if closer not in _PAIRS.values():
                run.push(Scope.STRING, closer, run.at, self.mode(last, closer, closer), closer)
            elif bracket := compiled(r"\s{0,20}([{(\[<])").match(run.text, run.at):
                run.at = bracket.end()
                self.open(run, last, _PAIRS[bracket[1]], bracket.start(1), bracket[1])

        return action

    def _open_code(self, quote: Quote, closer: str, code: Interpolation) -> TokenAction:
        mode = self._modes.get(
            (quote, closer, code), lambda: Mode(lambda: self._code_grammar(quote, closer, code))
        )
        return opening(Scope.INTERPOLATION, code.end, mode)

    def _code_grammar(self, quote: Quote, closer: str, code: Interpolation) -> Grammar:
        tokens = _unless_multiline(quote)
        if code.has_format:
            # Before Python 3.12 the string's own delimiter could not stand in its code, and hardly ever does.
            tokens.append(token_of(closer, _end_string))
            format_mode = Mode(lambda: self._format_grammar(quote, closer, code))
            tokens.append(Token(":", ":", opening(Scope.FORMAT, "", format_mode)))
        grammar = self._code(quote)
        return grammar._replace(tokens=[*tokens, *grammar.tokens])

    def _format_grammar(self, quote: Quote, closer: str, code: Interpolation) -> Grammar:
        return Grammar(
            [
                token_of(closer, _end_string),
                token_of(code.start, self._open_code(quote, closer, code)),
                token_of(code.end, _end_code),
                *_unless_multiline(quote),
            ]
        )


def _unless_multiline(quote: Quote) -> list[Token]:
    return [] if quote.multiline else [Token(LINE_END, "\r\n", _give_up_string)]


def _after_prefix(prefixes: str, first: str) -> str:
    """An expression of no width: one of the words stands before, in either case."""
    if not prefixes:
        return ""
    words = "|".join(rf"(?<=(?<!\w)(?i:{word}))" for word in prefixes.split())
    return f"(?=[{re.escape(first)}])(?:{words})"  # looking ahead is faster, and mostly fails


def _escapes(quote: Quote, closer: str, codes: Iterable[Interpolation]) -> Iterator[str]:
    """What does not end a string although it looks like it."""
    if quote.escape == "\\":
        code = "|".join(re.escape(each.start) for each in codes if each.start[0] == "\\")
        yield (f"(?!{code})" if code else "") + rf"\\{ANY_SIGN}"
    elif len(quote.escape) == 1:
        yield f"{re.escape(quote.escape)}{ANY_SIGN}"
    elif quote.escape:
        yield rf"{re.escape(quote.escape)}[$'\\]"
    if quote.doubles:
        yield re.escape(closer * 2)
    yield from (re.escape(each.literal) for each in codes if each.literal)


def _string_depth(run: LexerRun) -> int:
    """How deep the string is that the innermost interpolation stands in."""
    depth = run.find(Scope.INTERPOLATION)
    assert depth is not None
    return depth - 1


def _end_string(run: LexerRun, match: re.Match[str], start: int) -> None:
    """The string's delimiter in its code, which was not closed."""
    run.pop_to(_string_depth(run), start)


def _give_up_string(run: LexerRun, match: re.Match[str], start: int) -> None:
    """A line end in the code of a string that must end with its line."""
    run.give_up(_string_depth(run), start)


def _end_code(run: LexerRun, match: re.Match[str], start: int) -> None:
    run.pop_to(_string_depth(run) + 1, start)
