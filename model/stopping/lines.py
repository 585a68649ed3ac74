"""Lines of a text and their indentation. Knows no language."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])?")
# Widths of a tab under which an indentation must be the smaller one to count as smaller: in files
# that mix tabs and spaces nothing is concluded.
_TAB_WIDTHS = (2, 4, 8)


def lines_of(text: str) -> Iterator[tuple[str, str, bool]]:
    """The lines of `text` without their ends, the indentation of each, and whether it has ended."""
    for match in _LINE.finditer(text):
        whole = match.group()
        line = whole.rstrip("\r\n")
        if whole or match.start() == len(text):
            yield line, indent_of(line), len(line) < len(whole)
        if len(line) == len(whole):
            return


def line_start(text: str, start_char: int) -> int:
    """Where the line begins that a character of `text` is in."""
    return max(text.rfind("\n", 0, start_char), text.rfind("\r", 0, start_char)) + 1


def indent_of(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def is_shallower(indent: str, other: str) -> bool:
    """Whether `indent` is certainly less deep than `other`, however wide a tab is."""
    return all(len(indent.expandtabs(n)) < len(other.expandtabs(n)) for n in _TAB_WIDTHS)
