"""How code is read: comments, strings and what is written in them, regular expressions, `<` of types.

From the table's words to modes. Tags are `model.languages.tags`' business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from model.languages.elements import ElementModes
from model.languages.language import Comment, Heredoc, Interpolation, Language, Quote
from model.languages.run import (
    ANY_SIGN,
    CLOSER_OF,
    LINE_END,
    Action,
    Grammar,
    Mode,
    Run,
    Token,
    begins_line,
    behind,
    close_bracket,
    compiled,
    ending,
    literal,
    open_bracket,
    pop,
    pop_at_line_end,
)
from model.languages.state import Heir, Kind

_PAIRS = CLOSER_OF | {"<": ">"}
# Delimiters come from the text (heredocs), so the modes that are made for them are not kept for ever.
_MAX_MODES = 200
# A slash begins a regular expression where a value may begin.
_BEFORE_VALUE = (
    r"(?:^|[=(,:\[!&|?{};<>+*%~^\r\n]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|yield|await"
    r"|if|unless|while|until|when|and|or|not|split|grep|map|then|elsif|join))\s*\Z"
)
_TYPE = r"(?:[A-Z]\w*|string|number|boolean|bool|int|long|double|float|char|any|unknown|never|void|object)"
_GENERIC_BEFORE = {
    "types": (
        r"(?:\b[A-Z]\w*|::|\bimpl|\bfor|\b(?:fn|class|interface|enum|struct|trait|type) \w+"
        r"|\b(?:public|private|protected|static|final|abstract|default) |\.)\Z"
    ),
    "calls": (r"(?:\b[A-Z]\w*|\b(?:fun|func|function|class|interface|type|struct) ?\w*)\Z"),
    "c++": (
        r"(?:\b[A-Z]\w*|\btemplate ?|::\w+|_cast|_ptr|#[ \t]*(?:include|import)[ \t]*"
        r"|\b(?:vector|map|set|pair|tuple|array|optional|function|list|deque|queue|stack|variant|span))\Z"
    ),
}
_CALL_BEFORE = r"\w\Z"
_CALL_AFTER = rf"{_TYPE}(?:[,>\[<?|]|\Z)"
_INCLUDE = r"#[ \t]*(?:include|import)[ \t]*\Z"


class CodeModes:
    """The modes of one language's code. `within` are tokens that end it where it stands in something."""

    def __init__(self, language: Language, within: tuple[Token, ...] = ()) -> None:
        self.language = language
        self._modes: dict[object, Mode] = {}
        self.code = Mode(
            lambda: Grammar([*within, *self._tokens(self.code)], *self._skipped()), language=language
        )

    def _mode(self, key: object, make: Callable[[], Mode]) -> Mode:
        if key not in self._modes:
            if len(self._modes) >= _MAX_MODES:
                self._modes.clear()
            self._modes[key] = make()
        return self._modes[key]

    def _skipped(self) -> tuple[tuple[str, ...], str]:
        return ((rf"\\{ANY_SIGN}",), "\\") if self.language.escapes_in_code else ((), "")

    def _tokens(self, inner: Mode, *, line_comments: bool = True) -> Iterator[Token]:
        """The tokens of code whose brackets' inside is read by `inner`."""
        language = self.language
        for comment in sorted(language.read_comments, key=lambda each: -len(each.start)):
            if comment.end or line_comments:
                yield self._comment(comment)
        if language.heredoc is not None:
            yield from self._heredoc(language.heredoc)
        for number, quote in enumerate(language.quotes):
            yield from self._quote(quote, number)
        if language.characters != "string":
            yield from self._characters()
        if language.has_regex:
            yield Token("/", "/", self._open_regex)
        if language.has_jsx:
            yield ElementModes(self.code, self._open_angle).token()
        elif language.generics != "none":
            yield Token("<", "<", self._open_angle)
        yield from self._brackets(inner)

    def _brackets(self, inner: Mode) -> Iterator[Token]:
        opening = "".join(sign for sign in self.language.brackets if sign in CLOSER_OF)
        if not opening:
            return
        closing = "".join(CLOSER_OF[sign] for sign in opening)
        action = open_bracket(inner)
        if self.language.value_behind:
            action = self._where_a_value_begins(action)
        yield Token(f"[{re.escape(opening)}]", opening, action)
        yield Token(f"[{re.escape(closing)}]", closing, close_bracket)

    def _where_a_value_begins(self, action: Action) -> Action:
        before = self.language.value_behind

        def guarded(run: Run, match: re.Match[str], start: int) -> None:
            if behind(before, run.text, start):
                action(run, match, start)

        return guarded

    # Comments

    def _comment(self, comment: Comment) -> Token:
        pattern = comment.behind + re.escape(comment.start) + comment.ahead
        if not comment.end:
            pattern += r"[^\r\n]*+"
        mode = self._mode(
            comment, lambda: Mode(lambda: _comment_grammar(comment), ends_with_line=not comment.end)
        )

        # In Vim's language a quote begins a comment too.
        quote = next((each for each in self.language.quotes if each.start == comment.start), None)

        def action(run: Run, match: re.Match[str], start: int) -> None:
            if comment.begins_line and not begins_line(run.text, start, " \t@:"):
                run.at = start + len(comment.start)
                if quote is not None:
                    run.push(Kind.STRING, quote.start, start, self.string(quote, quote.start))
            elif comment.end or run.at == len(run.text):
                run.push(Kind.COMMENT, comment.end, start, mode, comment.start)
            else:
                run.whole(Kind.COMMENT, start)

        return Token(pattern, comment.start[0], action)

    # Strings

    def _quote(self, quote: Quote, number: int) -> Iterator[Token]:
        name = f"d{number}"
        pattern = (
            quote.start.replace("(?P<d>", f"(?P<{name}>") if quote.is_pattern else re.escape(quote.start)
        )
        pattern = _after_prefix(quote.prefixes) + pattern
        first = quote.first or quote.start[0]
        end = quote.end or quote.start

        def open_string(run: Run, match: re.Match[str], start: int) -> None:
            delimiter = match[name] if quote.is_pattern else ""
            closer = end.replace("{}", _PAIRS.get(delimiter, delimiter))
            run.push(Kind.STRING, closer.strip("\n") and closer, start, self.string(quote, closer, delimiter))

        if self.language.value_behind:
            yield Token(pattern, first, self._where_a_value_begins(open_string))
            return
        if not (quote.is_pattern or quote.multiline or quote.interpolations or quote.prefixes):
            # Most strings are complete: one step instead of two.
            delimiter = re.escape(quote.start)
            inner = rf"[^{re.escape(quote.start[0])}\\\r\n]++" if quote.escape == "\\" else ""
            if inner and len(quote.start) == 1 and not quote.doubles:
                whole = rf"{delimiter}(?:{inner}|\\{ANY_SIGN})*+{delimiter}"
                yield Token(whole, first, lambda run, match, start: run.whole(Kind.STRING, start))
        yield Token(pattern, first, open_string)

    def string(self, quote: Quote, closer: str, delimiter: str = "") -> Mode:
        """The inside of a string. `delimiter`: the opening one, if the text chose it."""
        key = (quote, closer, delimiter)
        return self._mode(
            key,
            lambda: Mode(
                lambda: self._string_grammar(quote, closer, delimiter),
                quote=quote,
                ends_with_line=not quote.multiline,
            ),
        )

    def _string_grammar(self, quote: Quote, closer: str, delimiter: str) -> Grammar:
        tokens = []
        codes = [each for each in quote.interpolations if each.end]
        skipped = list(_escapes(quote, closer, codes))
        for each in codes:
            tokens.append(Token(re.escape(each.start), each.start[0], self._open_code(quote, closer, each)))
        tokens.append(ending(closer, self._next_part(quote, closer) if quote.parts > 1 else pop))
        if not quote.multiline and "\n" not in closer:
            tokens.append(Token(LINE_END, "\r\n", pop_at_line_end))
        if delimiter in _PAIRS:
            tokens.append(Token(re.escape(delimiter), delimiter, self._open_nested(quote, closer, delimiter)))
        return Grammar(tokens, skipped, "".join(sign for sign in (quote.escape[:1],) if sign))

    def _next_part(self, quote: Quote, closer: str) -> Action:
        """The end of the first part: the next begins with the same sign, or with a bracket of its own."""
        last = quote._replace(parts=quote.parts - 1)

        def action(run: Run, match: re.Match[str], start: int) -> None:
            run.pop_to(len(run.stack) - 1, start)
            if closer not in _PAIRS.values():
                run.push(Kind.STRING, closer, run.at, self.string(last, closer, closer), closer)
            elif bracket := compiled(r"\s{0,20}([{(\[<])").match(run.text, run.at):
                run.at = bracket.end()
                mode = self.string(last, _PAIRS[bracket[1]], bracket[1])
                run.push(Kind.STRING, _PAIRS[bracket[1]], bracket.start(1), mode)

        return action

    def _open_nested(self, quote: Quote, closer: str, delimiter: str) -> Action:
        return lambda run, match, start: run.push(
            Kind.STRING, closer, start, self.string(quote, closer, delimiter)
        )

    def _characters(self) -> Iterator[Token]:
        # After a word it divides digits, primes a name or asks for an attribute, but for b'x' and L'x'.
        before = r"(?:(?<!\w)|(?<=\b[bLuU])|(?<=\bu8))"
        whole = rf"{before}'(?:\\[^\r\n]{{1,9}}?|[^'\\\r\n])'"
        yield Token(whole, "'", lambda run, match, start: run.whole(Kind.STRING, start))
        if self.language.characters == "literal":
            quote = Quote("'")
            mode = self.string(quote, "'")
            # The cursor may stand in one.
            yield Token(
                rf"{before}'(?=(?:\\[^'\r\n]{{0,9}}|[^'\\\r\n]?)\Z)",
                "'",
                lambda run, match, start: run.push(Kind.STRING, "'", start, mode),
            )

    # Code in strings

    def _open_code(self, quote: Quote, closer: str, code: Interpolation) -> Action:
        mode = self._mode(
            ("code", quote, closer, code),
            lambda: Mode(lambda: self._interpolation_grammar(quote, closer, code)),
        )
        return lambda run, match, start: run.push(Kind.INTERPOLATION, code.end, start, mode)

    def _interpolation_grammar(self, quote: Quote, closer: str, code: Interpolation) -> Grammar:
        tokens = []
        if not quote.multiline:
            tokens.append(Token(LINE_END, "\r\n", _give_up_string))
        if code.has_format:
            # Before Python 3.12 the string's own delimiter could not stand in its code, and hardly ever does.
            tokens.append(ending(closer, _end_string))
            tokens.append(Token(":", ":", self._open_format(quote, closer, code)))
        tokens.extend(self._tokens(self.code, line_comments=quote.multiline))
        return Grammar(tokens, *self._skipped())

    def _open_format(self, quote: Quote, closer: str, code: Interpolation) -> Action:
        def grammar() -> Grammar:
            tokens = [
                ending(closer, _end_string),
                Token(re.escape(code.start), code.start[0], self._open_code(quote, closer, code)),
                Token(re.escape(code.end), code.end[0], _end_interpolation),
            ]
            if not quote.multiline:
                tokens.append(Token(LINE_END, "\r\n", _give_up_string))
            return Grammar(tokens)

        mode = self._mode(("format", quote, closer, code), lambda: Mode(grammar))
        return lambda run, match, start: run.push(Kind.FORMAT, "", start, mode)

    # Text from the next line on

    def _heredoc(self, heredoc: Heredoc) -> Iterator[Token]:
        quote = Quote("<<", multiline=True, escape="", interpolations=heredoc.interpolations)
        is_marked = "(?P<mark>" in heredoc.start

        def announce(run: Run, match: re.Match[str], start: int) -> None:
            if is_marked:
                mark = match["mark"]
                mode = self.string(quote._replace(escape="\\"), f"\n{mark}")
                run.heirs.append(Heir(match[match.lastindex or 0], f"\n{mark}", mode))
            else:
                line = run.text[
                    max(run.text.rfind("\n", 0, start), run.text.rfind("\r", 0, start)) + 1 : start
                ]
                indent = len(line) - len(line.lstrip(" "))
                mode = self._mode(
                    ("indent", indent), lambda: Mode(lambda: _indented_grammar(indent), quote=quote)
                )
                run.heirs.append(Heir(match[match.lastindex or 0], "", mode))

        first = "<" if heredoc.start.startswith(("<", "(?<!<)<")) else "|>"
        yield Token(heredoc.start, first, announce)
        yield Token(LINE_END, "\r\n", _open_heirs)

    # Regular expressions

    def _open_regex(self, run: Run, match: re.Match[str], start: int) -> None:
        if behind(_BEFORE_VALUE, run.text, start):
            run.push(
                Kind.REGEX, "/", start, self._mode("regex", lambda: Mode(_regex_grammar, ends_with_line=True))
            )

    # Types

    def _open_angle(self, run: Run, match: re.Match[str], start: int) -> None:
        text = run.text
        if text[start + 1 : start + 2] in ("<", "=", " ", "-") or text[start - 1 : start] == "<":
            return
        generics = self.language.generics
        if generics == "none":
            return
        is_generic = behind(_GENERIC_BEFORE[generics], text, start)
        if not is_generic and generics == "calls" and behind(_CALL_BEFORE, text, start):
            is_generic = compiled(_CALL_AFTER).match(text[start + 1 : start + 60]) is not None
        if not is_generic:
            return
        if generics == "c++" and behind(_INCLUDE, text, start):
            mode = self._mode("include", lambda: Mode(_include_grammar, ends_with_line=True))
        else:
            mode = self._mode("angle", lambda: Mode(self._angle_grammar))
        run.push(Kind.ANGLE, ">", start, mode)

    def _angle_grammar(self) -> Grammar:
        # What cannot stand between < and > shows that it was a comparison.
        against = "&&|[|][|]|;" if self.language.generics == "calls" else "&&|[|][|]|[;{]"
        tokens = [Token(against, "&|;{", pop_at_line_end), Token(">", ">", pop), *self._tokens(self.code)]
        return Grammar(tokens, ("[-=]>",), "-=")


