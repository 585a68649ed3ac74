"""Compile the decode kernels for GPU generations that are not here; test_decode_graphs.py runs this.

`python -m tests.model.pytorch.compile_mqa_decode 80 90`: for Ampere and Hopper, a line each with the shared
memory of each shape.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import triton  # type: ignore[import-untyped]
from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]
from triton.compiler import ASTSource  # type: ignore[import-untyped]

from model.pytorch.mqa_decode import BLOCK_KEYS, LEAST_ROWS, MOST_SPLITS, join_splits, partial_attention

TYPES = {"query": "*bf16", "cache": "*bf16", "slots": "*i32", "starts": "*i64", "lengths": "*i64"}
TYPES |= {"parts": "*fp32", "maxima": "*fp32", "sums": "*fp32", "scale": "fp32", "query_stride": "i32"}
TYPES |= {"out": "*bf16", "n_splits": "i32"}
NOT_ALIGNED = ("scale", "n_splits")


def compiled(kernel: Any, constants: Mapping[str, int], capability: int) -> Any:
    """As a launch compiles it, which sees that pointers and strides are multiples of 16."""
    signature = {name: "constexpr" if name in constants else TYPES[name] for name in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if name not in constants and name not in NOT_ALIGNED
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=dict(constants), attrs=aligned)
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"enable_fp_fusion": True})
    assert made.asm["cubin"], constants
    return made


def shared_bytes(capability: int) -> Iterator[int]:
    """Shared memory of every kernel, each of which is checked."""
    for heads, width in ((16, 128), (48, 128), (64, 128), (4, 16)):  # 1b, 15b, the largest, the least
        rows = max(LEAST_ROWS, triton.next_power_of_2(heads))
        constants = {"HEADS": heads, "ROWS": rows, "WIDTH": width, "BLOCK": BLOCK_KEYS}
        kernel = compiled(partial_attention, constants, capability)
        ptx = kernel.asm["ptx"]
        assert "mma" in ptx, f"{heads} heads: no tensor cores"
        assert "cp.async" in ptx, f"{heads} heads: keys are not loaded ahead"
        assert "ld.global.b16" not in ptx, f"{heads} heads: keys are loaded number by number"
        yield kernel.metadata.shared
    for width in (16, 128):
        yield compiled(join_splits, {"WIDTH": width, "MOST": MOST_SPLITS}, capability).metadata.shared


if __name__ == "__main__":
    for capability in sys.argv[1:]:
        print(*shared_bytes(int(capability)))
