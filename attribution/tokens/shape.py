"""What a text looks like when names and numbers do not count: identifiers are V, numbers are N.

Keywords stay themselves, so that `if V ( V ) return N` and `V V ( V ) V N` differ. The list is one
for all languages: the words that are keywords in several of them and rarely names. It is part of the
index format, so it stands here and not in `model.languages`, whose table grows: with another word,
stored fingerprints of this channel would no longer be found.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from attribution.tokens.lexer import U64, Tokens, is_word_byte, lex, splitmix64

VARIABLE = np.uint64(splitmix64(0x5641_5249))  # "VARI"
NUMBER = np.uint64(splitmix64(0x4E55_4D42))  # "NUMB"

KEYWORDS = b"""
abstract and as assert async await auto base begin bool boolean break byte case catch chan char class
const constexpr continue debugger declare def default defer del delete do done double elif else elsif
end ensure enum except export extends extern False false fi final finally float fn for foreach from
func function global go goto if impl implements import in include inline instanceof int interface is
lambda let long loop match mod module mut namespace new nil None nonlocal not null nullptr operator
or override package pass private protected public pub raise range register require rescue return self
short signed sizeof static str string struct super switch template then this throw throws trait True
true try type typedef typename typeof undefined union unless unsafe unsigned until use using var
virtual void volatile when where while with yield
"""


def shape_hashes(tokens: Tokens) -> U64:
    """[N] hashes of the abstracted tokens."""
    hashes = tokens.hashes.copy()
    hashes[is_identifier(tokens)] = VARIABLE
    hashes[is_number(tokens)] = NUMBER
    return hashes


def is_number(tokens: Tokens) -> npt.NDArray[np.bool_]:
    """[N] whether a token begins with a digit."""
    return (tokens.first_bytes >= ord("0")) & (tokens.first_bytes <= ord("9"))


def is_identifier(tokens: Tokens) -> npt.NDArray[np.bool_]:
    """[N] whether a token is a word but neither a number nor a keyword."""
    return is_word_byte(tokens.first_bytes) & ~is_number(tokens) & ~_is_keyword(tokens)


def _is_keyword(tokens: Tokens) -> npt.NDArray[np.bool_]:
    keywords, has_low_bits = _keyword_tables()
    found: npt.NDArray[np.bool_] = has_low_bits.take((tokens.hashes & np.uint64(0xFFFF)).astype(np.uint16))
    at = np.flatnonzero(found)
    places = np.minimum(np.searchsorted(keywords, tokens.hashes[at]), len(keywords) - 1)
    found[at] = keywords[places] == tokens.hashes[at]
    return found


@cache
def _keyword_tables() -> tuple[U64, npt.NDArray[np.bool_]]:
    """The keywords' hashes, sorted, and which low 16 bits occur in them: few other tokens pass that test."""
    keywords = np.sort(lex(KEYWORDS).hashes)
    has_low_bits = np.zeros(1 << 16, dtype=bool)
    has_low_bits[(keywords & np.uint64(0xFFFF)).astype(np.uint16)] = True
    return keywords, has_low_bits
