"""Arrays of unsigned numbers of any width up to 57 bits, one right after the other, little-endian.

A number is read with one unaligned load of eight bytes, so that looking up a few among millions
costs as little as in an ordinary array. Knows nothing of what the numbers mean, and not where they lie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attribution.tokens.lexer import U64, Ints

# A number begins at one of eight bits of a byte, and ends within eight bytes from there.
MAX_BITS = 57
# What has to follow the last number, so that its load stays inside.
PADDING = bytes(8)
# As many numbers fill whole bytes, whatever their width.
GROUP = 8


def packed_bytes(count: int, bits: int) -> int:
    """The size of `count` packed numbers, without the padding."""
    return -(-count * bits // 8)


def pack(values: U64, bits: int) -> bytes:
    """[N] numbers below 2^bits as bytes; pieces of a multiple of `GROUP` numbers can be joined."""
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"{bits} bits; a packed number has 1 to {MAX_BITS}")
    groups = -(-len(values) // GROUP)
    padded = np.zeros((groups, GROUP), dtype="<u8")
    padded.reshape(-1)[: len(values)] = values
    # Eight numbers of b bits are b bytes, and the j-th of each eight begins at the same bit.
    packed = np.zeros((groups, bits + 8), dtype=np.uint8)
    for at in range(GROUP):
        start_byte, shift = divmod(at * bits, 8)
        end_byte = -(-(at + 1) * bits // 8)
        shifted = (padded[:, at] << np.uint64(shift)).view(np.uint8).reshape(groups, 8)
        packed[:, start_byte:end_byte] |= shifted[:, : end_byte - start_byte]
    return packed[:, :bits].tobytes()[: packed_bytes(len(values), bits)]


class PackedArray:
    """N packed numbers, from a byte on. `words` gives the eight bytes that begin at each of some bytes."""

    def __init__(self, words: Callable[[Ints], U64], start_byte: int, count: int, bits: int) -> None:
        self._words = words
        self._start_byte = start_byte
        self._count = count
        self._bits = bits
        self._mask = np.uint64((1 << bits) - 1)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Ints) -> U64:
        """[Q] the numbers at these positions."""
        bit = at * self._bits
        values: U64 = (self._words(self._start_byte + (bit >> 3)) >> (bit & 7).astype(np.uint64)) & self._mask
        return values

    def part(self, first: int, last: int) -> U64:
        """The numbers [first, last)."""
        return self[np.arange(first, last)]
