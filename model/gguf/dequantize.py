"""BlockArray of a GGUF tensor to fp32, bit for bit as llama.cpp's own Python package computes them.

Owns what is in a block of each number type that is read here (`ggml-quants.c` of llama.cpp). Rows are
computed some thousand blocks at a time, so that what lies between stays in the processor's cache.
Letters: B blocks, G groups of a block, W weights of a group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from model.gguf.block_types import BlockType

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
# A record array has a type of its own for each field, which NumPy's annotations cannot say.
BlockArray = npt.NDArray[np.void]

_BYTES_AT_ONCE = 1 << 15
_NIBBLES = np.array([0, 4], np.uint8)[:, None]
_PAIRS = np.array([0, 2, 4, 6], np.uint8)[:, None]
_BITS = np.arange(8, dtype=np.uint8)[:, None]
# The sixteen levels of IQ4_NL and IQ4_XS.
_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)


def readable(kind: BlockType) -> bool:
    """Whether `dequantize` knows this number type."""
    return kind.name in _FORMS


def dequantize(rows: Bytes, kind: BlockType) -> Floats:
    """Rows of blocks [rows, bytes] of a number type that is `readable` -> fp32 [rows, weights]."""
    form = _FORMS[kind.name]
    blocks = np.ascontiguousarray(rows).reshape(-1).view(form.layout)
    values = np.empty((len(blocks), kind.block_weights), np.float32)
    step = max(1, _BYTES_AT_ONCE // kind.block_bytes)
    # A scale may be no number in a damaged file: that is no news for each of its weights.
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(blocks), step):
            part = blocks[begin : begin + step]
            values[begin : begin + step] = form.compute(part).reshape(len(part), -1)
    return values.reshape(len(rows), -1)


def _nibbles(packed: Bytes, width: int) -> Bytes:
    """Four-bit codes [B, n] -> [B, 2n / width, width]: of `width` bytes the low halves, then the high."""
    return _unpacked(packed, _NIBBLES, width, 15)


def _k_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Scales and minimums of Q4_K and Q5_K, six bits each: [B, 12] -> [B, 8] and [B, 8]."""
    first, second, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (rest & 15) | (first >> 2 & 48)], axis=1)
    minimums = np.concatenate([second & 63, (rest >> 4) | (second >> 2 & 48)], axis=1)
    return scales, minimums


def _unpacked(packed: Bytes, shifts: Bytes, width: int, mask: int) -> Bytes:
    """Codes that share bytes [B, n] -> [B, n / width · shifts, width]."""
    fields = packed.reshape(len(packed), -1, 1, width) >> shifts
    codes: Bytes = (fields & np.uint8(mask)).reshape(len(packed), -1, width)
    return codes


def _f32(values: npt.NDArray[Any]) -> Floats:
    return values.astype(np.float32)


def _column(blocks: BlockArray, field: str) -> Floats:
    """A block's own fp16 number [B] -> [B, 1]."""
    return _f32(blocks[field])[:, None]


def _f32_values(blocks: BlockArray) -> Floats:
    return _f32(blocks["x"])


