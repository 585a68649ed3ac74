"""The Llama transformer and its kin: RMSNorm, rotary positions, grouped heads, a gated feed-forward.

Owns the parameters, by the names published checkpoints give them, the turning of queries and keys, and what
parts are multiplied with. What all families do alike is `model.pytorch.causal_lm`'s; its configurations and
names of tensors are `model.families.llama`'s.

Shapes: N tokens of the whole batch, D hidden width, H query heads, K key/value heads, C head width, F
feed-forward width, P positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from model.families.config import Activation, Biases, ModelConfig, Norm
from model.pytorch.attention import Attend
from model.pytorch.causal_lm import CausalLM, empty_embedding


class RMSNormFromOne(nn.RMSNorm):
    """An RMSNorm whose weights are stored less one."""

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        weight = 1 + self.weight.float()
        return F.rms_norm(x.float(), self.normalized_shape, weight, self.eps).to(x.dtype)


def norm_of(config: ModelConfig) -> nn.Module:
    """The norm of hidden states, as the description has it."""
    if config.norm is Norm.LAYER:
        return nn.LayerNorm(config.width, eps=config.norm_epsilon)
    kind = RMSNormFromOne if config.norm is Norm.RMS_FROM_ONE else nn.RMSNorm
    return kind(config.width, eps=config.norm_epsilon)


def activated(x: Tensor, activation: Activation) -> Tensor:
    """The description's activation of x."""
    return F.silu(x) if activation is Activation.SILU else F.gelu(x, approximate="tanh")


class LlamaAttention(nn.Module):
    """Self-attention of one layer: the projections around an `Attend`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        has_bias, queries = Biases.QUERY_KEY_VALUE in config.biases, config.n_head * config.head_dim
        self.q_proj = nn.Linear(config.width, queries, bias=has_bias)
        self.k_proj = nn.Linear(config.width, config.kv_dim, bias=has_bias)
        self.v_proj = nn.Linear(config.width, config.kv_dim, bias=has_bias)
        self.o_proj = nn.Linear(queries, config.width, bias=Biases.ATTENTION_OUTPUT in config.biases)
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
    """The activation of one projection times another, projected back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation, has_bias = config.activation, Biases.FEED_FORWARD in config.biases
        self.gate_proj = nn.Linear(config.width, config.inner_dim, bias=has_bias)
        self.up_proj = nn.Linear(config.width, config.inner_dim, bias=has_bias)
        self.down_proj = nn.Linear(config.inner_dim, config.width, bias=has_bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        gate = activated(self.gate_proj(x), self.activation)
        out: Tensor = self.down_proj(gate * self.up_proj(x))  # [N, F] within
        return out


class LlamaBlock(nn.Module):
    """One layer, its inputs normalised."""

    feed_forward: Callable[[ModelConfig], nn.Module] = LlamaFeedForward

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.residual = config.multipliers.residual
        self.input_layernorm = norm_of(config)
        self.self_attn = LlamaAttention(config)
        self.post_attention_layernorm = norm_of(config)
        self.mlp = type(self).feed_forward(config)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        x = x + _times(self.self_attn(self.input_layernorm(x), layer, attend), self.residual)
        x = x + _times(self.mlp(self.post_attention_layernorm(x)), self.residual)
        return x


class LlamaBody(nn.Module):
    """The parameters beside the head: what checkpoints call `model`."""

    def __init__(self, config: ModelConfig, block: Callable[[ModelConfig], nn.Module]) -> None:
        super().__init__()
        self.embed_tokens = empty_embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(block(config) for _ in range(config.n_layer))
        self.norm = norm_of(config)


class Llama(CausalLM):
    """The model, by the state-dict names of `transformers`' LlamaForCausalLM."""

    block: Callable[[ModelConfig], nn.Module] = LlamaBlock

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.model = LlamaBody(config, type(self).block)
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
    def final_norm(self) -> nn.Module:
        """The norm after the last block."""
        return self.model.norm

    def embedded(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids [N] -> their embeddings [N, D]: positions are turns of queries and keys."""
        del positions
        return _times(self.token_embedding(input_ids), self.config.multipliers.embedding)

    def hidden(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """input_ids [N], positions [N] -> hidden states after the last norm [N, D]: prefill and decode."""
        cosine, sine = self._angles_on(positions.device)[positions].unsqueeze(2).unbind(1)  # [N, 1, C / 2]
        unrotated = self.config.unrotated_layers
        # Attention multiplies by one over the root itself.
        scale = self.config.score_scale * math.sqrt(self.config.head_dim)

        def turn_and_attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
            query = _times(query, scale)
            if layer in unrotated:
                return attend(layer, query, key_value)
            key, value = key_value.unbind(1)
            key_value = torch.stack([turned(key, cosine, sine), value], 1)
            return attend(layer, turned(query, cosine, sine), key_value)

        return super().hidden(input_ids, positions, turn_and_attend)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, D] -> logits [N, V], by the model's own head or the tied token embedding."""
        hidden = _times(hidden, 1 / self.config.multipliers.logits_divisor)
        if self.lm_head is None:
            return super().logits(hidden)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def init_parameter(self, name: str, tensor: Tensor, generator: torch.Generator | None = None) -> None:
        """Fill a tensor of the shape of the parameter `name` with its first values; norms change nothing."""
        if tensor.dim() < 2:
            is_zero = name.endswith("bias") or self.config.norm is Norm.RMS_FROM_ONE
            nn.init.constant_(tensor, 0.0 if is_zero else 1.0)
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


def _times(x: Tensor, factor: float) -> Tensor:
    return x if math.isclose(factor, 1.0, rel_tol=1e-12) else x * factor


def turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """heads [N, H, C] with the pairs (c, c + C / 2) turned by cosine and sine [N, 1, C / 2], in fp32."""
    first, second = heads.float().chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1).to(heads.dtype)
