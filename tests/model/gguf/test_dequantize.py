"""Every number type against llama.cpp's own package, bit for bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from model.gguf.block_types import BLOCK_TYPES, FILE_TYPES
from model.gguf.dequantize import dequantize, readable
from tests.model.gguf.writing import random_blocks

BY_NAME = {kind.name: kind for kind in BLOCK_TYPES.values()}
READABLE = [kind.name for kind in BLOCK_TYPES.values() if readable(kind)]


def reference(blocks: NDArray[np.uint8], kind: str) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind]).astype(np.float32)


def test_the_types_are_those_of_the_package() -> None:
    for number, kind in BLOCK_TYPES.items():
        theirs = gguf.GGMLQuantizationType(number)
        assert theirs.name == kind.name
        assert gguf.GGML_QUANT_SIZES[theirs] == (kind.block_weights, kind.block_bytes)
    for number, name in FILE_TYPES.items():
        assert gguf.LlamaFileType(number).name.removeprefix("ALL_").startswith((name, f"MOSTLY_{name}"))


def test_what_is_read() -> None:
    assert set(READABLE) == {
        *("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
        *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"),
    }


@pytest.mark.parametrize("kind", READABLE)
def test_any_bits_are_the_packages_numbers(kind: str) -> None:
    blocks = random_blocks(kind, rows=37, columns=2_048)  # more than are computed at once
    ours = dequantize(blocks, BY_NAME[kind])
    assert ours.shape == (37, 2_048)
    # As bits: random scales are infinite or no number now and then.
    assert np.array_equal(ours.view(np.uint32), reference(blocks, kind).view(np.uint32))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_a_round_trip_is_near(kind: str) -> None:
    values = np.random.default_rng(1).normal(size=(4, 256)).astype(np.float32)
    blocks = gguf.quantize(values, gguf.GGMLQuantizationType[kind])
    error = np.abs(dequantize(blocks, BY_NAME[kind]) - values).max()
    assert error < {"8": 0.02, "5": 0.15, "4": 0.35}[kind[1]]
