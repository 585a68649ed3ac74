"""Filters against degenerate loops: the same characters, lines or blocks again and again.

Tables and test data repeat themselves too, but end by themselves, and a loop does not. So the filters
here act only on text that the token limit cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsp.postprocess.suggestion import CursorContext, Ended, Suggestion

_MAX_UNIT_CHARS = 40
_MIN_ROUNDS = 6
_MIN_LOOP_CHARS = 24
_MIN_BLOCKS = 3
_MAX_BLOCK_LINES = 12


def cut_repeated_characters(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Keep only the first round of a loop at the end of a text that the token limit cut."""
    if suggestion.ended is not Ended.LENGTH:
        return suggestion
    start = loop_start(suggestion.text)
    if start is None:
        return suggestion
    text = suggestion.text[:start]
    return suggestion.with_text(text) if text.strip() else None


def cut_repeated_blocks(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Keep only the first of the equal lines, or blocks of lines, at the end of such a text."""
    if suggestion.ended is not Ended.LENGTH:
        return suggestion
    lines = suggestion.text.split("\n")
    kept = repeated_from(lines)
    if kept is None:
        return suggestion
    text = "\n".join(lines[:kept])
    # The first round is whole, so the rest no longer counts as cut.
    return Suggestion(text, Ended.STOP) if text.strip() else None


def is_looping(text: str) -> bool:
    """Whether a growing text has fallen into a loop, which would not end by itself."""
    start = loop_start(text)
    if start is not None and len(text) - start >= 4 * _MIN_LOOP_CHARS:
        return True
    lines = text.split("\n")
    kept = repeated_from(lines, min_blocks=2 * _MIN_BLOCKS)
    return kept is not None


def loop_start(text: str) -> int | None:
    """Where the second round of a loop at the end of the text's last line begins; None without one."""
    line = text[text.rfind("\n") + 1 :]
    for unit in range(1, min(_MAX_UNIT_CHARS, len(line) - 1) + 1):
        repeated = _run(line, unit)
        enough = repeated >= (_MIN_ROUNDS - 1) * unit and repeated + unit >= _MIN_LOOP_CHARS
        if enough and line[-unit:].strip():
            return len(text) - repeated
    return None


def repeated_from(lines: Sequence[str], *, min_blocks: int = _MIN_BLOCKS) -> int | None:
    """The number of lines to keep if the text ends in `min_blocks` equal blocks of lines, else None."""
    for size in range(1, min(_MAX_BLOCK_LINES, len(lines) // 2) + 1):
        if lines[-1 - size].startswith(lines[-1]):
            whole = [*lines[:-1], lines[-1 - size]]  # the last line may be cut
            repeated = _run(whole, size)
            if repeated >= (min_blocks - 1) * size and "".join(whole[-size:]).strip():
                return len(lines) - repeated
    return None


def _run(items: Sequence[str], distance: int) -> int:
    """How many items at the end equal the one `distance` before them."""
    count = 0
    while count + distance < len(items) and items[-1 - count] == items[-1 - count - distance]:
        count += 1
    return count
