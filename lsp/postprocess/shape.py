"""Filters of a suggestion's outer shape: its end, its white space, its indentation.

A text that ended by itself (`Ended.STOP`) is taken as meant; only a cut one loses its ragged end.
"""

from __future__ import annotations

import re
from itertools import takewhile

from lsp.postprocess.suggestion import CursorContext, Ended, Suggestion
from model.languages.languages import language_of_id
from model.languages.line_kind import begins_case, goes_on

# What OpenAI-compatible servers are known to leak in place of an end.
_CONTROL_TOKEN = re.compile(
    r"<\|(?:endoftext|end_of_text|begin_of_text|fim_\w+|file_sep|file_separator|repo_name|im_start|im_end|eot_id)\|>"
    r"|<fim_(?:prefix|middle|suffix|pad)>|<(?:file_sep|EOT|PRE|SUF|MID)>|<｜[^｜\n]{1,40}｜>"
)
# What no code shows: controls but tab and line end, marks that turn the direction of text or have no width
# (Trojan Source, arXiv 2111.00169), and U+FFFD in place of bytes that were none.
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    r"\ufff9-\ufffd\U000e0000-\U000e007f]"
)
_MIN_CHARS = 2  # without white space: one character is typed sooner than it is read
_DEFAULT_INDENT = 4
# An expression's next line is deeper than its first.
_CONTINUING = (".", "?", ":", "&", "|", "+", "-", "*", "/", "=", "<<", ">", "%", "^", ")", "]")


