"""What a language model of any family is in PyTorch: embeddings, blocks, a last norm, an output head.

Owns the passes and the loss; the parameters are a family's module's, by the names published checkpoints
give them. It does not know how keys and values are kept or masked: that is the `Attend` function it is
handed (`model.pytorch.attention`), so training, prefill and decode run through the same code on a flat
list of tokens.

Shapes: N tokens of the whole batch, B sequences, T tokens a sequence, D hidden width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.families.config import ModelConfig
from model.pytorch.attention import Attend, causal_attend


class CausalLM(nn.Module, ABC):
    """The model that the runner, training and scoring ask. A block is called as block(x, layer, attend)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute_activations = False
        # A quantised twin of the tied embedding, where the loader made one.
        self.head: nn.Module | None = None

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The layers, first to last."""

    @property
    @abstractmethod
    def token_embedding(self) -> nn.Embedding:
        """The embedding of the tokens, which the output head may be tied to."""

    @property
    def position_embedding(self) -> nn.Embedding | None:
        """The learned positions, where there are any."""
        return None

    @property
    @abstractmethod
    def final_norm(self) -> nn.Module:
        """The norm after the last block."""

    @abstractmethod
    def embedded(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """input_ids [N], positions [N] -> what the first block is given [N, D]."""

    @abstractmethod
    def init_parameter(self, name: str, tensor: Tensor, generator: torch.Generator | None = None) -> None:
        """Fill a tensor of the shape of the parameter `name` with its first values."""

    def hidden(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """input_ids [N], positions [N] -> hidden states after the last norm [N, D]: prefill and decode."""
        x = self.embedded(input_ids, positions)  # [N, D]
        for layer, block in enumerate(self.blocks):
            if self.recompute_activations and self.training:
                x = cast(Tensor, checkpoint(block, x, layer, attend, use_reentrant=False))
            else:
                x = block(x, layer, attend)
        return cast(Tensor, self.final_norm(x))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, D] -> logits [N, V], by the tied token embedding."""
        if self.head is not None:
            return cast(Tensor, self.head(hidden))
        return F.linear(hidden, self.token_embedding.weight)

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

    def _causal_hidden(self, input_ids: Tensor, document_ids: Tensor | None) -> Tensor:
        n_sequences, n_tokens = input_ids.shape
        positions = torch.arange(n_tokens, device=input_ids.device).repeat(n_sequences)  # [N]
        dropout = self.config.dropout.attention if self.training else 0.0
        attend = causal_attend(n_sequences, input_ids.device, document_ids, dropout)
        return self.hidden(input_ids.reshape(-1), positions, attend)

    def _summed_loss(self, hidden: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
        logits = self.logits(hidden).float()
        return F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="sum")


def empty_embedding(n_rows: int, width: int) -> nn.Embedding:
    """An embedding that takes its rows from a checkpoint, or from `init_weights`."""
    # Given its weight it draws no random numbers, which on the meta device (where a checkpoint's
    # model is first built) would import torch's compiler: a second of every start.
    return nn.Embedding(n_rows, width, _weight=torch.zeros(n_rows, width))


def _chunks(hidden: Tensor, targets: Tensor, chunk_tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(hidden), chunk_tokens):
        yield hidden[start : start + chunk_tokens], targets[start : start + chunk_tokens]
