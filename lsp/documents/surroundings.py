"""The code around a cursor that attribution looks up: its block, widened until it can be recognised.

Blocks are found by indentation, which every language's formatter keeps; no grammar is needed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from model.languages.line_kind import goes_on
from model.languages.words import words_and_marks

# Twice the length at which a copy is always found (`attribution.tokens.fingerprint`).
MIN_TOKENS = 60
MAX_TOKENS = 4_000
MAX_LINES = 400
MAX_HEADER_LINES = 20
_CLOSING_BRACKET = re.compile(r"\s*[)\]}]")
_DECORATOR = re.compile(r"\s*(@|#\[)")
_LONE_BRACKET = re.compile(r"\s*[{(\[]\s*$")


def around(lines: Sequence[str], line: int) -> tuple[int, int]:
    """The lines [first, last) to look at when the cursor is on `line`.

    The innermost block with `MIN_TOKENS` tokens; at the file's outermost level, the nearest paragraphs with
    as many. Never more than `MAX_TOKENS` tokens or `MAX_LINES` lines.
    """
    block = (line, line + 1)
    while count_tokens(lines, block) < MIN_TOKENS:
        wider = _wider(lines, block)
        if wider == block:
            break
        if wider[1] - wider[0] > MAX_LINES or count_tokens(lines, wider) > MAX_TOKENS:
            block = _nearest(lines, line, wider)
            break
        block = wider
    return _trimmed(lines, block)


def count_tokens(lines: Sequence[str], block: tuple[int, int]) -> int:
    """How many words and marks stand in the lines [first, last)."""
    return sum(len(words_and_marks(text)) for text in lines[slice(*block)])


def _nearest(lines: Sequence[str], line: int, block: tuple[int, int]) -> tuple[int, int]:
    """The lines nearest to the cursor's, of a block that is too large."""
    first, last = line, line + 1
    while (first, last) != block and count_tokens(lines, (first, last)) < MIN_TOKENS:
        first, last = max(first - 1, block[0]), min(last + 1, block[1])
    return first, last


def _wider(lines: Sequence[str], block: tuple[int, int]) -> tuple[int, int]:
    """The block, widened to its whole level and the lines that open and close that level."""
    first, last = block
    level = _level(lines, block)
    if not level:
        return _next_paragraph(lines, first, step=-1), _next_paragraph(lines, last, step=1)
    while first > 0 and _is_inside(lines[first - 1], level):
        first -= 1
    while last < len(lines) and _is_inside(lines[last], level):
        last += 1
    return _with_opening(lines, first), _with_closing(lines, last)


def _level(lines: Sequence[str], block: tuple[int, int]) -> int:
    """The smallest indentation in the block; of blank lines, that of the text next to them."""
    found = [_indentation(text) for text in lines[slice(*block)] if text.strip()]
    if found:
        return min(found)
    above = next((text for text in reversed(lines[: block[0]]) if text.strip()), "")
    below = next((text for text in lines[block[1] :] if text.strip()), "")
    return max(_indentation(above), _indentation(below))


def _indentation(text: str) -> int:
    return len(text) - len(text.lstrip(" \t")) if text.strip() else 0


def _is_inside(text: str, level: int) -> bool:
    return not text.strip() or _indentation(text) >= level


def _with_opening(lines: Sequence[str], first: int) -> int:
    """The line that opens the block, with decorators above it, or a header above a lone bracket."""
    if first == 0:
        return first
    first -= 1
    level = _indentation(lines[first])
    if _CLOSING_BRACKET.match(lines[first]):  # of a header that began some lines above
        first = _opener(lines, first, level)
    while first > 0 and lines[first - 1].strip() and _indentation(lines[first - 1]) == level:
        if not (_DECORATOR.match(lines[first - 1]) or _LONE_BRACKET.match(lines[first])):
            break
        first -= 1
    return first


def _opener(lines: Sequence[str], closer: int, level: int) -> int:
    """The nearest line above that is indented as the closer of its bracket is; else the closer."""
    for at in range(closer - 1, max(closer - MAX_HEADER_LINES, 0) - 1, -1):
        if lines[at].strip() and _indentation(lines[at]) <= level:
            return at if _indentation(lines[at]) == level else closer
    return closer


def _with_closing(lines: Sequence[str], last: int) -> int:
    return last + 1 if last < len(lines) and goes_on(lines[last]) else last


def _next_paragraph(lines: Sequence[str], at: int, *, step: int) -> int:
    """The far end of the next paragraph beyond the boundary `at`."""

    def text(boundary: int) -> str:
        return lines[boundary - 1 if step < 0 else boundary]

    limit = 0 if step < 0 else len(lines)
    while at != limit and not text(at).strip():
        at += step
    while at != limit and text(at).strip():
        at += step
    return at


def _trimmed(lines: Sequence[str], block: tuple[int, int]) -> tuple[int, int]:
    """Without blank lines at the ends."""
    first, last = block
    while last - first > 1 and not lines[first].strip():
        first += 1
    while last - first > 1 and not lines[last - 1].strip():
        last -= 1
    return first, last
