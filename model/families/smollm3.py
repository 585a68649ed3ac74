"""SmolLM3: Llama's shape, with layers whose queries and keys are not turned (arXiv 2501.18795).

Its torch module is `model.pytorch.llama`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import ConfigError
from model.families.config import ModelConfig
from model.families.llama import LlamaFamily
from model.families.values import Sizes

# 1 for a layer that is rotated, 0 for one that is not.
_LIST = "no_rope_layers"


@dataclass(frozen=True, kw_only=True)
class SmolLM3Family(LlamaFamily):
    """See `model.families.config.Family`."""

    def keys(self, config: ModelConfig) -> dict[str, Any]:
        """What `read` reads."""
        rotated = [int(layer not in config.unrotated_layers) for layer in range(config.n_layer)]
        return super().keys(config) | {_LIST: rotated}

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The object of a config.json."""
        # transformers' default lies beyond smaller vocabularies.
        return super().write(config) | {"pad_token_id": None}

    def _unrotated(self, values: Mapping[str, Any], n_layer: int) -> frozenset[int]:
        rotated = values.get(_LIST)
        if rotated is None:
            interval = Sizes(values)("no_rope_layer_interval", 4)
            return frozenset(range(interval - 1, n_layer, interval))
        if not isinstance(rotated, list) or len(rotated) < n_layer:
            raise ConfigError(f"{_LIST} = {rotated!r}: expected a list of 0 or 1 for each layer")
        return frozenset(layer for layer in range(n_layer) if not rotated[layer])


SMOLLM3 = SmolLM3Family(
    model_type="smollm3",
    name="SmolLM3",
    known_models="SmolLM3",
    bias_keys=("attention_bias", "mlp_bias"),
    tied_head=True,
    window_key="use_sliding_window",
)