def _after_prefix(prefixes: str) -> str:
    """An expression of no width: one of the words stands before, in either case."""
    if not prefixes:
        return ""
    return "(?:" + "|".join(rf"(?<=(?<!\w)(?i:{word}))" for word in prefixes.split()) + ")"


def _escapes(quote: Quote, closer: str, codes: list[Interpolation]) -> Iterator[str]:
    """What does not end a string although it looks like it."""
    if quote.escape == "\\":
        code = [re.escape(each.start) for each in codes if each.start.startswith("\\")]
        yield f"(?!{'|'.join(code)})" * bool(code) + rf"\\{ANY_SIGN}"
    elif len(quote.escape) == 1:
        yield f"{re.escape(quote.escape)}{ANY_SIGN}"
    elif quote.escape:
        yield rf"{re.escape(quote.escape)}[$'\\]"
    if quote.doubles:
        yield re.escape(closer * 2)
    for each in codes:
        if each.literal:
            yield re.escape(each.literal)


def _comment_grammar(comment: Comment) -> Grammar:
    if not comment.end:
        return Grammar([Token(LINE_END, "\r\n", pop_at_line_end)])
    tokens = [ending(comment.end, pop)]
    if comment.nests:

        def nest(run: Run, match: re.Match[str], start: int) -> None:
            run.push(Kind.COMMENT, comment.end, start, run.mode)

        tokens.append(Token(literal(comment.start), comment.start[0], nest))
    return Grammar(tokens)