@cache
def _halves() -> Floats:
    """Every fp16 number by its bits: looking them up is twice as quick as NumPy's conversion."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def _f16(blocks: BlockArray) -> Floats:
    return _halves().take(blocks["x"])


def _bf16(blocks: BlockArray) -> Floats:
    bits = blocks["x"].astype(np.uint32) << np.uint32(16)
    return bits.view(np.float32)


def _q4_0(blocks: BlockArray) -> Floats:
    codes = _nibbles(blocks["codes"], 16).reshape(-1, 32)
    return _f32(codes.view(np.int8) - np.int8(8)) * _column(blocks, "scale")


def _q4_1(blocks: BlockArray) -> Floats:
    codes = _f32(_nibbles(blocks["codes"], 16).reshape(-1, 32))
    return codes * _column(blocks, "scale") + _column(blocks, "minimum")


def _q5_codes(blocks: BlockArray) -> Bytes:
    high = np.unpackbits(blocks["high"], axis=1, bitorder="little") << np.uint8(4)
    codes: Bytes = _nibbles(blocks["codes"], 16).reshape(-1, 32) | high
    return codes


def _q5_0(blocks: BlockArray) -> Floats:
    return _f32(_q5_codes(blocks).view(np.int8) - np.int8(16)) * _column(blocks, "scale")


def _q5_1(blocks: BlockArray) -> Floats:
    return _f32(_q5_codes(blocks)) * _column(blocks, "scale") + _column(blocks, "minimum")


def _q8_0(blocks: BlockArray) -> Floats:
    return _f32(blocks["codes"]) * _column(blocks, "scale")


def _q2_k(blocks: BlockArray) -> Floats:
    scales = _column(blocks, "scale") * _f32(blocks["scales"] & np.uint8(15))  # [B, 16]
    minimums = _column(blocks, "minimum") * _f32(blocks["scales"] >> np.uint8(4))  # [B, 16]
    codes = _f32(_unpacked(blocks["codes"], _PAIRS, 32, 3).reshape(-1, 16, 16))  # [B, G, W]
    values: Floats = codes * scales[:, :, None] - minimums[:, :, None]
    return values


def _q3_k(blocks: BlockArray) -> Floats:
    packed = blocks["scales"]
    low = _unpacked(packed[:, :8], _NIBBLES, 8, 15).reshape(-1, 16)
    high = _unpacked(packed[:, 8:], _PAIRS, 4, 3).reshape(-1, 16)
    levels = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    scales = _column(blocks, "scale") * _f32(levels)  # [B, 16]
    codes = _unpacked(blocks["codes"], _PAIRS, 32, 3).view(np.int8)
    # The third bit counts the other way round: where it is clear, four is taken off.
    clear = _unpacked(blocks["high"], _BITS, 32, 1) ^ np.uint8(1)
    codes = codes - (clear << np.uint8(2)).view(np.int8)
    return _f32(codes.reshape(-1, 16, 16)) * scales[:, :, None]


def _k_parts(blocks: BlockArray) -> tuple[Floats, Floats]:
    """Scales and minimums of the groups of Q4_K and Q5_K, [B, 8, 1] each."""
    scales, minimums = _k_scales(blocks["scales"])
    scale, minimum = _column(blocks, "scale"), _column(blocks, "minimum")
    return (scale * _f32(scales))[:, :, None], (minimum * _f32(minimums))[:, :, None]


def _q4_k(blocks: BlockArray) -> Floats:
    scales, minimums = _k_parts(blocks)
    return _f32(_nibbles(blocks["codes"], 32)) * scales - minimums


def _q5_k(blocks: BlockArray) -> Floats:
    scales, minimums = _k_parts(blocks)
    high = _unpacked(blocks["high"], _BITS, 32, 1) << np.uint8(4)
    return _f32(_nibbles(blocks["codes"], 32) | high) * scales - minimums


def _q6_k(blocks: BlockArray) -> Floats:
    scales = _column(blocks, "scale") * _f32(blocks["scales"])  # [B, 16]
    low = _nibbles(blocks["codes"], 64).reshape(-1, 8, 32)
    high = _unpacked(blocks["high"], _PAIRS, 32, 3) << np.uint8(4)
    codes = (low | high).view(np.int8) - np.int8(32)
    return _f32(codes.reshape(-1, 16, 16)) * scales[:, :, None]


def _iq4_nl(blocks: BlockArray) -> Floats:
    return _LEVELS.take(_nibbles(blocks["codes"], 16).reshape(-1, 32)) * _column(blocks, "scale")


def _iq4_xs(blocks: BlockArray) -> Floats:
    low = _unpacked(blocks["scales_low"], _NIBBLES, 1, 15).reshape(-1, 8)
    shifts = np.arange(0, 16, 2, dtype=np.uint16)
    high = (blocks["scales_high"][:, None] >> shifts & 3).astype(np.uint8)  # [B, 8]
    levels = (low | high << np.uint8(4)).view(np.int8) - np.int8(32)
    scales = _column(blocks, "scale") * _f32(levels)
    codes = _nibbles(blocks["codes"], 16).reshape(-1, 8, 32)
    return _LEVELS.take(codes) * scales[:, :, None]


@dataclass(frozen=True)
class _Form:
    """What a block holds, field by field, and how its weights come of it."""

    layout: np.dtype[np.void]
    compute: Callable[[BlockArray], Floats]


def _form(compute: Callable[[BlockArray], Floats], **fields: tuple[str, int] | str) -> _Form:
    listed = [(name, field) if isinstance(field, str) else (name, *field) for name, field in fields.items()]
    return _Form(np.dtype(listed), compute)


_FORMS = {
    "F32": _form(_f32_values, x="<f4"),
    "F16": _form(_f16, x="<u2"),
    "BF16": _form(_bf16, x="<u2"),
    "Q8_0": _form(_q8_0, scale="<f2", codes=("i1", 32)),
    "Q4_0": _form(_q4_0, scale="<f2", codes=("u1", 16)),
    "Q4_1": _form(_q4_1, scale="<f2", minimum="<f2", codes=("u1", 16)),
    "Q5_0": _form(_q5_0, scale="<f2", high=("u1", 4), codes=("u1", 16)),
    "Q5_1": _form(_q5_1, scale="<f2", minimum="<f2", high=("u1", 4), codes=("u1", 16)),
    "Q2_K": _form(_q2_k, scales=("u1", 16), codes=("u1", 64), scale="<f2", minimum="<f2"),
    "Q3_K": _form(_q3_k, high=("u1", 32), codes=("u1", 64), scales=("u1", 12), scale="<f2"),
    "Q4_K": _form(_q4_k, scale="<f2", minimum="<f2", scales=("u1", 12), codes=("u1", 128)),
    "Q5_K": _form(_q5_k, scale="<f2", minimum="<f2", scales=("u1", 12), high=("u1", 32), codes=("u1", 128)),
    "Q6_K": _form(_q6_k, codes=("u1", 128), high=("u1", 64), scales=("i1", 16), scale="<f2"),
    "IQ4_NL": _form(_iq4_nl, scale="<f2", codes=("u1", 16)),
    "IQ4_XS": _form(_iq4_xs, scale="<f2", scales_high="<u2", scales_low=("u1", 4), codes=("u1", 128)),
}
READABLE = tuple(_FORMS)
"""The names of the number types that are read here."""
