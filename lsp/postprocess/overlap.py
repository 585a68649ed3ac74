"""Filters against text that the document has already: above, below and right of the cursor.

Lines are compared exactly, with their indentation. Two equal neighbouring lines are rare in code; where
the file around the cursor has some, nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lsp.postprocess.brackets import Brackets, Closer
from lsp.postprocess.closing import ways_to_fit
from lsp.postprocess.suggestion import CursorContext, Suggestion

_MIN_TAIL_LETTERS = 3
_MIN_SURE_TAIL_LETTERS = 6  # a rest of the line this long is not written twice by chance
_NEAR_LINES = 12
_C_LANGUAGES = frozenset({"c", "cpp", "objective-c", "objective-cpp", "cuda-cpp"})


def cut_restated_line(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut the text before the cursor, where the suggestion begins with all of its line again."""
    written = context.line_before.lstrip()
    text = suggestion.text.lstrip(" \t")
    if sum(character.isalnum() for character in written) < _MIN_TAIL_LETTERS or not text.startswith(written):
        return suggestion
    # Elements are in others of the same name more often than a line begins with its beginning.
    if written.startswith("<") and written.endswith(">"):
        return suggestion
    return suggestion.with_text(text[len(written) :])


def fit_closed_tail(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Close nothing twice that the rest of the cursor's line closes: brackets, quotes, tags.

    Text that goes on behind such a closer replaces it, where the client can do that.
    """
    tail = context.closed_tail
    if tail is None:
        return suggestion
    for text, n_replaced in ways_to_fit(suggestion.text, tail, can_replace=context.can_replace):
        return Suggestion(text, suggestion.ended, n_replaced) if text.strip() else None
    return suggestion


def cut_closed_brackets(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut closing brackets that the lines below already have, and those that close nothing.

    The evidence is in the document: the brackets around the cursor fit with the cut text, and do not with
    the whole text.
    """
    brackets = context.brackets
    if brackets is None or not brackets.consistent:
        return suggestion
    text = suggestion.text
    wrong_char = brackets.after(text).mismatch_char
    if wrong_char is not None:
        text = text[:wrong_char].rstrip()
        if not text.strip():
            return None
    balance = brackets.after(text)
    if not balance.in_code or brackets.fits(balance.stack):
        return suggestion.with_text(text)
    kept = _uncut(text, balance.closers, brackets, context)
    return suggestion.with_text(kept) if kept.strip() else None


def _uncut(text: str, closers: Sequence[Closer], brackets: Brackets, context: CursorContext) -> str:
    """The longest beginning of the text with which the brackets fit; all of it if there is none."""
    for cut in _cuts(text, closers):
        shorter = brackets.after(text[:cut])
        # The document must have what is cut, next to the cursor.
        if text[cut] == context.suffix.lstrip()[:1] and shorter.in_code and brackets.fits(shorter.stack):
            return text[:cut] if context.line_tail.strip() else text[:cut].rstrip()
    return text


def cut_suffix_overlap(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut the suggestion's last lines where the document goes on with them."""
    below = context.lines_below
    lines = context.whole_lines(suggestion.text)
    if context.line_tail.strip() or not below or _repeats_itself(context, lines):
        return suggestion
    kept = overlap_start(lines, below)
    if kept is None or _closes_what_is_open("\n".join(lines[kept:]), suggestion.text, context):
        return suggestion
    if kept == 0:
        return None
    return suggestion.with_text("\n".join(lines[:kept])[len(context.line_before) :].rstrip())


def cut_repeated_tail(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut the suggestion's end where it repeats the rest of the cursor's line."""
    tail = context.line_tail.rstrip()
    text = suggestion.text.rstrip()
    if sum(character.isalnum() for character in tail) < _MIN_TAIL_LETTERS or not text.endswith(tail):
        return suggestion
    kept = text[: -len(tail)]
    if not _would_break(text, tail, context):
        return suggestion
    return suggestion.with_text(kept) if kept.strip() else None


def drop_line_above(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Drop a suggestion that repeats the line or lines above the cursor."""
    above = [line.rstrip() for line in context.lines_above[-40:] if line.strip()]
    lines = [line.rstrip() for line in context.whole_lines(suggestion.text) if line.strip()]
    if context.line_tail.strip() or not above or not lines or _repeats_itself(context, lines):
        return suggestion
    letters = sum(character.isalnum() for character in lines[0])
    again = letters >= 2 * _MIN_TAIL_LETTERS and above[-len(lines) :] == lines
    return None if again else suggestion


def overlap_start(lines: list[str], below: list[str]) -> int | None:
    """Where the longest end of `lines` that `below` begins with starts; None without any."""
    full = [(number, line.rstrip()) for number, line in enumerate(lines) if line.strip()]
    texts = [line for _, line in full]
    for count in range(min(len(texts), len(below)), 0, -1):
        if texts[-count:] == below[:count]:
            return full[-count][0]
    return None


def _repeats_itself(context: CursorContext, lines: list[str]) -> bool:
    """Whether neighbouring lines near the cursor are equal: tables, assembler, a game of `next(it)`."""
    groups = (context.lines_above[-_NEAR_LINES:], lines, context.lines_below[:_NEAR_LINES])
    return any(
        first == second and any(character.isalnum() for character in first)
        for group in groups
        for first, second in pairwise(line.rstrip() for line in group if line.strip())
    )


def _closes_what_is_open(repeated: str, text: str, context: CursorContext) -> bool:
    """Whether equal lines are closing brackets (or a rule of signs) that the document still needs.

    Closing brackets at the same indentation do not follow each other, except at the margin in C, whose
    namespaces and guards are not indented.
    """
    if any(character.isalnum() for character in repeated):
        return False
    brackets = context.brackets
    if not any(character in ")]}" for character in repeated):
        return True
    if repeated[0].isspace() or context.language not in _C_LANGUAGES:
        return False
    if brackets is None or not brackets.consistent:
        return False
    balance = brackets.after(text)
    return balance.mismatch_char is None and brackets.fits(balance.stack)


def _cuts(text: str, closers: Sequence[Closer]) -> list[int]:
    """Where to try to cut: at closing brackets at the text's end, then at those of outer brackets."""
    end = len(text.rstrip().rstrip(")]};, \n\t"))
    trailing = [closer.start_char for closer in reversed(closers) if closer.start_char >= end]
    outer = [closer.start_char for closer in reversed(closers) if closer.outer and closer.start_char < end]
    return trailing + outer


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _would_break(text: str, tail: str, context: CursorContext) -> bool:
    """Whether keeping the repeated tail glues two words or leaves brackets that do not fit."""
    letters = sum(character.isalnum() for character in tail)
    if _is_word(tail[0]):
        # "c + plus|plus" is a word written twice, "__c" + "plus|plus" is not.
        before = text[: -len(tail)][-1:] or context.line_before[-1:]
        whole = not _is_word(before)
        if _is_word(text[-1]) or letters >= _MIN_SURE_TAIL_LETTERS:
            return whole
    elif letters >= _MIN_SURE_TAIL_LETTERS:
        return True
    brackets = context.brackets
    if brackets is None or not brackets.consistent:
        return False
    balance = brackets.after(text)
    return balance.mismatch_char is not None or not brackets.fits(balance.stack)
