"""StarCoder2 (arXiv 2402.19173): LayerNorm, rotary positions, grouped heads, biases, a sliding window.

Its torch module is `model.pytorch.starcoder2`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.families import sentinels
from model.families.config import Activation, BlockNames, Norm
from model.families.llama import LlamaFamily


@dataclass(frozen=True, kw_only=True)
class StarCoder2Family(LlamaFamily):
    """See `model.families.config.Family`."""

    special_tokens = sentinels.STARCODER2.names
    end_of_text = sentinels.STARCODER2.end_of_text[0]
    linear_layers = ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj")

    def block(self, number: int) -> BlockNames:
        """The modules of a block."""
        block = f"model.layers.{number}"
        return replace(
            super().block(number),
            feed_forward_gate=None,
            feed_forward_in=f"{block}.mlp.c_fc",
            feed_forward_out=f"{block}.mlp.c_proj",
        )


STARCODER2 = StarCoder2Family(
    model_type="starcoder2",
    name="StarCoder2",
    known_models="StarCoder2",
    architecture="Starcoder2",
    norm=Norm.LAYER,
    epsilon_key="norm_epsilon",
    activation=Activation.GELU_TANH,
    activation_names=("gelu_pytorch_tanh",),
    bias_keys=("use_bias",),
    biased=True,
    tied_head=True,
)
