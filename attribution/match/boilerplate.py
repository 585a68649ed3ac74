"""Whether what was found says anything: code does, and comments, imports, tables and rulers do not.

Judged by information, not by length: a piece says as much as it has different runs of three tokens,
numbers counting as one token and what stands in comments and imports not at all. Knows no index.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from attribution.source import Boilerplate, Span
from attribution.tokens.fingerprint import gram_hashes
from attribution.tokens.lexer import U64, Tokens
from attribution.tokens.shape import NUMBER, is_number
from model.languages.languages import language_of_path
from model.languages.lexer import lexer_of
from model.languages.state import Region, Scope

_GRAM = 3
# Different runs of three tokens. A line of an array has less than this, however long the array is.
MIN_DISTINCT = 12
# What must be left without comments and imports: two or three statements.
MIN_CODE_DISTINCT = 24
# The same where not every token is the same: everybody writes the same loop, or the same `equals`.
MIN_ALIKE_DISTINCT = 48
# Of the tokens; where more of them are brackets and `=`, it is code and need not be read as a language.
_SURE_MARKS = 0.3
_MARKS = np.isin(np.arange(256), list(b"(){}[]="))
# Of the tokens, in a table of numbers.
_MANY_NUMBERS = 0.25
# How far before a place its language is read, so that a comment around it is known as one.
_READ_BEFORE_BYTES = 1 << 16
_IN_BRACKETS = r"(?:\((?:[^()]*)\)|\{(?:[^{}]|\{[^{}]*\})*\})"
_IMPORT = re.compile(
    r"^[ \t]*(?:"
    rf"(?:import|package)\b[^\n;({{]*(?:{_IN_BRACKETS}[^\n;]*)?"
    r"|from[ \t]+[.\w]+[ \t]+import\b[^\n(]*(?:\([^()]*\))?"
    rf"|(?:pub[ \t]+)?use[ \t]+[\w:]+(?:{_IN_BRACKETS})?[^\n;{{]*"
    r"|(?:pub[ \t]+)?(?:mod|extern[ \t]+crate)[ \t]+\w+[ \t]*;"
    r"|using[ \t]+[\w.=: \t]+;"
    r"|[ \t]*\#[ \t]*(?:include|import|pragma)\b[^\n]*"
    r"|(?:const|let|var)[ \t]+[^\n=;(]*=[ \t]*require\([^\n()]*\)[^\n]*"
    rf"|export[ \t]+(?:\*[^\n]*|{_IN_BRACKETS})[ \t]*from\b[^\n]*"
    r"|(?:require|require_once|require_relative|include_once)\b[^\n]*"
    r");?",
    re.MULTILINE,
)


def boilerplate_of(
    text: bytes, tokens: Tokens, span: Span, path: str, *, is_same: bool
) -> Boilerplate | None:
    """Why a place of a file says little; None where it is code. `tokens` are those of the place.

    `is_same`: the query has every token of it.
    """
    numbers = is_number(tokens)
    hashes = np.where(numbers, NUMBER, tokens.hashes)
    if _distinct(hashes) < min(MIN_DISTINCT, len(hashes) // 2):
        return Boilerplate.NUMBERS if numbers.mean() >= _MANY_NUMBERS else Boilerplate.REPETITION
    if not is_same and _distinct(hashes) < MIN_ALIKE_DISTINCT:
        return Boilerplate.IDIOM
    if _MARKS[tokens.first_bytes].mean() >= _SURE_MARKS:
        return None
    begin = _line_start(text, max(span.start_byte - _READ_BEFORE_BYTES, 0))
    # A character a byte: places stay places.
    read = text[begin : span.end_byte].decode("latin-1")
    places = tokens.starts - begin
    regions = lexer_of(language_of_path(path)).regions(read)
    comments = _inside(places, [region for region in regions if _is_comment(region, read)])
    imports = _inside(places, [found.span() for found in _IMPORT.finditer(read)]) & ~comments
    wanted = MIN_CODE_DISTINCT if is_same else MIN_ALIKE_DISTINCT
    if _distinct(hashes[~(comments | imports)]) >= wanted or not (comments | imports).any():
        return None
    return Boilerplate.COMMENTS if comments.sum() >= imports.sum() else Boilerplate.IMPORTS


def _distinct(hashes: U64) -> int:
    return len(np.unique(gram_hashes(hashes, _GRAM)))


def _line_start(text: bytes, at: int) -> int:
    return text.rfind(b"\n", 0, at) + 1


def _is_comment(region: Region, text: str) -> bool:
    """A comment, prose around tags, or a string that is a statement by itself: documentation."""
    if region.kind is Scope.STRING:
        line = text.rfind("\n", 0, region.start_char) + 1
        opening = text[region.start_char : region.start_char + 5].lstrip("rRuU")
        return opening.startswith(('"""', "'''")) and not text[line : region.start_char].strip(" \trRuU")
    return region.kind in {Scope.COMMENT, Scope.TEXT}


def _inside(
    places: npt.NDArray[np.int64], ranges: list[Region] | list[tuple[int, int]]
) -> npt.NDArray[np.bool_]:
    """[N] whether each place lies in one of the ranges, which do not overlap."""
    if not ranges:
        return np.zeros(len(places), dtype=bool)
    bounds = np.array([one[:2] for one in ranges])
    at = np.searchsorted(bounds[:, 0], places, side="right") - 1
    found: npt.NDArray[np.bool_] = (at >= 0) & (places < bounds[np.maximum(at, 0), 1])
    return found