def _regex_grammar() -> Grammar:
    skipped = (r"\\[^\r\n]", r"\[(?:[^\]\\\r\n]++|\\[^\r\n])*+\]?")
    return Grammar([Token("/", "/", pop), Token(LINE_END, "\r\n", pop_at_line_end)], skipped, "\\[")


def _include_grammar() -> Grammar:
    return Grammar([Token(">", ">", pop), Token(LINE_END, "\r\n", pop_at_line_end)])


def _indented_grammar(indent: int) -> Grammar:
    """Lines that are deeper than `indent`, or blank; read from the start of one."""
    deep = rf" {{{indent + 1}}}[^\r\n]*+(?:{LINE_END}|\Z)| *(?:{LINE_END}|\Z)"
    return Grammar([Token(r"(?=[\s\S])", " ", pop_at_line_end)], plain=deep)


def _open_heirs(run: Run, match: re.Match[str], start: int) -> None:
    """A line end: what was announced on the line begins."""
    heirs, run.heirs = run.heirs, []
    # The last to be read is opened first.
    for heir in reversed(heirs):
        run.push(Kind.STRING, heir.closer, run.at, heir.mode, heir.opener)


def _string_depth(run: Run) -> int:
    """How deep the string is that the innermost interpolation stands in."""
    depth = run.find(Kind.INTERPOLATION)
    assert depth is not None
    return depth - 1


def _end_string(run: Run, match: re.Match[str], start: int) -> None:
    """The string's delimiter in its code, which was not closed."""
    run.pop_to(_string_depth(run), start)


def _give_up_string(run: Run, match: re.Match[str], start: int) -> None:
    """A line end in the code of a string that must end with its line."""
    run.give_up(_string_depth(run), start)


def _end_interpolation(run: Run, match: re.Match[str], start: int) -> None:
    run.pop_to(_string_depth(run) + 1, start)
