"""Filters against degenerate loops: the same characters, lines or blocks again and again.

Tables and test data repeat themselves too, so a filter here acts on text that the token limit cut:
a loop never ends by itself, a table does.
"""

from __future__ import annotations

import re

from lsp.postprocess.suggestion import CursorContext, Ended, Suggestion

# A unit of 1 to 40 characters, at least six times, up to the end (with a beginning of one more).
_TAIL_LOOP = re.compile(r"(?P<unit>.{1,40}?)(?P=unit){5,}\Z", re.S)
_MIN_LOOP_CHARS = 24
_MIN_BLOCKS = 3
_MAX_BLOCK_LINES = 12


def cut_repeated_characters(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut a loop at the end of a cut text to its first round."""
    if suggestion.ended is not Ended.LENGTH:
        return suggestion
    start = loop_start(suggestion.text)
    return suggestion if start is None else _shortened(suggestion, suggestion.text[:start])


def cut_repeated_blocks(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut lines or blocks of lines that a cut text repeats at its end to their first appearance."""
    if suggestion.ended is not Ended.LENGTH:
        return suggestion
    lines = suggestion.text.split("\n")
    kept = repeated_from(lines)
    return suggestion if kept is None else _shortened(suggestion, "\n".join(lines[:kept]))


def is_looping(text: str) -> bool:
    """Whether a text that is still being generated has fallen into a loop: stop it, it will not end."""
    start = loop_start(text)
    if start is not None and len(text) - start >= 4 * _MIN_LOOP_CHARS:
        return True
    lines = text.split("\n")
    kept = repeated_from(lines, min_blocks=2 * _MIN_BLOCKS)
    return kept is not None


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the text's end begins; None without a loop."""
    line = text[text.rfind("\n") + 1 :]
    # The end may hold a part of one more round: try each length of that part.
    for partial in range(min(40, len(line))):
        end = len(line) - partial
        match = _TAIL_LOOP.search(line[:end])
        if match is None or end - match.start() < _MIN_LOOP_CHARS or not match["unit"].strip():
            continue
        if match["unit"].startswith(line[end:]):
            return len(text) - len(line) + match.start() + len(match["unit"])
    return None


def repeated_from(lines: list[str], *, min_blocks: int = _MIN_BLOCKS) -> int | None:
    """The number of lines to keep if the text ends in `min_blocks` equal blocks of lines, else None."""
    stripped = [line.strip() for line in lines]
    count = len(stripped)
    for size in range(1, min(_MAX_BLOCK_LINES, count // min_blocks) + 1):
        for partial in range(size):
            end = count - partial
            rounds = _rounds(stripped, end, size)
            first = end - rounds * size
            block = stripped[first : first + size]
            if rounds < min_blocks or not any(block) or stripped[end:] != block[:partial]:
                continue
            return first + size
    return None


def _rounds(lines: list[str], end: int, size: int) -> int:
    """How many equal blocks of `size` lines end at line `end`."""
    block = lines[end - size : end]
    rounds = 1
    while end - (rounds + 1) * size >= 0 and lines[end - (rounds + 1) * size : end - rounds * size] == block:
        rounds += 1
    return rounds


def _shortened(suggestion: Suggestion, text: str) -> Suggestion | None:
    # The first round is whole, so what is left is no longer a cut text.
    return Suggestion(text, Ended.STOP) if text.strip() else None
