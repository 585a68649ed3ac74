"""The Llama transformer and its kin: RMSNorm, rotary positions, grouped heads, a gated feed-forward.

Owns the parameters, by the names published checkpoints give them, and the turning of queries and keys.
What all families do alike is `model.pytorch.causal_lm`'s; its configurations and names of tensors are
`model.families.llama`'s.

Shapes: N tokens of the whole batch, D hidden width, H query heads, K key/value heads, C head width, F
feed-forward width, P positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from model.families.config import Biases, ModelConfig
from model.pytorch.attention import Attend
from model.pytorch.causal_lm import CausalLM, empty_embedding


class LlamaAttention(nn.Module):
    """Self-attention of one layer: the projections around an `Attend`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        has_bias, queries = config.biases is Biases.QUERY_KEY_VALUE, config.n_head * config.head_dim
        self.q_proj = nn.Linear(config.width, queries, bias=has_bias)
        self.k_proj = nn.Linear(config.width, config.kv_dim, bias=has_bias)
        self.v_proj = nn.Linear(config.width, config.kv_dim, bias=has_bias)
        self.o_proj = nn.Linear(queries, config.width, bias=False)
        has_norms = config.family.block(0).query_norm is not None
        self.q_norm, self.k_norm = (
            nn.RMSNorm(config.head_dim, eps=config.norm_epsilon) if has_norms else None for _ in range(2)
        )

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        projected = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)) for part in projected)  # [N, H or K, C]
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        mixed = attend(layer, query, torch.stack([key, value], 1))  # [N, H, C]
        out: Tensor = self.o_proj(mixed.flatten(1))
        return out


class LlamaFeedForward(nn.Module):
    """A SiLU of one projection times another, projected back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.inner_dim, bias=False)
        self.up_proj = nn.Linear(config.width, config.inner_dim, bias=False)
        self.down_proj = nn.Linear(config.inner_dim, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # [N, F] within
        return out


class LlamaBlock(nn.Module):
    """One layer, its inputs normalised."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.self_attn = LlamaAttention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.mlp = LlamaFeedForward(config)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        x = x + self.self_attn(self.input_layernorm(x), layer, attend)
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class LlamaBody(nn.Module):
    """The parameters beside the head: what checkpoints call `model`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = empty_embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(LlamaBlock(config) for _ in range(config.n_layer))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)


class Llama(CausalLM):
    """The model, by the state-dict names of `transformers`' LlamaForCausalLM."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.model = LlamaBody(config)
        self.lm_head = None if config.tied_head else nn.Linear(config.width, config.vocab_size, bias=False)
        self._angles: Tensor | None = None

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers, first to last."""
        return self.model.layers

    @property
    def token_embedding(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.model.embed_tokens

    @property
    def final_norm(self) -> nn.RMSNorm:
        """The norm after the last block."""
        return self.model.norm

    def embedded(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids [N] -> their embeddings [N, D]: positions are turns of queries and keys."""
        del positions
        embedded: Tensor = self.token_embedding(input_ids)
        return embedded

    def hidden(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """input_ids [N], positions [N] -> hidden states after the last norm [N, D]: prefill and decode."""
        cosine, sine = self._angles_on(positions.device)[positions].unsqueeze(2).unbind(1)  # [N, 1, C / 2]

        def turn_and_attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
            key, value = key_value.unbind(1)
            key_value = torch.stack([turned(key, cosine, sine), value], 1)
            return attend(layer, turned(query, cosine, sine), key_value)

        return super().hidden(input_ids, positions, turn_and_attend)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, D] -> logits [N, V], by the model's own head or the tied token embedding."""
        if self.lm_head is None:
            return super().logits(hidden)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def init_parameter(self, name: str, tensor: Tensor, generator: torch.Generator | None = None) -> None:
        """Fill a tensor of the shape of the parameter `name` with its first values; those of norms are 1."""
        if tensor.dim() < 2:
            nn.init.constant_(tensor, 0.0 if name.endswith("bias") else 1.0)
        else:
            nn.init.normal_(tensor, 0.0, self.config.initializer_range, generator=generator)

    def _angles_on(self, device: torch.device) -> Tensor:
        """Cosines and sines fp32 [P, 2, C / 2], made when they are first asked for: a model is built without
        memory, and they are in no checkpoint."""
        if self._angles is None or self._angles.device != device:
            assert self.config.rotary is not None
            angles = self.config.rotary.angles(self.config.n_positions)
            self._angles = torch.from_numpy(angles).to(device)
        return self._angles


def turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """heads [N, H, C] with the pairs (c, c + C / 2) turned by cosine and sine [N, 1, C / 2], in fp32."""
    first, second = heads.float().chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1).to(heads.dtype)
