"""Brackets around the cursor, strings and comments left out.

A rough lexer: one regular expression per family of languages. It is asked only for evidence that
a text would break what now fits, so where it cannot know (an unlisted language, a cursor in a
string, a window that begins in the middle of one), the answer is None and nothing is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lsp.documents.languages import Family, family

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_BRACKET = r"(?P<open>[(\[{])|(?P<close>[)\]}])"
_SINGLE = r"'[^'\\\n]*(?:\\(?:.|\n|\Z)[^'\\\n]*)*(?:'|(?=\n)|\Z)"
_DOUBLE = r'"[^"\\\n]*(?:\\(?:.|\n|\Z)[^"\\\n]*)*(?:"|(?=\n)|\Z)'
_TRIPLE = "|".join(
    rf"{q}{q}{q}[^{q}\\]*(?:(?:\\.|\\\Z|{q}(?!{q}{q}))[^{q}\\]*)*(?:{q}{q}{q}|\Z)" for q in ('"', "'")
)
_TEMPLATE = r"`[^`\\]*(?:\\(?:.|\Z)[^`\\]*)*(?:`|\Z)"
_C_COMMENT = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
# A slash begins a regular expression where a value may begin: after an operator, a bracket, `return`.
_REGEX_LITERAL = (
    r"(?:(?<=[=(,:\[!&|?{};\n])|(?<=[=(,:\[!&|?{};>] )|(?<=return ))"
    # bounded and without backtracking, or a line of slashes and brackets would take minutes
    r"/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n]){0,100}+\]|[^/\\\n\[]){1,200}+/"
)
# In C, Java, Rust … an apostrophe quotes one character; alone it is a lifetime or a digit separator.
_CHARACTER = r"'(?:\\[^\n]{1,9}?|[^'\\\n])'"

_LEXERS: dict[Family, re.Pattern[str]] = {
    "python": re.compile(
        rf"(?P<block>{_TRIPLE})|(?P<line>{_DOUBLE}|{_SINGLE})|(?P<comment>#[^\n]*)|{_BRACKET}", re.S
    ),
    "script": re.compile(
        rf"(?P<comment>{_C_COMMENT})|(?P<block>{_TEMPLATE})|(?P<line>{_DOUBLE}|{_SINGLE}|{_REGEX_LITERAL})"
        rf"|{_BRACKET}",
        re.S,
    ),
    "c": re.compile(
        rf"(?P<comment>{_C_COMMENT})|(?P<block>{_TEMPLATE})|(?P<line>{_DOUBLE}|{_CHARACTER})|{_BRACKET}", re.S
    ),
}
# Where a Python file has no bracket open: these statements cannot stand inside one.
_PYTHON_TOP = re.compile(r"^[ \t]*(?:(?:def|class|async def) \w|@\w)", re.M)


@dataclass(frozen=True)
class Closer:
    """A closing bracket in a text: where it stands and whether it closes what an earlier text opened."""

    start_char: int
    outer: bool


@dataclass(frozen=True)
class Balance:
    """The stack of open brackets after a text, outermost first, and what happened on the way."""

    stack: str
    closers: tuple[Closer, ...] = ()
    mismatch_char: int | None = None  # the first bracket that closes another kind, or nothing at all
    in_code: bool = True  # the text does not end in a string or a comment


@dataclass(frozen=True)
class Brackets:
    """What the document around the cursor has open, and what its suffix closes."""

    kind: Family
    stack: str  # open at the start of the cursor's line
    line_before: str
    closed_after: str  # the suffix's closing brackets that close what is open at the cursor, in order
    closed_in_tail: int  # how many of them stand on the cursor's line
    base_known: bool  # nothing is open outside `stack`

    @property
    def consistent(self) -> bool:
        """Whether the document fits as it stands; if not, there is nothing to compare with."""
        here = self.after("")
        return here.mismatch_char is None and self.fits(here.stack)

    def after(self, text: str) -> Balance:
        """The brackets after `text` is put at the cursor; positions count from the cursor."""
        return _balance(
            self.line_before + text,
            self.kind,
            self.stack,
            base_known=self.base_known,
            start_char=len(self.line_before),
        )

    def fits(self, stack: str, *, skip: int = 0) -> bool:
        """Whether the suffix, from its `skip`-th closing bracket on, closes `stack` from the inside out."""
        closing = self.closed_after[skip:]
        if len(closing) > len(stack) and self.base_known:
            return False
        return all(
            _CLOSING[opened] == closer for opened, closer in zip(reversed(stack), closing, strict=False)
        )


def brackets_at(prefix: str, suffix: str, *, language: str, from_file_start: bool) -> Brackets | None:
    """The brackets around a cursor between two texts, or None where they cannot be told."""
    kind = family(language)
    if kind is None:
        return None
    known = from_file_start
    if kind == "python":
        tops = [match.start() for match in _PYTHON_TOP.finditer(prefix)]
        if tops:
            prefix, known = prefix[tops[-1] :], True
        below = _PYTHON_TOP.search(suffix, suffix.find("\n") + 1) if "\n" in suffix else None
        suffix = suffix[: below.start()] if below else suffix
    line_start = prefix.rfind("\n") + 1
    if kind == "c" and prefix[:line_start].endswith("\\\n"):
        return None  # a macro: its brackets need not fit
    above = _balance(prefix[:line_start], kind, "", base_known=known)
    if not above.in_code or above.mismatch_char is not None:
        return None
    if kind == "c" and prefix[line_start:].rstrip().endswith("\\"):
        return None
    here = _balance(prefix[line_start:], kind, above.stack, base_known=known)
    if not here.in_code or here.mismatch_char is not None:
        return None
    closed, in_tail = _closed(suffix, kind)
    return Brackets(kind, above.stack, prefix[line_start:], closed, in_tail, known)


def _ends_in_code(match: re.Match[str], text: str) -> bool:
    """Whether a string or comment that reaches the text's end is closed there."""
    if match.end() < len(text):
        return True
    token = match[0]
    if match.lastgroup == "comment":
        return token.startswith("/*") and token.endswith("*/") and len(token) >= 4
    quote = token[:3] if token[:3] in ('"""', "'''") else token[0]
    return len(token) >= 2 * len(quote) and token.endswith(quote)


