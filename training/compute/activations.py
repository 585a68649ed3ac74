"""Bytes that a forward pass keeps for the backward pass, counted on the meta device: nothing is computed.

The real block runs on tensors without storage while autograd tells what it saves. Only attention is
replaced, by one that saves what flash attention saves (query, keys, values, output, a float a row): the
meta device would otherwise count a matrix of T × T.

Shapes: N tokens of a micro-batch, D hidden width, V vocabulary, H heads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from model.families.config import ModelConfig
from model.pytorch.modules import build

# Bytes a logit at the peak: its softmax for the backward pass and its gradient in fp32, and in bf16.
_LOGIT_BYTES_BF16, _LOGIT_BYTES_FP32 = 4 + 4 + 2, 4 + 4


class _FlashShaped(torch.autograd.Function):
    """query [N, H, C], key_value [N, 2, K, C] -> [N, H, C], saving what flash attention saves."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key_value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        log_sums = query.new_empty(query.shape[:2], dtype=torch.float32)  # [N, H]
        ctx.save_for_backward(query, key_value, out, log_sums)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[None, None]:
        return None, None


def block_bytes(config: ModelConfig, n_tokens: int, dtype: torch.dtype) -> int:
    """Activations that one block keeps, weights not counted."""
    with torch.device("meta"):
        block = build(replace(config, n_layer=1)).blocks[0].to(dtype)
        x = torch.empty(n_tokens, config.width, dtype=dtype, requires_grad=True)
    return saved_bytes(block, x)


def saved_bytes(block: nn.Module, x: Tensor, attend: Any = None) -> int:
    """Bytes of the distinct tensors that autograd keeps of `block(x)`, its parameters not counted."""
    parameters = {p.untyped_storage()._cdata for p in block.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in parameters:
            kept[storage] = tensor  # held, so that no storage's address is used again
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x, 0, attend or _attend_flash_shaped)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _attend_flash_shaped(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
    del layer
    return cast(Tensor, _FlashShaped.apply(query, key_value))


def activation_bytes(
    config: ModelConfig,
    *,
    samples: int,
    seq_len: int,
    dtype: torch.dtype,
    recompute: bool,
    chunk_tokens: int | None,
) -> int:
    """The peak of what a micro-batch keeps: its blocks, or with `recompute` their inputs and one block, and
    the logits (of `chunk_tokens` at a time)."""
    n_tokens = samples * seq_len
    stream = n_tokens * config.width * dtype.itemsize  # what goes from block to block
    block = block_bytes(config, n_tokens, dtype)
    blocks = config.n_layer * stream + block if recompute else config.n_layer * block
    per_logit = _LOGIT_BYTES_BF16 if dtype == torch.bfloat16 else _LOGIT_BYTES_FP32
    logits = min(n_tokens, chunk_tokens or n_tokens) * config.vocab_size * per_logit
    # The logits are gone before the first block's backward pass, where one is computed again.
    return 2 * stream + (max(blocks, blocks - block + logits) if recompute else blocks + logits)
