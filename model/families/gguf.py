"""What GGUF files call the configuration and the tensors of models of Llama's shape and its kin.

Owns the keys, the names and the form in which llama.cpp's converter writes tensors. Knows nothing about how
numbers are stored (`model.gguf`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError, served_elsewhere
from model.families.config import ModelConfig, Norm
from model.families.registry import config_of
from model.families.rotary import Rotary
from model.gguf.files import Gguf, Tensor
from model.gguf.metadata import Metadata

_ARCHITECTURES = ("llama", "qwen2", "qwen3", "starcoder2", "gemma", "granite", "smollm3")
# For files whose rows of queries and keys are in pairs, not in halves.
_PAIRED = ("llama", "granite", "smollm3")
# Sizes by their keys in a config.json.
_NEEDED = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
}
_SIZES = {
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "num_local_experts": "expert_count",
    "sliding_window": "attention.sliding_window",
}
_NUMBERS = {
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "norm_epsilon": "attention.layer_norm_epsilon",
    "rope_theta": "rope.freq_base",
    "embedding_multiplier": "embedding_scale",
    "attention_multiplier": "attention.scale",
    "residual_multiplier": "residual_scale",
    "logits_scaling": "logit_scale",
}
# Of models whose files do not say it.
_WINDOWS = {"starcoder2": 4_096}
# Keys that say of biases what a tensor's being there says.
_BIASES = {"attention_bias": "blk.0.attn_output.bias", "mlp_bias": "blk.0.ffn_down.bias"}
_ALL_BIASES = {"use_bias": "blk.0.ffn_down.bias"}
_OUTSIDE = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_IN_A_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.c_fc": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.c_proj": "ffn_down",
}
TURN_FACTORS = "rope_freqs.weight"
"""Belongs to the description: how much slower each turn is, as Llama 3.1's scaling is written."""
_LLAMA_3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8_192,
}


def read_gguf(file: Gguf) -> ModelConfig:
    """The description of the model in a file. Raises `ModelError`, which names the file and the key."""
    architecture = file.metadata.text("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ConfigError(
            f"{file.path}: general.architecture is {architecture!r}; only {', '.join(_ARCHITECTURES)} "
            f"are loaded here. {served_elsewhere(file.path)}"
        )
    try:
        return _described(file, architecture)
    except ConfigError as error:
        raise ConfigError(f"{file.path}: {error}") from error


def stored_name(name: str) -> str:
    """What a file calls the tensor that a config.json's checkpoint calls `name`."""
    module, _, part = name.rpartition(".")
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{part}"
    _, _, number, inner = module.split(".", 3)
    return f"blk.{number}.{_IN_A_BLOCK[inner]}.{part}"


def heads_in_pairs(config: ModelConfig, name: str) -> int | None:
    """The heads of a tensor whose rows stand in pairs (c, c + C / 2); None for one in order.

    llama.cpp's rotation of some architectures turns neighbours, where that of others turns halves.
    """
    if config.family.model_type not in _PAIRED:
        return None
    module = name.rpartition(".")[0].rpartition(".")[2]
    return {"q_proj": config.n_head, "k_proj": config.n_kv_head}.get(module)


def added_in_files(config: ModelConfig, name: str) -> float:
    """What a file's numbers of a tensor are more than a checkpoint's."""
    return 1.0 if config.norm is Norm.RMS_FROM_ONE and name.endswith("norm.weight") else 0.0


def _described(file: Gguf, architecture: str) -> ModelConfig:
    values = _values(file.metadata, architecture, file.tensors)
    if TURN_FACTORS not in file.tensors:
        return config_of(values)
    factors = file.floats(TURN_FACTORS).tolist()
    config = config_of(values | {"rope_scaling": _LLAMA_3 | {"factor": max(factors, default=1.0)}})
    assert config.rotary is not None
    if not _are_llama_3s(config.rotary, factors):
        raise ConfigError(
            f"{TURN_FACTORS} holds other factors than Llama 3.1's, which alone are computed here. "
            f"{served_elsewhere(file.path)}"
        )
    return config


def _are_llama_3s(rotary: Rotary, factors: list[float]) -> bool:
    turns = [rotary.theta ** (-one / rotary.dim) for one in range(0, rotary.dim, 2)]
    if rotary.scaling is None or len(turns) != len(factors):
        return False
    slower = rotary.scaling.scaled(turns, rotary.theta)
    return all(
        math.isclose(turn, slow * factor, rel_tol=1e-3)
        for turn, slow, factor in zip(turns, slower, factors, strict=True)
    )


def _values(metadata: Metadata, architecture: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The keys of a config.json that say the same."""
    values: dict[str, Any] = {"model_type": architecture}
    for key, theirs in _NEEDED.items():
        if (value := metadata.integer(f"{architecture}.{theirs}")) is None:
            raise ConfigError(f"it lacks {architecture}.{theirs}")
        values[key] = value
    values |= {key: metadata.integer(f"{architecture}.{theirs}") or None for key, theirs in _SIZES.items()}
    values["sliding_window"] = values["sliding_window"] or _WINDOWS.get(architecture)
    values |= {key: metadata.number(f"{architecture}.{theirs}") for key, theirs in _NUMBERS.items()}
    if "token_embd.weight" not in tensors:
        raise ConfigError("it lacks the tensor token_embd.weight: is it a complete model?")
    biases = _ALL_BIASES if architecture == "starcoder2" else _BIASES
    ends = [metadata.integer(f"tokenizer.ggml.{one}_token_id") for one in ("eos", "eot")]
    return values | {
        "vocab_size": tensors["token_embd.weight"].shape[0],
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": metadata.integer("tokenizer.ggml.bos_token_id"),
        "eos_token_id": [one for one in ends if one is not None],
        "use_sliding_window": values["sliding_window"] is not None,
        "rope_scaling": _scaling(metadata, f"{architecture}.rope"),
        "partial_rotary_factor": _rotated_part(metadata, architecture, values),
        **{key: name in tensors for key, name in biases.items()},
    }


def _rotated_part(metadata: Metadata, architecture: str, values: Mapping[str, Any]) -> float:
    """The part of a head that is rotated."""
    head_dim = values["head_dim"] or values["hidden_size"] // max(1, values["num_attention_heads"])
    rotated = metadata.integer(f"{architecture}.rope.dimension_count") or head_dim
    return float(rotated / max(1, head_dim))


def _scaling(metadata: Metadata, prefix: str) -> dict[str, Any] | None:
    scaling = f"{prefix}.scaling"
    factor = metadata.number(f"{scaling}.factor") or metadata.number(f"{prefix}.scale_linear")
    kind = metadata.text(f"{scaling}.type") or ("linear" if factor else "none")
    if kind == "none":
        return None
    return {
        "rope_type": kind,
        "factor": factor,
        "attention_factor": metadata.number(f"{scaling}.attn_factor"),
        "beta_fast": metadata.number(f"{scaling}.yarn_beta_fast"),
        "beta_slow": metadata.number(f"{scaling}.yarn_beta_slow"),
        "original_max_position_embeddings": metadata.integer(f"{scaling}.original_context_length"),
    }
