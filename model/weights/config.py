"""The shape of a GPTBigCode model, as read from a checkpoint's config.json.

Knows the published keys and their defaults; knows nothing about tensors or files of weights.
Keys follow transformers' `GPTBigCodeConfig`, so the same file serves both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from model.errors import ConfigError

CONFIG_FILE = "config.json"
ARCHITECTURE = "GPTBigCodeForCausalLM"
MODEL_TYPE = "gpt_bigcode"
# tanh approximation under the two names that published checkpoints use for it.
_TANH_GELU = ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Hyper-parameters of one GPTBigCode model (arXiv 2305.06161, table 6)."""

    vocab_size: int = 49_152
    n_positions: int = 8_192
    n_embd: int = 2_048
    n_layer: int = 24
    n_head: int = 16
    n_inner: int | None = None
    multi_query: bool = True
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    attn_pdrop: float = 0.0
    embd_pdrop: float = 0.0
    resid_pdrop: float = 0.0
    bos_token_id: int = 0
    eos_token_id: int = 0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: it must be at least 1")
        if self.n_embd % self.n_head:
            raise ConfigError(f"n_embd = {self.n_embd} is not a multiple of n_head = {self.n_head}")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def n_kv_head(self) -> int:
        """Key/value heads: one for multi-query attention, else as many as query heads."""
        return 1 if self.multi_query else self.n_head

    @property
    def kv_dim(self) -> int:
        """Width of the keys (and of the values) of one token in one layer."""
        return self.n_kv_head * self.head_dim

    @property
    def inner_dim(self) -> int:
        """Width of the feed-forward layer."""
        return self.n_inner if self.n_inner is not None else 4 * self.n_embd

    @property
    def n_parameters(self) -> int:
        """Parameters, tied embeddings counted once."""
        d, f, kv = self.n_embd, self.inner_dim, 2 * self.kv_dim
        attention = d * (d + kv) + (d + kv) + d * d + d
        feed_forward = d * f + f + f * d + d
        embeddings = (self.vocab_size + self.n_positions) * d
        return embeddings + self.n_layer * (attention + feed_forward + 4 * d) + 2 * d

    @classmethod
    def from_file(cls, path: Path) -> ModelConfig:
        """Read a config.json. Raises `ConfigError`, which names the file."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path} does not exist: is {path.parent} a model folder?") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not valid JSON ({error})") from error
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, values: Any) -> ModelConfig:
        """Take what this model needs from a config.json's object.

        Keys of transformers that do not change the forward pass are passed over; those that
        would change it and are not supported are errors.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"the configuration is {type(values).__name__}, not an object")
        model_type = values.get("model_type")
        if model_type != MODEL_TYPE:
            raise ConfigError(
                f"model_type is {model_type!r}; only {MODEL_TYPE!r} (StarCoder, SantaCoder) is loaded "
                "here. Serve other families by an OpenAI-compatible engine and set engine.url."
            )
        activation = values.get("activation_function", "gelu_pytorch_tanh")
        if activation not in _TANH_GELU:
            raise ConfigError(f"activation_function {activation!r} is not one of {', '.join(_TANH_GELU)}")
        for key, supported in (("scale_attn_weights", True), ("tie_word_embeddings", True)):
            if values.get(key, supported) is not supported:
                raise ConfigError(f"{key} = {values[key]!r} is not supported, only {supported!r}")
        known = {field.name: field.type for field in fields(cls)}
        given = {key: value for key, value in values.items() if key in known and value is not None}
        for key, value in given.items():
            wanted = bool if key == "multi_query" else float if known[key] == "float" else int
            accepted = (int, float) if wanted is float else (wanted,)
            if not isinstance(value, accepted) or (wanted is not bool and isinstance(value, bool)):
                raise ConfigError(f"{key} = {value!r}: expected {wanted.__name__}")
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that both this package and transformers read."""
        return {
            "architectures": [ARCHITECTURE],
            "model_type": MODEL_TYPE,
            "activation_function": "gelu_pytorch_tanh",
            "attention_softmax_in_fp32": True,
            "scale_attention_softmax_in_fp32": True,
            "scale_attn_weights": True,
            "tie_word_embeddings": True,
            "use_cache": True,
            **asdict(self),
        }
