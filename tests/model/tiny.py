"""Tiny real models for tests: random weights in any shape, with a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers

from model.families.config import ModelConfig, Norm
from model.families.gpt_bigcode import GPT_BIGCODE, SPECIAL_TOKENS
from model.families.registry import config_of
from model.pytorch.checkpoint import save_checkpoint
from model.pytorch.gpt_bigcode import GPTBigCode
from model.pytorch.modules import build

N_SPECIAL_AND_BYTES = len(SPECIAL_TOKENS) + 256

_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# Keys of a config.json beside those of `write_tiny_llama`.
LLAMA_SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama, tied": {"model_type": "llama", "tie_word_embeddings": True, "num_key_value_heads": 4},
    "llama, llama3 positions": {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": _LLAMA3},
    "llama, linear positions": {
        "model_type": "llama",
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    },
    "llama, one head of keys": {"model_type": "llama", "num_key_value_heads": 1},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "rope_theta": 1e6},
    "qwen2, yarn positions": {
        "model_type": "qwen2",
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40},
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 64},
    "llama, biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0]},
    "gemma": {"model_type": "gemma", "head_dim": 64, "num_key_value_heads": 1},
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 12.0,
        "attention_multiplier": 0.1,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
    },
    "starcoder2": {"model_type": "starcoder2", "norm_epsilon": 1e-5},
    "starcoder2, own head": {"model_type": "starcoder2", "use_bias": False, "tie_word_embeddings": False},
}


def write_byte_tokenizer(folder: Path) -> None:
    """A tokenizer.json with the 19 special tokens and one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    tokenizer = HFTokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.save(str(folder / "tokenizer.json"))


def config_with(**keys: Any) -> ModelConfig:
    """The description of a model with those keys in its config.json."""
    return GPT_BIGCODE.read(keys)


def random_model(config: ModelConfig, seed: int = 0) -> GPTBigCode:
    """A model whose every parameter is random (biases and LayerNorms too), ready for inference."""
    generator = torch.Generator().manual_seed(seed)
    model = GPTBigCode(config)
    for name, parameter in model.named_parameters():
        shift = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
        std = 0.25 if parameter.dim() > 1 else 0.1
        torch.nn.init.normal_(parameter, shift, std, generator=generator)
    return model.eval().requires_grad_(False)


def write_tiny_model(folder: Path, *, max_shard_bytes: int = 5_000_000_000, **config: Any) -> Path:
    """A complete model folder; `config` overrides the shape (two layers, 64 wide, 1,024 positions)."""
    shape = {"vocab_size": N_SPECIAL_AND_BYTES, "n_positions": 1024, "n_embd": 64, "n_layer": 2, "n_head": 4}
    whole = config_with(**shape | config)
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder, whole, random_model(whole).state_dict(), max_shard_bytes=max_shard_bytes)
    write_byte_tokenizer(folder)
    return folder


def llama_config(*, n_positions: int = 1024, **keys: Any) -> ModelConfig:
    """Four heads of 32, two of keys and values, two layers; `keys` of a config.json override them."""
    shape = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    sizes = {"num_hidden_layers": 2, "intermediate_size": 192, "vocab_size": N_SPECIAL_AND_BYTES}
    return config_of({**shape, **sizes, "max_position_embeddings": n_positions, **keys})


def write_tiny_llama(folder: Path, *, twin: bool = False, **keys: Any) -> Path:
    """A complete model folder of such a model. With `twin` it carries a tied head under its own name too."""
    config = llama_config(**keys)
    generator = torch.Generator().manual_seed(0)
    state = build(config).state_dict()
    for name, tensor in state.items():
        is_norm = "norm" in name and name.endswith("weight")
        shift = 1.0 if is_norm and config.norm is not Norm.RMS_FROM_ONE else 0.0
        torch.nn.init.normal_(tensor, shift, 0.15 if tensor.dim() > 1 else 0.1, generator=generator)
    if twin:
        state[config.family.output_head] = state[config.family.token_embedding].clone()
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder, config, state)
    write_byte_tokenizer(folder)
    return folder
