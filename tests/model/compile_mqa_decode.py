"""Compile the decode kernel for a GPU generation that is not here; test_decode_graphs.py runs this.

`python -m tests.model.compile_mqa_decode 90`: for Hopper, prints the shared memory that each shape takes.
"""

from __future__ import annotations

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from model.mqa_decode import BLOCK_KEYS, LEAST_ROWS, partial_attention

TYPES = {"query": "*bf16", "cache": "*bf16", "slots": "*i32", "starts": "*i64", "lengths": "*i64"}
TYPES |= {"parts": "*fp32", "maxima": "*fp32", "sums": "*fp32", "scale": "fp32", "query_stride": "i32"}


def main() -> None:
    for heads in (16, 48):  # starcoderbase-1b and starcoderbase
        constants = {"HEADS": heads, "ROWS": max(LEAST_ROWS, triton.next_power_of_2(heads))}
        constants |= {"WIDTH": 128, "BLOCK": BLOCK_KEYS, "SPLITS": 8}
        signature = TYPES | dict.fromkeys(constants, "constexpr")
        source = ASTSource(fn=partial_attention, signature=signature, constexprs=constants)
        target = GPUTarget("cuda", int(sys.argv[1]), 32)
        kernel = triton.compile(source, target=target, options={"enable_fp_fusion": True})
        assert kernel.asm["cubin"], heads
        assert "mma" in kernel.asm["ptx"], f"{heads} heads: no tensor cores"
        print(kernel.metadata.shared)


if __name__ == "__main__":
    main()
