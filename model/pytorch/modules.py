"""Which PyTorch module a family's models are built of. Knows nothing of weights."""

from __future__ import annotations

from collections.abc import Mapping

from model.families.config import ModelConfig
from model.pytorch.causal_lm import CausalLM
from model.pytorch.gpt_bigcode import GPTBigCode
from model.pytorch.llama import Llama
from model.pytorch.starcoder2 import StarCoder2

# By `model_type`: every family of `model.families.registry` has one.
MODULES: Mapping[str, type[CausalLM]] = {
    "gpt_bigcode": GPTBigCode,
    "starcoder2": StarCoder2,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "granite"), Llama),
}


def build(config: ModelConfig) -> CausalLM:
    """A model of that description, its parameters as PyTorch makes them."""
    return MODULES[config.family.model_type](config)
