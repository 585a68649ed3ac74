"""The StarCoder2 transformer: Llama's with two linear layers for a feed-forward.

Its configuration and names of tensors are `model.families.starcoder2`'s.

Shapes: N tokens of the whole batch, D hidden width.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.families.config import Biases, ModelConfig
from model.pytorch.llama import Llama, LlamaBlock, activated


class StarCoder2FeedForward(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation, has_bias = config.activation, Biases.FEED_FORWARD in config.biases
        self.c_fc = nn.Linear(config.width, config.inner_dim, bias=has_bias)
        self.c_proj = nn.Linear(config.inner_dim, config.width, bias=has_bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, D] -> [N, D]."""
        out: Tensor = self.c_proj(activated(self.c_fc(x), self.activation))
        return out


class StarCoder2Block(LlamaBlock):
    """One layer."""

    feed_forward = StarCoder2FeedForward


class StarCoder2(Llama):
    """The model, by the state-dict names of `transformers`' Starcoder2ForCausalLM."""

    block = StarCoder2Block
