"""Granite 3 (IBM): Llama's shape, with numbers that its parts are multiplied with.

Its torch module is `model.pytorch.llama`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import ConfigError
from model.families import sentinels
from model.families.config import ModelConfig, Multipliers
from model.families.llama import LlamaFamily
from model.families.values import number

_DIVISOR = "logits_scaling"


@dataclass(frozen=True, kw_only=True)
class GraniteFamily(LlamaFamily):
    """See `model.families.config.Family`."""

    special_tokens = sentinels.GRANITE.names
    end_of_text = sentinels.GRANITE.end_of_text[0]

    def keys(self, config: ModelConfig) -> dict[str, Any]:
        """What `read` reads."""
        multipliers = config.multipliers
        return super().keys(config) | {
            "embedding_multiplier": multipliers.embedding,
            "attention_multiplier": multipliers.scores,
            "residual_multiplier": multipliers.residual,
            _DIVISOR: multipliers.logits_divisor,
        }

    def _multipliers(self, values: Mapping[str, Any], width: int) -> Multipliers:
        del width
        divisor = number(values, _DIVISOR, 1.0)
        if divisor == 0:
            raise ConfigError(f"{_DIVISOR} = 0: logits are divided by it")
        return Multipliers(
            embedding=number(values, "embedding_multiplier", 1.0),
            scores=number(values, "attention_multiplier", 1.0),
            residual=number(values, "residual_multiplier", 1.0),
            logits_divisor=divisor,
        )


GRANITE = GraniteFamily(
    model_type="granite",
    name="Granite",
    known_models="Granite 3",
    bias_keys=("attention_bias", "mlp_bias"),
)
