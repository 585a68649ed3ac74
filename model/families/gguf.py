"""What GGUF files call the configuration and the tensors of models of Llama's shape.

Owns the keys, the names and the order of rows that llama.cpp's converter writes. Knows nothing about how
numbers are stored (`model.gguf`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError
from model.families.config import ModelConfig
from model.families.registry import config_of
from model.gguf.files import Gguf, Tensor
from model.gguf.metadata import Metadata

_ARCHITECTURES = ("llama", "qwen2", "qwen3")
# For files whose rows of queries and keys are in pairs, not in halves.
_PAIRED = "llama"
# Sizes by their keys in a config.json.
_NEEDED = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
}
_NUMBERS = {
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "num_local_experts": "expert_count",
    "sliding_window": "attention.sliding_window",
}
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
    "mlp.down_proj": "ffn_down",
}


def read_gguf(file: Gguf) -> ModelConfig:
    """The description of the model in a file. Raises `ModelError`, which names the file and the key."""
    architecture = file.metadata.text("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ConfigError(
            f"{file.path}: general.architecture is {architecture!r}; only {', '.join(_ARCHITECTURES)} "
            f"are loaded here. Serve it with `llama-server -m {file.path}` and set engine.url to http://127.0.0.1:8080/v1."
        )
    try:
        return config_of(_values(file.metadata, architecture, file.tensors))
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

    llama.cpp's rotation of its architecture `llama` turns neighbours, where all others turn halves.
    """
    if config.family.model_type != _PAIRED:
        return None
    module = name.rpartition(".")[0].rpartition(".")[2]
    return {"q_proj": config.n_head, "k_proj": config.n_kv_head}.get(module)


def _values(metadata: Metadata, architecture: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The keys of a config.json that say the same."""
    values: dict[str, Any] = {"model_type": architecture}
    for key, theirs in _NEEDED.items():
        if (value := metadata.integer(f"{architecture}.{theirs}")) is None:
            raise ConfigError(f"it lacks {architecture}.{theirs}")
        values[key] = value
    values |= {key: metadata.integer(f"{architecture}.{theirs}") or None for key, theirs in _NUMBERS.items()}
    if "token_embd.weight" not in tensors:
        raise ConfigError("it lacks the tensor token_embd.weight: is it a complete model?")
    ends = [metadata.integer(f"tokenizer.ggml.{one}_token_id") for one in ("eos", "eot")]
    return values | {
        "vocab_size": tensors["token_embd.weight"].shape[0],
        "tie_word_embeddings": "output.weight" not in tensors,
        "rms_norm_eps": metadata.number(f"{architecture}.attention.layer_norm_rms_epsilon"),
        "bos_token_id": metadata.integer("tokenizer.ggml.bos_token_id"),
        "eos_token_id": [one for one in ends if one is not None],
        "use_sliding_window": values["sliding_window"] is not None,
        "rope_theta": metadata.number(f"{architecture}.rope.freq_base"),
        "rope_scaling": _scaling(metadata, f"{architecture}.rope.scaling"),
    }


def _scaling(metadata: Metadata, prefix: str) -> dict[str, Any] | None:
    kind = metadata.text(f"{prefix}.type")
    if kind is None or kind == "none":
        return None
    return {
        "rope_type": kind,
        "factor": metadata.number(f"{prefix}.factor"),
        "attention_factor": metadata.number(f"{prefix}.attn_factor"),
        "original_max_position_embeddings": metadata.integer(f"{prefix}.original_context_length"),
    }