def cut_leaked_tokens(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut at a control token that a foreign engine leaked, unless the file itself is about such tokens."""
    match = _CONTROL_TOKEN.search(suggestion.text)
    if match is None or _CONTROL_TOKEN.search(context.prefix) or _CONTROL_TOKEN.search(context.suffix):
        return suggestion
    return suggestion.with_text(suggestion.text[: match.start()])


def cut_unseen_characters(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut at a character that a reader would not see, or that stands for bytes that were none."""
    match = UNSEEN.search(suggestion.text)
    return suggestion if match is None else suggestion.with_text(suggestion.text[: match.start()])


def cut_unfinished_last_line(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut the last line of several if the token limit cut it."""
    head, newline, _ = suggestion.text.rpartition("\n")
    if suggestion.ended is not Ended.LENGTH or not newline or not head.strip():
        return suggestion
    return suggestion.with_text(head)


def cut_beyond_block(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut a runaway where it leaves the block of the cursor (indentation scope)."""
    if suggestion.ended is Ended.STOP:
        return suggestion
    lines = suggestion.text.split("\n")
    width, outer_width = _block_indents(lines, context)
    for number, line in enumerate(lines[1:], start=1):
        if not line.strip() or indent_width(line) >= width:
            continue
        if indent_width(line) < outer_width or not (goes_on(line) or begins_case(line)):
            kept = "\n".join(lines[:number]).rstrip()
            # The rest ends with a whole line, so it no longer counts as cut.
            ended = Ended.STOP if suggestion.ended is Ended.LENGTH else suggestion.ended
            return Suggestion(kept, ended) if kept.strip() else suggestion
    return suggestion


def trim_end(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut white space at the end where nothing follows the cursor on its line."""
    if context.line_tail.strip():
        return suggestion
    return suggestion.with_text(suggestion.text.rstrip())


def drop_blank(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Drop a suggestion of white space."""
    return suggestion if suggestion.text.strip() else None


def drop_short(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Drop a single character, unless the user asked for a suggestion."""
    visible = sum(not character.isspace() for character in suggestion.text)
    return suggestion if context.manual or visible >= _MIN_CHARS else None


def fit_first_indent(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Cut an indentation that the cursor's line already has and the suggestion repeats.

    Only if the sum is deeper than the line above allows, and neither a string or comment nor a round or
    square bracket is open: what stands in those is aligned as its author likes.
    """
    indent = context.line_before
    lead = _leading(suggestion.text)
    if not indent or indent.strip() or lead != indent or len(lead) == len(suggestion.text):
        return suggestion
    above = next((line for line in reversed(context.lines_above) if line.strip(" \t#")), None)
    if above is None or not context.is_in_block or suggestion.text.lstrip().startswith(_CONTINUING):
        return suggestion
    if indent_width(indent) + indent_width(lead) <= _deepest(above, context):
        return suggestion
    # The whole suggestion was written from the margin, so its other lines stand where they belong.
    return suggestion.with_text(suggestion.text[len(lead) :])


def _deepest(above: str, context: CursorContext) -> int:
    """How deep the cursor's line may be below that line."""
    width, here = indent_width(above), indent_width(context.line_before)
    if context.family == "python":
        may_deepen = above.lstrip().startswith("#") or ":" in above or above.rstrip().endswith("\\")
        return width + (_DEFAULT_INDENT * 2 if may_deepen else 0)
    if here > width:
        return here  # the editor has made it deeper already
    return width if above.rstrip().endswith((";", ",", "}")) else width + _space_unit(context)


def to_file_indentation(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Indent with tabs or spaces, where the file around the cursor has only one of them."""
    if context.language == "makefile" or (context.family and context.brackets is None):
        return suggestion  # a tab is syntax there, or the cursor is in a string
    style = _file_style(context)
    first, *rest = suggestion.text.split("\n")
    leads = [_leading(line) for line in rest if line.strip()]
    if not context.line_before.strip():
        leads.append(_leading(first))
    used = {character for lead in leads for character in lead}
    if style is None or not used or style in used:
        return suggestion
    unit = _space_unit(context) if style == " " else _first_unit(rest, context)
    if style == "\t" and any(len(lead) % unit for lead in leads):
        return suggestion  # aligned text, not indented code
    convert = _to_spaces if style == " " else _to_tabs
    if not context.line_before.strip():
        first = convert(first, unit)
    return suggestion.with_text("\n".join([first, *(convert(line, unit) for line in rest)]))


def to_document_eol(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """Use the document's line ends."""
    if context.eol == "\n":
        return suggestion
    return suggestion.with_text(suggestion.text.replace("\n", context.eol))


def indent_width(line: str) -> int:
    """The width of a line's indentation, a tab counted as four."""
    return len(_leading(line).expandtabs(_DEFAULT_INDENT))


def _leading(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _block_indents(lines: list[str], context: CursorContext) -> tuple[int, int]:
    """The indentation of the block that the suggestion writes in, and that of the line which opened it.

    The block's is that of the suggestion's first line on a blank line, of its next line at the end of a line
    that opens a block, and else of the cursor's line.
    """
    if context.line_before.strip():
        outer = indent_width(context.line_before)
        following = next((line for line in lines[1:] if line.strip()), None)
        return (max(outer, indent_width(following)), outer) if following is not None else (outer, outer)
    first = next((line for line in context.whole_lines("\n".join(lines)) if line.strip()), "")
    width = indent_width(first)
    above = (indent_width(line) for line in reversed(context.lines_above) if line.strip())
    return width, next((outer for outer in above if outer < width), 0)


def _file_style(context: CursorContext) -> str | None:
    """ " " or tab if every indented line around the cursor begins so, else None."""
    lines = [*context.lines_above[-200:], context.line_before, *context.lines_below[:100]]
    # One space alone is the star of a block comment, not an indentation.
    kinds = {line[0] for line in lines if line[:1] == "\t" or line[:2] == "  "}
    return kinds.pop() if len(kinds) == 1 else None


def _space_unit(context: CursorContext) -> int:
    """The file's indentation step: its smallest indentation of at least two spaces."""
    lines = [*context.lines_above[-200:], *context.lines_below[:100]]
    widths = [len(_leading(line)) for line in lines if line[:2] == "  "]
    known = language_of_id(context.language)
    default = indent_width(known.indent) if known is not None else _DEFAULT_INDENT
    return min(widths, default=default) if min(widths, default=8) <= 8 else default


def _first_unit(lines: list[str], context: CursorContext) -> int:
    """How many spaces the model writes for one tab, by its first indented line.

    Later lines are not looked at: a stream has them only later.
    """
    width = next((len(_leading(line)) for line in lines if line.startswith(" ")), _DEFAULT_INDENT)
    depth = len(list(takewhile(lambda character: character == "\t", context.line_before)))
    if context.line_before.rstrip().endswith(("{", "(", "[", ":")):
        depth += 1
    exact = [unit for unit in (4, 2, 8, 3) if unit * depth == width]
    return exact[0] if exact else 2 if width % _DEFAULT_INDENT else _DEFAULT_INDENT


def _to_tabs(line: str, unit: int) -> str:
    spaces = len(line) - len(line.lstrip(" "))
    return "\t" * (spaces // unit) + " " * (spaces % unit) + line[spaces:]


def _to_spaces(line: str, unit: int) -> str:
    tabs = len(line) - len(line.lstrip("\t"))
    return " " * (unit * tabs) + line[tabs:]
