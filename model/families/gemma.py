"""Gemma and CodeGemma (arXiv 2403.08295, 2406.11409): wide heads, scaled embeddings, a gated GELU.

The weights of its RMSNorms are stored less one. Its torch module is `model.pytorch.llama`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.families import sentinels
from model.families.config import Activation, Multipliers, Norm
from model.families.llama import LlamaFamily


@dataclass(frozen=True, kw_only=True)
class GemmaFamily(LlamaFamily):
    """See `model.families.config.Family`."""

    special_tokens = sentinels.CODE_GEMMA.names
    end_of_text = sentinels.CODE_GEMMA.end_of_text[0]

    def _multipliers(self, values: Mapping[str, Any], width: int) -> Multipliers:
        del values
        return Multipliers(embedding=math.sqrt(width))


GEMMA = GemmaFamily(
    model_type="gemma",
    name="Gemma",
    known_models="CodeGemma",
    norm=Norm.RMS_FROM_ONE,
    activation=Activation.GELU_TANH,
    # The published models' "gelu" means the approximation, too.
    activation_names=("gelu_pytorch_tanh", "gelu"),
    bias_keys=("attention_bias",),
    tied_head=True,
    default_head_dim=256,
)
