"""From an answer to a change of the code in question, or the reason why there is none.

A change is of whole lines, and for the user to review. It is made of a fenced block of the answer: either
the changed code, which replaces the old lines, or a comment alone, which goes where it belongs. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsp.assistant.prompt import QuestionKind
from lsp.assistant.subject import Subject, common_indent
from lsp.documents.comments import comment_syntax
from model.fences import CodeBlock, code_blocks

NO_BLOCK = "the answer holds no code block, so there is nothing to apply"
CUT_OFF = "the answer was cut off within its code, so there is nothing to apply"
SAME = "the answer's code is the same as before"
PART = "the answer holds only a part of the code, which cannot be put in its place safely"
_QUOTES = ('"""', "'''", 'r"""', "r'''")
_COMMENT_STARTS = ("/*", "*", "//", "///", "<!--", "(*", "{-", "--[[")
# An answer that begins otherwise and has fewer than this part of the lines is taken for an excerpt.
_LEAST_PART = 0.5


@dataclass(frozen=True, kw_only=True)
class Change:
    """Replace the lines [first, last) by `lines` (without ends); first == last inserts."""

    first: int
    last: int
    lines: tuple[str, ...]


def change_of(answer: str, kind: QuestionKind, subject: Subject, *, is_complete: bool) -> Change | str:
    """The change that an answer makes, or why there is none. `is_complete`: the model ended it by itself."""
    blocks = list(code_blocks(answer))
    block = _chosen(blocks, subject.language)
    if block is None:
        return NO_BLOCK
    if not (block.closed or is_complete):
        return CUT_OFF
    lines = _without_above(_dedented(answer[block.start : block.end]), subject)
    if not lines:
        return NO_BLOCK
    if kind is QuestionKind.DOCUMENT and (comment := _comment_alone(lines, subject)) is not None:
        return comment
    return _replacement(lines, kind, subject)


def _chosen(blocks: list[CodeBlock], language: str) -> CodeBlock | None:
    """The first block in the document's language, else the first."""
    named = (block for block in blocks if block.language.lower() == language.lower())
    return next(named, blocks[0] if blocks else None)


def _dedented(code: str) -> list[str]:
    """The code's lines without their common indentation, and without blank lines at the ends."""
    lines = [line.rstrip() for line in code.replace("\r\n", "\n").split("\n")]
    n_chars = len(common_indent(lines))
    lines = [line[n_chars:] for line in lines]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _without_above(lines: list[str], subject: Subject) -> list[str]:
    """The code without what stands above it in the document and was written out, too, such as its imports."""
    first = _first_text(subject.code_lines)
    at = next((number for number, line in enumerate(lines) if line.strip() == first), 0)
    above = {line.strip() for line in subject.lines[: subject.first]}
    written = [line.strip() for line in lines[:at] if line.strip()]
    return _dedented("\n".join(lines[at:])) if all(line in above for line in written) else lines


def _replacement(lines: list[str], kind: QuestionKind, subject: Subject) -> Change | str:
    before = subject.code_lines
    if lines == _without_blank_ends(before):
        return SAME
    begins_alike = _first_text(lines) == _first_text(before)
    if kind is QuestionKind.DOCUMENT and _definition(before) not in {line.strip() for line in lines}:
        return PART
    if not begins_alike and kind is not QuestionKind.DOCUMENT and len(lines) < _LEAST_PART * len(before):
        return PART
    return Change(first=subject.first, last=subject.last, lines=_indented(lines, subject.indent))


def _comment_alone(lines: list[str], subject: Subject) -> Change | None:
    """The change of an answer that is only a comment, put where the language wants it; else None."""
    if _is_docstring(lines):
        return _docstring(lines, subject)
    syntax = comment_syntax(subject.language)
    starts = (*_COMMENT_STARTS, *((syntax.start,) if syntax else ()))
    if not all(not line or line.lstrip().startswith(starts) for line in lines):
        return None
    return Change(first=subject.first, last=subject.first, lines=_indented(lines, subject.indent))


def _is_docstring(lines: list[str]) -> bool:
    text = "\n".join(lines)
    quote = next((quote for quote in _QUOTES if text.startswith(quote)), None)
    if quote is None:
        return False
    inner, end = text[len(quote) :], quote.removeprefix("r")
    return inner.endswith(end) and inner.count(end) == 1


def _docstring(lines: list[str], subject: Subject) -> Change | None:
    """Insert below the line that ends the definition's head with a colon, indented as the body."""
    code, depth = subject.lines[subject.first : subject.last], 0
    for number, line in enumerate(code):
        text = line.split("#")[0].rstrip()
        depth += sum(text.count(each) for each in "([{") - sum(text.count(each) for each in ")]}")
        if not depth and text.endswith(":"):
            body = next((each for each in code[number + 1 :] if each.strip()), subject.indent + "    x")
            if body.lstrip().startswith(_QUOTES):
                return None  # it has one already
            indent = body[: len(body) - len(body.lstrip())]
            at = subject.first + number + 1
            return Change(first=at, last=at, lines=_indented(lines, indent))
    return None


def _definition(lines: list[str]) -> str:
    """The first line that is no decorator."""
    texts = (line.strip() for line in lines if line.strip())
    return next((text for text in texts if not text.startswith(("@", "#["))), "")


def _first_text(lines: list[str]) -> str:
    return next((line.strip() for line in lines if line.strip()), "")


def _without_blank_ends(lines: list[str]) -> list[str]:
    return _dedented("\n".join(lines))


def _indented(lines: list[str], indent: str) -> tuple[str, ...]:
    return tuple(indent + line if line else "" for line in lines)
