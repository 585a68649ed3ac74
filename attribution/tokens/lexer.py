"""Source code as tokens with byte positions, for whole batches of files at numpy's speed.

A token is a run of word bytes (letters, digits, `_`, and every byte from 0x80 on, so that UTF-8
letters stay together) or a single byte of anything else that is not white space. White space is
not seen, hence neither is formatting. The same as `rb"[\\w\\x80-\\xff]+|[^\\w\\s]"`, 10 times faster.

A token's hash is 64 bits: a polynomial over seeded random values of its bytes, mixed. The seed is
part of the index format (`FORMAT_VERSION` in `fingerprint`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_SEED = 0x5354_4152  # "STAR"
_BASE = 0x9E37_79B9_7F4A_7C15  # odd, hence invertible mod 2^64
_MIX = np.uint64(0xBF58_476D_1CE4_E5B9)  # of splitmix64
# Hashing runs over pieces that fit the second-level cache; a longer token counts with its first piece.
_PIECE_BYTES = 1 << 16

_WORD = np.zeros(256, dtype=bool)
_WORD[[byte for byte in range(256) if byte >= 0x80 or re.match(rb"\w", bytes([byte]))]] = True
_PUNCTUATION = ~_WORD
_PUNCTUATION[list(b" \t\n\r\f\v")] = False
# What each byte is: 0 white space, 1 punctuation, 2 part of a word (`bytes.translate` beats indexing).
_IN_WORD = 2
_CLASSES = np.where(_WORD, _IN_WORD, _PUNCTUATION).astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Tokens of one text, N of them: bytes [starts, ends), what they begin with, and hashes."""

    starts: Ints  # [N]
    ends: Ints  # [N]
    first_bytes: npt.NDArray[np.uint8]  # [N]
    hashes: U64  # [N]

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, first: int, last: int, text_start: int = 0) -> Tokens:
        """Tokens [first, last), with positions that count from byte `text_start`."""
        at = slice(first, last)
        return Tokens(
            self.starts[at] - text_start, self.ends[at] - text_start, self.first_bytes[at], self.hashes[at]
        )


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """The tokens of D texts one after the other; those of text d are `first[d]` to `first[d + 1]`."""

    tokens: Tokens  # positions count from the start of the joined texts
    first: Ints  # [D + 1]


def is_word_byte(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """[N] whether each byte can be part of a word."""
    found: npt.NDArray[np.bool_] = _WORD.take(values)
    return found


def lex(text: bytes) -> Tokens:
    """The tokens of one text."""
    return _lex(text)


def lex_batch(texts: Sequence[bytes]) -> TokenBatch:
    """The tokens of many texts at once: numpy's fixed costs are paid once. No token spans two texts."""
    joined = b"\n".join(texts)
    tokens = _lex(joined)
    lengths = np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts))
    text_starts = np.concatenate([[0], np.cumsum(lengths)])
    return TokenBatch(tokens, np.searchsorted(tokens.starts, text_starts).astype(np.int64))


def split_batch(batch: TokenBatch, texts: Sequence[bytes]) -> list[Tokens]:
    """The batch's tokens text by text, with positions that count from the start of each."""
    found = []
    text_start = 0
    for text, (first, last) in zip(texts, pairwise(batch.first.tolist()), strict=True):
        found.append(batch.tokens.part(first, last, text_start))
        text_start += len(text) + 1
    return found


def _lex(text: bytes) -> Tokens:
    classes = np.frombuffer(text.translate(_CLASSES), dtype=np.uint8)
    word = classes & _IN_WORD
    # A token is at every byte that is not white space, but for words, which start and end where no other is.
    first, last = classes.copy(), classes.copy()
    first[1:] &= ~word[:-1]
    last[:-1] &= ~word[1:]
    starts, ends = np.flatnonzero(first != 0), np.flatnonzero(last != 0) + 1
    data = np.frombuffer(text, dtype=np.uint8)
    return Tokens(starts, ends, data[starts], _hashes(data, starts, ends))


def _hashes(data: npt.NDArray[np.uint8], starts: Ints, ends: Ints) -> U64:
    """[N] hashes by prefix sums: sum(value[b_i] * base^i) over a token, divided by base^start."""
    powers, inverses, values = _tables()
    hashes = np.empty(len(starts), dtype=np.uint64)
    done = 0
    while done < len(starts):
        piece_start = int(starts[done])
        upto = max(int(np.searchsorted(ends, piece_start + _PIECE_BYTES, side="right")), done + 1)
        piece = data[piece_start : min(int(ends[upto - 1]), piece_start + _PIECE_BYTES)]
        sums = np.empty(len(piece) + 1, dtype=np.uint64)
        sums[0] = 0
        np.cumsum(values.take(piece) * powers[: len(piece)], out=sums[1:])
        at = starts[done:upto] - piece_start
        to = np.minimum(ends[done:upto] - piece_start, len(piece))
        hashes[done:upto] = (sums.take(to) - sums.take(at)) * inverses.take(at)
        done = upto
    return mixed(hashes)


def mixed(values: U64) -> U64:
    """Spread every bit over all bits, in place (two of the rounds of splitmix64)."""
    values ^= values >> np.uint64(32)
    values *= _MIX
    values ^= values >> np.uint64(29)
    return values


def splitmix64(state: int) -> int:
    """One number of the generator of Steele, Lea and Flood (2014): written out, for a stored hash must
    not depend on a library's random numbers staying the same.
    """
    z = (state * _BASE + _BASE) % (1 << 64)
    z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9 % (1 << 64)
    z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB % (1 << 64)
    return z ^ (z >> 31)


@cache
def _tables() -> tuple[U64, U64, U64]:
    """Powers of the base and of its inverse, [_PIECE_BYTES] each, and the 256 values of the bytes."""
    values = np.array([splitmix64(_SEED + byte) for byte in range(256)], dtype=np.uint64)
    return _powers(_BASE), _powers(pow(_BASE, -1, 1 << 64)), values


def _powers(base: int) -> U64:
    factors = np.full(_PIECE_BYTES, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