def _balance(text: str, kind: Family, stack: str, *, base_known: bool, start_char: int = 0) -> Balance:
    opened = list(stack)
    lowest = -1  # the stack's depth at `start_char`; what is closed below it is "outer"
    closers: list[Closer] = []
    match = None
    for match in _LEXERS[kind].finditer(text):
        if match.start() >= start_char and lowest < 0:
            lowest = len(opened)
        if match.lastgroup == "open":
            opened.append(match[0])
        elif match.lastgroup == "close":
            here = match.start() - start_char
            if (opened and _CLOSING[opened[-1]] != match[0]) or (not opened and base_known):
                return Balance("".join(opened), tuple(closers), here)
            outer = len(opened) <= lowest
            if opened:
                opened.pop()
            lowest = min(lowest, len(opened)) if here >= 0 else lowest
            if here >= 0:
                closers.append(Closer(here, outer))
    in_code = match is None or match.lastgroup in ("open", "close") or _ends_in_code(match, text)
    return Balance("".join(opened), tuple(closers), None, in_code)


def _closed(suffix: str, kind: Family) -> tuple[str, int]:
    """The suffix's closing brackets that close nothing in it, and how many are on its first line."""
    depth, closed, in_tail = 0, [], 0
    line_end = suffix.find("\n") if "\n" in suffix else len(suffix)
    for match in _LEXERS[kind].finditer(suffix):
        if match.lastgroup == "open":
            depth += 1
        elif match.lastgroup == "close":
            if depth:
                depth -= 1
                continue
            closed.append(match[0])
            in_tail += match.start() < line_end
    return "".join(closed), in_tail
