"""How a comment is written, and where in a file one may stand.

By the editor's language ids. What has no comments (JSON), or is not in the table of languages, gets
none: a wrong guess would break the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from model.languages.language import Language
from model.languages.languages import language_of_id
from model.languages.lexer import lexer_of


class CommentSyntax(NamedTuple):
    """What begins a comment and, if it does not end with its line, what ends it."""

    start: str
    end: str = ""

    def comment(self, text: str) -> str:
        """One line of comment. Whatever in `text` could end it, or hide code in it, is replaced."""
        # A backslash continues a C comment on the next line, and \\u000a ends a line in Java.
        text = " ".join(text.replace("\\", "/").split())
        # `?>` ends PHP, `--` may not stand in a comment of XML. %XX, so that an address stays one.
        for closing in filter(None, (self.end, "?>", "--" if "--" in self.start + self.end else "")):
            if closing != self.start:
                text = text.replace(closing, f"{closing[0]}%{ord(closing[1]):02X}{closing[2:]}")
        return f"{self.start} {text} {self.end}".rstrip()


# First lines that must stay first.
_FIRST_LINES = re.compile(r"#!|<\?|<!doctype|\ufeff|@charset|%!", re.IGNORECASE)


def comment_syntax(language: str) -> CommentSyntax | None:
    """How a file of this language writes a comment; None if it cannot or nobody here knows."""
    return _syntax_of(language_of_id(language))


def syntax_above(lines: Sequence[str], line: int, language: str) -> CommentSyntax | None:
    """How a comment above a line is written: in a `<script>` of an HTML file as in JavaScript."""
    known = language_of_id(language)
    if known is None or known.markup is None:
        return _syntax_of(known)
    lexer = lexer_of(known)
    start = lexer.start("".join(lines))
    return _syntax_of(lexer.language_at(lexer.scan("".join(lines[:line]), start).state))


def _syntax_of(language: Language | None) -> CommentSyntax | None:
    return None if language is None or language.comment is None else CommentSyntax(*language.comment[:2])


def line_for_comment(lines: Sequence[str], line: int) -> int:
    """The line above which a comment about `line` can stand, at most `len(lines) - 1`.

    Not between a line and the one that continues it (`\\`), and not above `#!` or `<?xml`.
    """
    while line > 0 and lines[line - 1].rstrip("\r\n").endswith("\\"):
        line -= 1
    if line == 0 and len(lines) > 1 and _FIRST_LINES.match(lines[0]):
        return 1
    return line


def comment_line(lines: Sequence[str], line: int, language: str, text: str) -> tuple[int, str] | None:
    """(line before which to insert, the whole line to insert), None where there is no comment to write.

    Indented as the line that it stands above, with the file's own line end.
    """
    at = line_for_comment(lines, line)
    syntax = syntax_above(lines, at, language)
    if syntax is None:
        return None
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip(" \t"))]
    ends = (end for text in (lines[at], lines[0]) for end in ("\r\n", "\n", "\r") if text.endswith(end))
    return at, indentation + syntax.comment(text) + next(ends, "\n")
