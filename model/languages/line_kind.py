"""What a line of code begins with, in any language: enough to see where a block ends.

Knows nothing about indentation or what came before.
"""

from __future__ import annotations

import re
from enum import Enum, auto

# Words that only ever go on with the statement above, words that may, and words that end one.
_FOLLOWING_WORDS = {"else", "elif", "elsif", "elseif", "except", "finally", "catch", "rescue", "ensure"}
_CLAUSES = _FOLLOWING_WORDS | {"case", "default", "when", "then", "do", "while", "until", "where"}
_CLOSING_WORDS = {"end", "fi", "done", "esac", "endif", "endwhile", "endforeach", "endfor", "endswitch"}
_COMMENT = re.compile(r"//|/\*|\*|#|--|<!--|%|;")
_PARTIAL_MARK = re.compile(r"[</!-]+")
_MODIFIERS = "export|default|pub|public|private|protected|internal|static|abstract|final|async|unsafe|virtual"
_KEYWORDS = "def|class|fn|func|fun|function|interface|struct|impl|enum|trait|type|module|namespace"
_DEFINITION = re.compile(rf"@|(?:(?:{_MODIFIERS})\b(?:\(\w+\))?\s+)*(?:{_KEYWORDS})\b")


class LineKind(Enum):
    """What a line begins with."""

    UNDECIDED = auto()
    BRACKET = auto()
    CLOSING = auto()
    CONTINUING = auto()
    COMMENT = auto()
    CODE = auto()


def kind_of(line: str, *, complete: bool) -> LineKind:
    """The kind of a line that is not blank, UNDECIDED while an incomplete one may still change it."""
    text = line.strip() if complete else line.lstrip()
    if text[0] in ")]}":
        return LineKind.BRACKET
    if not complete and _may_grow(text):
        return LineKind.UNDECIDED
    if text.startswith("</"):
        return LineKind.CLOSING
    if _COMMENT.match(text):
        return LineKind.COMMENT
    word = re.match(r"\w*", text)
    assert word is not None
    if word.group() in _CLOSING_WORDS and not text[word.end() :].strip(" \t;,.)"):
        return LineKind.CLOSING if complete else LineKind.UNDECIDED
    continuing = text[0] == "{" or word.group() in _CLAUSES
    return LineKind.CONTINUING if continuing else LineKind.CODE


def _may_grow(text: str) -> bool:
    """Whether more characters may turn the beginning of a line into one of the marks or words."""
    words = _CLOSING_WORDS | _CLAUSES
    return bool(_PARTIAL_MARK.fullmatch(text)) or any(word.startswith(text) for word in words)


def begins_clause(line: str) -> bool:
    """Whether a line goes on with the statement above it: `else`, `except`, a case."""
    word = re.match(r"[\s})]*(\w*)", line)
    return word is not None and word[1] in _CLAUSES


def goes_on(line: str) -> bool:
    """Whether a line belongs to the statement above it for certain: it closes it or goes on with it."""
    text = line.lstrip()
    if text.startswith((*")]}", "</")):
        return True
    word = re.match(r"\w*", text)
    return word is not None and word[0] in _FOLLOWING_WORDS | _CLOSING_WORDS


def begins_case(line: str) -> bool:
    """Whether a line begins one of a statement's cases."""
    return re.match(r"\s*case\b", line) is not None


def begins_definition(line: str) -> bool:
    """Whether a line begins a function, a class or the like, or is a decorator."""
    return _DEFINITION.match(line.strip()) is not None
