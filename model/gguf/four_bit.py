"""The codes of tensors that have four bits a weight in groups of 32, for a kernel that keeps them.

A weight is `scale · code + minimum` of its group, exactly what `model.gguf.dequantize` computes, so that
nothing is rounded a second time. Knows no kernel's layout. Letters: O outputs, I inputs, G groups of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.gguf.block_types import BlockType
from model.gguf.dequantize import k_scales, layout_of, nibbles

GROUP = 32
_TYPES = ("Q4_0", "Q4_1", "Q4_K")


@dataclass(frozen=True)
class FourBit:
    """The rows of a matrix as codes and what they stand for."""

    codes: NDArray[np.uint8]
    """0 to 15, one a byte, in the order of the inputs [O, I]."""
    scales: NDArray[np.float32]
    """[O, G]"""
    minimums: NDArray[np.float32]
    """What code 0 stands for [O, G]."""


def has_four_bit_codes(kind: BlockType) -> bool:
    """Whether `four_bit` can take this number type apart."""
    return kind.name in _TYPES


def four_bit(rows: NDArray[np.uint8], kind: BlockType) -> FourBit:
    """The codes of rows of blocks [O, bytes], in one of the types that `has_four_bit_codes` names."""
    assert has_four_bit_codes(kind), kind.name
    n_outputs = len(rows)
    blocks = np.ascontiguousarray(rows).reshape(-1).view(layout_of(kind))
    scales = blocks["scale"].astype(np.float32)[:, None]
    if kind.name == "Q4_0":
        minimums = scales * np.float32(-8)
    else:
        minimums = blocks["minimum"].astype(np.float32)[:, None]
    if kind.name == "Q4_K":
        group_scales, group_minimums = k_scales(blocks["scales"])
        scales, minimums = scales * group_scales, minimums * -group_minimums.astype(np.float32)
    codes = nibbles(blocks["codes"], GROUP if kind.name == "Q4_K" else GROUP // 2)
    return FourBit(
        codes.reshape(n_outputs, -1), scales.reshape(n_outputs, -1), minimums.reshape(n_outputs, -1)
    )
