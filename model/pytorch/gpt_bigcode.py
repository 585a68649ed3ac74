"""The GPTBigCode transformer: learned positions, fused projections, LayerNorm before each half of a block.

Owns the parameters, by the names published checkpoints give them, and their first values. What all
families do alike is `model.pytorch.causal_lm`'s; its configuration and names of tensors are
`model.families.gpt_bigcode`'s.

Shapes: N tokens of the whole batch, D hidden width, H query heads, K key/value heads (1 for
multi-query), C head width, F feed-forward width.
Source: arXiv 2305.06161, §5.3; multi-query attention: Shazeer 2019.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from model.families.config import ModelConfig
from model.pytorch.attention import Attend
from model.pytorch.causal_lm import CausalLM, empty_embedding


class Attention(nn.Module):
    """Self-attention of one layer: the two projections around an `Attend`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.multi_query = config.n_kv_head == 1
        self.residual_dropout = config.dropout.residual
        self.c_attn = nn.Linear(config.width, config.width + 2 * config.kv_dim)
        self.c_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        n_tokens = x.shape[0]
        projected = self.c_attn(x)  # [N, D + 2·K·C]
        if self.multi_query:
            width = self.n_head * self.head_dim
            query = projected[:, :width].reshape(n_tokens, self.n_head, self.head_dim)  # [N, H, C]
            key_value = projected[:, width:].reshape(n_tokens, 2, 1, self.head_dim)  # [N, 2, 1, C]
        else:
            # Published multi-head checkpoints interleave q, k and v head by head.
            per_head = projected.view(n_tokens, self.n_head, 3, self.head_dim)
            query = per_head[:, :, 0]  # [N, H, C]
            key_value = per_head[:, :, 1:].transpose(1, 2)  # [N, 2, H, C]
        mixed = attend(layer, query, key_value).reshape(n_tokens, -1)  # [N, D]
        return F.dropout(self.c_proj(mixed), self.residual_dropout, self.training)


class FeedForward(nn.Module):
    """Two linear layers around a tanh-approximated GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.residual_dropout = config.dropout.residual
        self.c_fc = nn.Linear(config.width, config.inner_dim)
        self.c_proj = nn.Linear(config.inner_dim, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        inner = F.gelu(self.c_fc(x), approximate="tanh")  # [N, F]
        return F.dropout(self.c_proj(inner), self.residual_dropout, self.training)


class Block(nn.Module):
    """One pre-LayerNorm layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        x = x + self.attn(self.ln_1(x), layer, attend)
        x = x + self.mlp(self.ln_2(x))
        return x


class Body(nn.Module):
    """The parameters: what checkpoints call `transformer`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.wte = empty_embedding(config.vocab_size, config.width)
        self.wpe = empty_embedding(config.n_positions, config.width)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.width, eps=config.norm_epsilon)


class GPTBigCode(CausalLM):
    """The model, by the state-dict names of `transformers`' GPTBigCodeForCausalLM."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.transformer = Body(config)

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, first to last."""
        return self.transformer.h

    @property
    def token_embedding(self) -> nn.Embedding:
        """The embedding that the output head is tied to."""
        return self.transformer.wte

    @property
    def position_embedding(self) -> nn.Embedding:
        """The learned positions."""
        return self.transformer.wpe

    @property
    def final_norm(self) -> nn.LayerNorm:
        """The norm after the last block."""
        return self.transformer.ln_f

    def embedded(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids [N], positions [N] -> the sum of their embeddings [N, D]."""
        x = self.token_embedding(input_ids) + self.position_embedding(positions)  # [N, D]
        return F.dropout(x, self.config.dropout.embedding, self.training)

    def init_parameter(self, name: str, tensor: Tensor, generator: torch.Generator | None = None) -> None:
        """Fill a tensor of the shape of the parameter `name` with its first values.

        Normal(0, initializer_range); the projections into the residual stream are scaled by
        1/√(2·layers), biases are zero (GPT-2, kept by Megatron-LM and the paper).
        """
        if tensor.dim() < 2:
            nn.init.constant_(tensor, 1.0 if ".ln_" in name and name.endswith("weight") else 0.0)
            return
        scale = 1 / math.sqrt(2 * self.config.n_layer) if "c_proj" in name else 1.0
        nn.init.normal_(tensor, 0.0, self.config.initializer_range * scale, generator=generator)
