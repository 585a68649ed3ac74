"""What every token of a byte-level vocabulary spells, in bytes, and which tokens spell a wanted text.

Knows nothing about encoding: that needs the merges, see `model.prompt.tokenizer`.
"""

from __future__ import annotations

import bisect
from collections.abc import Container, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


class Spellings:
    """The bytes of each token id; a special token spells nothing."""

    def __init__(self, vocabulary: Mapping[str, int], *, special: Container[int]) -> None:
        """`vocabulary` holds tokens in GPT-2's printable byte alphabet, `special` ids that are not text."""
        alphabet = _byte_alphabet()
        self._bytes = [b""] * (1 + max(vocabulary.values()))
        for token, token_id in vocabulary.items():
            if token_id not in special:
                self._bytes[token_id] = token.translate(alphabet).encode("latin-1")

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
    def _sorted(self) -> tuple[list[bytes], Ids]:
        """Every spelling in order, and its id."""
        pairs = sorted((data, token_id) for token_id, data in enumerate(self._bytes) if data)
        return [data for data, _ in pairs], np.array([i for _, i in pairs], dtype=np.int64)


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in of each byte → that byte as a Latin-1 character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {0x100 + i: chr(byte) for i, byte in enumerate(others)}
