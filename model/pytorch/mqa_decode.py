"""Multi-query attention of one new token a sequence over a cache of single slots, in Triton.

flash-attn's decode wants pages of 256 tokens; the cache shares prefixes token by token
(model.engine.kv_cache), so a context is a list of slots. All heads of a token read the same keys, so they
are the rows of one matrix product; a long context is split among programs, whose parts are put together at
the end (flash-decoding). Nothing depends on the host: it can be captured in a CUDA graph.

Imported only where a GPU is. Shapes: B sequences, L tokens of all their contexts, S splits, H query heads,
C head width.
"""

# ruff: noqa: ANN001, ANN201 - Triton's functions have types of its own
# mypy: disable-error-code="no-untyped-def,no-any-return,untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

BLOCK_KEYS = 64  # keys that a program looks at together
LEAST_ROWS = 16  # of a matrix product on tensor cores
MOST_SPLITS = 32


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """The slots of every sequence's context, one sequence after another."""

    slots: Tensor  # int32 [L or more]
    starts: Tensor  # int64 [B]: where in `slots` each begins
    lengths: Tensor  # int64 [B]; 0: a row that pads the batch


def decode_attention(query: Tensor, layer_cache: Tensor, contexts: Contexts, *, n_splits: int) -> Tensor:
    """query [B, H, C] and layer_cache [slots, 2, 1, C], whose new tokens are in it -> [B, H, C].

    At most `MOST_SPLITS` splits. A row without a context becomes zeros.
    """
    n_rows, n_head, width = query.shape
    parts = query.new_empty(n_rows, n_splits, n_head, width, dtype=torch.float32)
    maxima, sums = query.new_empty(2, n_rows, n_splits, n_head, dtype=torch.float32)
    out = query.new_empty(n_rows, n_head, width)
    partial_attention[(n_rows, n_splits)](
        query,
        layer_cache,
        contexts.slots,
        contexts.starts,
        contexts.lengths,
        parts,
        maxima,
        sums,
        width**-0.5,
        query.stride(0),
        HEADS=n_head,
        ROWS=max(LEAST_ROWS, triton.next_power_of_2(n_head)),
        WIDTH=width,
        BLOCK=BLOCK_KEYS,
        enable_fp_fusion=True,  # said, as Triton's default is about to change
    )
    join_splits[(n_rows, n_head)](
        parts, maxima, sums, out, n_splits, WIDTH=width, MOST=MOST_SPLITS, enable_fp_fusion=True
    )
    return out


@triton.jit
def partial_attention(
    query,
    cache,
    slots,
    starts,
    lengths,
    parts,
    maxima,
    sums,
    scale,
    query_stride,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One sequence's heads over one split of its context: unnormalised sums, their weights and maxima."""
    row, split, n_splits = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    length = tl.load(lengths + row)
    own_slots = slots + tl.load(starts + row)
    share = tl.cdiv(tl.cdiv(length, n_splits), BLOCK) * BLOCK
    first = split * share
    last = tl.minimum(first + share, length)
    head, column, key = tl.arange(0, ROWS), tl.arange(0, WIDTH), tl.arange(0, BLOCK)
    is_head = head < HEADS
    q = tl.load(
        query + row * query_stride + head[:, None] * WIDTH + column[None, :], mask=is_head[:, None], other=0.0
    )
    # Finite, so that a split without keys has a weight of zero and not NaN.
    most = tl.full((ROWS,), -1e30, tl.float32)
    weight = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, WIDTH), tl.float32)
    for begin in range(first, last, BLOCK):
        seen = begin + key < last
        slot = tl.load(own_slots + begin + key, mask=seen, other=0).to(tl.int64)
        at = cache + slot[:, None] * (2 * WIDTH) + column[None, :]
        k = tl.load(at, mask=seen[:, None], other=0.0)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        score = tl.where(seen[None, :], score, -float("inf"))
        larger = tl.maximum(most, tl.max(score, 1))
        kept = tl.exp(most - larger)
        p = tl.exp(score - larger[:, None])
        v = tl.load(at + WIDTH, mask=seen[:, None], other=0.0)
        mixed = mixed * kept[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        weight = weight * kept + tl.sum(p, 1)
        most = larger
    place = (row * n_splits + split) * HEADS + head
    tl.store(parts + place[:, None] * WIDTH + column[None, :], mixed, mask=is_head[:, None])
    tl.store(maxima + place, most, mask=is_head)
    tl.store(sums + place, weight, mask=is_head)


# Not specialised: one compiled kernel serves any number of splits, and so graphs of every size.
@triton.jit(do_not_specialize=["n_splits"])
def join_splits(parts, maxima, sums, out, n_splits, WIDTH: tl.constexpr, MOST: tl.constexpr):
    """What the splits of one head of one sequence make together."""
    row, head, n_head = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    split, column = tl.arange(0, MOST), tl.arange(0, WIDTH)
    is_split = split < n_splits
    place = (row * n_splits + split) * n_head + head
    most = tl.load(maxima + place, mask=is_split, other=-float("inf"))
    kept = tl.exp(most - tl.max(most, 0))
    weight = tl.sum(tl.load(sums + place, mask=is_split, other=0.0) * kept, 0)
    part = tl.load(parts + place[:, None] * WIDTH + column[None, :], mask=is_split[:, None], other=0.0)
    mixed = tl.sum(part * kept[:, None], 0) / tl.maximum(weight, 1e-30)
    tl.store(out + (row * n_head + head) * WIDTH + column, mixed.to(out.dtype.element_ty))


def takes(n_head: int, n_kv_head: int, width: int) -> bool:
    """Whether a model's attention has a shape that fits a multiprocessor's shared memory."""
    return n_kv_head == 1 and n_head <= 64 and width in (16, 32, 64, 128)
