"""The GPTBigCode transformer: embeddings, blocks, tied output head.

Owns the parameters, by the names published checkpoints give them. It does not know how keys and
values are kept or masked: that is the `Attend` function it is handed (`model.pytorch.attention`), so
training, prefill and decode run through the same code on a flat list of tokens.

Shapes: N tokens of the whole batch, B sequences, T tokens a sequence, D hidden width, H query
heads, K key/value heads (1 for multi-query), C head width, F feed-forward width, V vocabulary.
Source: arXiv 2305.06161, §5.3; multi-query attention: Shazeer 2019.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.pytorch.attention import Attend, causal_attend
from model.weights.config import ModelConfig


class Attention(nn.Module):
    """Self-attention of one layer: the two projections around an `Attend`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.multi_query = config.multi_query
        self.residual_dropout = config.resid_pdrop
        self.c_attn = nn.Linear(config.n_embd, config.n_embd + 2 * config.kv_dim)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

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
        self.residual_dropout = config.resid_pdrop
        self.c_fc = nn.Linear(config.n_embd, config.inner_dim)
        self.c_proj = nn.Linear(config.inner_dim, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        inner = F.gelu(self.c_fc(x), approximate="tanh")  # [N, F]
        return F.dropout(self.c_proj(inner), self.residual_dropout, self.training)


class Block(nn.Module):
    """One pre-LayerNorm layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [N, D] -> [N, D]."""
        x = x + self.attn(self.ln_1(x), layer, attend)
        x = x + self.mlp(self.ln_2(x))
        return x


class Body(nn.Module):
    """Embeddings, blocks and the last LayerNorm: what checkpoints call `transformer`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding_dropout = config.embd_pdrop
        self.wte = _embedding(config.vocab_size, config.n_embd)
        self.wpe = _embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.recompute_activations = False

    def forward(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """input_ids [N], positions [N] -> hidden states after the last LayerNorm [N, D]."""
        x = self.wte(input_ids) + self.wpe(positions)  # [N, D]
        x = F.dropout(x, self.embedding_dropout, self.training)
        for layer, block in enumerate(self.h):
            if self.recompute_activations and self.training:
                x = cast(Tensor, checkpoint(block, x, layer, attend, use_reentrant=False))
            else:
                x = block(x, layer, attend)
        return cast(Tensor, self.ln_f(x))


class GPTBigCode(nn.Module):
    """The model, by the state-dict names of `transformers`' GPTBigCodeForCausalLM."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Body(config)
        # A quantised twin of the tied embedding, where the loader made one.
        self.head: nn.Module | None = None

    def hidden(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """input_ids [N], positions [N] -> hidden states [N, D]: the engine's prefill and decode."""
        return cast(Tensor, self.transformer(input_ids, positions, attend))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, D] -> logits [N, V], by the tied token embedding."""
        if self.head is not None:
            return cast(Tensor, self.head(hidden))
        return F.linear(hidden, self.transformer.wte.weight)

    def forward(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """input_ids [B, T] -> logits [B, T, V], each position seeing itself and what precedes it.

        With document_ids [B, T] a position also sees only its own document.
        """
        hidden = self._causal_hidden(input_ids, document_ids)
        return self.logits(hidden).reshape(*input_ids.shape, -1)

    def loss(
        self,
        input_ids: Tensor,
        targets: Tensor,
        *,
        document_ids: Tensor | None = None,
        ignore_index: int = -100,
        chunk_tokens: int | None = None,
    ) -> Tensor:
        """Mean cross-entropy in nats of targets [B, T] after input_ids [B, T].

        With `chunk_tokens` the [tokens, V] logits exist for that many tokens at a time and are
        computed again in the backward pass: slower, but a long batch of a large vocabulary fits.
        """
        hidden = self._causal_hidden(input_ids, document_ids)  # [N, D]
        flat_targets = targets.reshape(-1)  # [N]
        if chunk_tokens is None:
            return F.cross_entropy(self.logits(hidden).float(), flat_targets, ignore_index=ignore_index)
        total = hidden.new_zeros((), dtype=torch.float32)
        for rows, wanted in _chunks(hidden, flat_targets, chunk_tokens):
            part = checkpoint(self._summed_loss, rows, wanted, ignore_index, use_reentrant=False)
            total = total + part
        return total / (flat_targets != ignore_index).sum().clamp_min(1)

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Fill all parameters in their order (see `init_parameter`)."""
        for name, parameter in self.named_parameters():
            self.init_parameter(name, parameter, generator)

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

    def _causal_hidden(self, input_ids: Tensor, document_ids: Tensor | None) -> Tensor:
        n_sequences, n_tokens = input_ids.shape
        positions = torch.arange(n_tokens, device=input_ids.device).repeat(n_sequences)  # [N]
        dropout = self.config.attn_pdrop if self.training else 0.0
        attend = causal_attend(n_sequences, input_ids.device, document_ids, dropout)
        return self.hidden(input_ids.reshape(-1), positions, attend)

    def _summed_loss(self, hidden: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
        logits = self.logits(hidden).float()
        return F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="sum")


def _embedding(n_rows: int, width: int) -> nn.Embedding:
    # Given its weight it draws no random numbers, which on the meta device (where a checkpoint's
    # model is first built) would import torch's compiler: a second of every start.
    return nn.Embedding(n_rows, width, _weight=torch.zeros(n_rows, width))


def _chunks(hidden: Tensor, targets: Tensor, chunk_tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(hidden), chunk_tokens):
        yield hidden[start : start + chunk_tokens], targets[start : start + chunk_tokens]
