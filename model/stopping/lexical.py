"""Open brackets and strings at a point of any program text, roughly.

No grammar of any language: brackets outside strings and comments are paired, and the file name
chooses how comments and quotes look. Where it errs it should err towards seeing fewer brackets
closed, see `model.stopping.stopping` for why. Knows nothing about completions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
OPENER_OF = {closer: opener for opener, closer in CLOSER_OF.items()}
_LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])?")
# Widths of a tab under which an indentation must be the smaller one to count as smaller: in files
# that mix tabs and spaces nothing is concluded.
_TAB_WIDTHS = (2, 4, 8)

_HASH = r"(?:^|(?<=\s))#"
_SLASHES = r"(?<!:)//"  # not the one of a URL
_COMMENTS = {
    # Without a file name, only whole lines: `//` may be a division and `#` a colour.
    "": r"^\s*(?://|#\s)",
    "py pyi": r"#",
    "rb sh bash zsh toml r jl pl ex exs mk cmake cfg ini nim tf ps1 coffee": _HASH,
    "c h cc cpp cxx hh hpp java kt kts scala swift cs php dart groovy proto zig sv scss less m": _SLASHES,
    "js jsx mjs cjs ts tsx go rs vue svelte": _SLASHES,
    "sql lua hs elm adb ads vhd vhdl": r"--",
    "lisp el clj cljs scm rkt": r";",
    "tex erl hrl": r"(?<!\\)%",
    "css json": "",
}
_BLOCK_COMMENTS = (
    "c h cc cpp cxx hh hpp java kt kts scala swift cs php dart groovy proto go rs zig sv scss less css "
    "js jsx mjs cjs ts tsx sql vue svelte m"
)
_BACKTICKS = "js jsx mjs cjs ts tsx go vue svelte"
_CHARACTER_QUOTES = "rs hs elm clj cljs lisp el scm rkt"  # ' also begins lifetimes and quoted lists
# In these, brackets and quotes are mostly text; lines and their depth say enough.
_PROSE = "html htm xml svg md rst txt yaml yml"
# A ' after a letter is an apostrophe, unless the letters are a string prefix as in Python or C.
_SINGLE_QUOTE = r"(?<!\w)'|(?<=\b[rbufRBUFL])'|(?<=\b[rbfRBF]{2})'"


class Open(NamedTuple):
    """A bracket that is open, and the white space that its line begins with."""

    bracket: str
    indent: str


@dataclass(frozen=True)
class Place:
    """What is open at a point: brackets, and the delimiter that would end the string ("" in code)."""

    stack: tuple[Open, ...] = ()
    inside: str = ""


@dataclass(frozen=True)
class LineScan:
    """Brackets of one line with their positions, and the string or comment open at its end."""

    brackets: tuple[tuple[int, str], ...]
    inside: str


@dataclass(frozen=True)
class Syntax:
    """How to tell code from strings and comments."""

    token: re.Pattern[str]

    def scan_line(self, line: str, inside: str, *, complete: bool) -> LineScan:
        """Scan a line (without its end). A quote that a complete line does not close is no quote."""
        brackets: list[tuple[int, str]] = []
        at = 0
        while at <= len(line):
            if inside:
                end = _end_of_string(line, at, inside)
                if end < 0:
                    break
                at, inside = end, ""
            match = self.token.search(line, at)
            if match is None or match.lastgroup == "comment":
                break
            at, text = match.end(), match.group()
            if match.lastgroup == "bracket":
                brackets.append((match.start(), text))
            elif match.lastgroup == "multiline":
                inside = {"/*": "*/", "<!--": "-->"}.get(text, text)
            elif match.lastgroup == "quote":
                end = _end_of_string(line, at, text)
                if end < 0 and not complete:
                    inside = text
                    break
                at = max(at, end)
        if complete and inside in ("'", '"'):
            inside = ""
        return LineScan(tuple(brackets), inside)

    def place_at_end(self, text: str) -> Place:
        """What is open at the end of `text`, whose last line may be unfinished."""
        stack: list[Open] = []
        inside = ""
        for line, indent, complete in lines_of(text):
            scan = self.scan_line(line, inside, complete=complete)
            inside = scan.inside
            for _, bracket in scan.brackets:
                move(stack, bracket, indent)
        return Place(tuple(stack), inside)


def lines_of(text: str) -> Iterator[tuple[str, str, bool]]:
    """The lines of `text` without their ends, the indentation of each, and whether it has ended."""
    for match in _LINE.finditer(text):
        whole = match.group()
        line = whole.rstrip("\r\n")
        if whole or match.start() == len(text):
            yield line, indent_of(line), len(line) < len(whole)
        if len(line) == len(whole):
            return


def move(stack: list[Open], bracket: str, indent: str) -> bool:
    """Push or pop `bracket`; whether it did. A closer without its opener changes nothing.

    A brace also closes the round and square brackets left open within: those are typing errors.
    """
    opener = OPENER_OF.get(bracket)
    if opener is None:
        stack.append(Open(bracket, indent))
        return True
    at = len(stack) - 1
    while opener == "{" and at >= 0 and stack[at].bracket != "{":
        at -= 1
    if at < 0 or stack[at].bracket != opener:
        return False
    del stack[at:]
    return True


def indent_of(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def is_shallower(indent: str, other: str) -> bool:
    """Whether `indent` is certainly less deep than `other`, however wide a tab is."""
    return all(len(indent.expandtabs(n)) < len(other.expandtabs(n)) for n in _TAB_WIDTHS)


def syntax_of(path: str | None) -> Syntax:
    """The syntax to assume for a file of that name."""
    return _syntax(PurePath(path).suffix.lstrip(".").lower() if path else "")


@cache
def _syntax(extension: str) -> Syntax:
    if extension in _PROSE.split():
        return Syntax(re.compile(r"(?P<multiline><!--)"))
    comment = next((c for names, c in _COMMENTS.items() if extension in names.split()), _COMMENTS[""])
    multiline = ['"""', "'''"]
    multiline += [r"/\*"] if extension in _BLOCK_COMMENTS.split() else []
    multiline += ["`"] if extension in _BACKTICKS.split() else []
    multiline += ["<!--"] if extension in ("vue", "svelte") else []
    quote_only = extension in _CHARACTER_QUOTES.split()
    parts = [
        r"\\.",
        f"(?P<comment>{comment})" if comment else "",
        f"(?P<multiline>{'|'.join(multiline)})",
        r"(?P<character>'(?:\\[^']+|[^'\\])')" if quote_only else "",
        f'(?P<quote>"{"" if quote_only else "|" + _SINGLE_QUOTE})',
        r"(?P<bracket>[()\[\]{}])",
    ]
    return Syntax(re.compile("|".join(part for part in parts if part)))


@cache
def _string_end(delimiter: str) -> re.Pattern[str]:
    end = re.escape(delimiter)
    # In a comment a backslash means nothing.
    step = "." if delimiter in ("*/", "-->") else r"\\.|."
    return re.compile(rf"(?:(?!{end})(?:{step}))*{end}", re.DOTALL)


def _end_of_string(line: str, start: int, delimiter: str) -> int:
    match = _string_end(delimiter).match(line, start)
    return match.end() if match else -1
