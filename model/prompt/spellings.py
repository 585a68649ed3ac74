"""What every token of a vocabulary spells, in bytes, and which tokens spell a wanted text.

Knows nothing about encoding: that needs the merges, see `model.prompt.tokenizer`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class Spellings:
    """The bytes of each token id; a special token spells nothing."""

    def __init__(self, spelled: Sequence[bytes]) -> None:
        """`spelled` has the bytes of each token, by id."""
        self._bytes = spelled

    def of(self, token_id: int) -> bytes:
        """The bytes of one token; empty beyond the vocabulary, to which models pad their embedding."""
        return self._bytes[token_id] if 0 <= token_id < len(self._bytes) else b""

    def starting_with(self, prefix: bytes) -> Ids:
        """Ids [n] of the tokens whose bytes begin with `prefix`, in the order of their bytes."""
        spellings, ids = self._sorted
        start = bisect.bisect_left(spellings, prefix)
        last = bytes.rstrip(prefix, b"\xff")
        if not last:  # nothing sorts after every continuation of 0xff
            return ids[start:]
        after = last[:-1] + bytes([last[-1] + 1])
        return ids[start : bisect.bisect_left(spellings, after, start)]

    def toward(self, wanted: bytes) -> Ids:
        """Ids [n] of the tokens that begin with `wanted`, or that `wanted` begins with."""
        spellings, ids = self._sorted
        shorter = []
        for length in range(1, len(wanted)):
            at = bisect.bisect_left(spellings, wanted[:length])
            if at < len(spellings) and spellings[at] == wanted[:length]:
                shorter.append(ids[at])
        return np.concatenate([np.array(shorter, dtype=np.int64), self.starting_with(wanted)])

    @cached_property
    def longest(self) -> int:
        """The length of the longest spelling; at least 1."""
        return max(map(len, self._bytes), default=1) or 1

    @cached_property
    def _sorted(self) -> tuple[list[bytes], Ids]:
        """Every spelling in order, and its id."""
        ids = sorted((i for i, data in enumerate(self._bytes) if data), key=self._bytes.__getitem__)
        return [self._bytes[i] for i in ids], np.array(ids, dtype=np.int64)


def spelled_by_alphabet(tokens: Sequence[str]) -> list[bytes]:
    """The bytes of tokens in GPT-2's printable byte alphabet; one that has other characters is itself."""
    alphabet = _byte_alphabet()
    # All characters at once: a hundred thousand tokens one by one would take three times as long.
    points = np.frombuffer("".join(tokens).encode("utf-32-le"), np.uint32)
    data = alphabet[np.minimum(points, len(alphabet) - 1)]
    ends = list(accumulate(map(len, tokens)))
    spelled = bytes(data.astype(np.uint8))
    found = [spelled[end - len(token) : end] for token, end in zip(tokens, ends, strict=True)]
    for at in np.flatnonzero(data < 0).tolist():
        token_id = bisect.bisect_right(ends, at)
        found[token_id] = tokens[token_id].encode()
    return found


def spelled_by_piece(token: str) -> bytes:
    """The bytes of a SentencePiece token: `▁` is a space, and `<0xNN>` a byte."""
    if match := _BYTE.fullmatch(token):
        return bytes.fromhex(match[1])
    return token.replace("▁", " ").encode()


_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def _byte_alphabet() -> NDArray[np.int16]:
    """By code point, the byte that GPT-2 writes as that character; -1 for none, as the last one is."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    alphabet = np.full(0x100 + len(others) + 1, -1, np.int16)
    alphabet[printable] = printable
    alphabet[0x100 : 0x100 + len(others)] = others
    return alphabet
