"""Llama and what is of its shape: Llama 3, Mistral, Qwen 2, 2.5 and 3, and others by their names.

RMSNorm, rotary positions, groups of query heads that share keys and values, a gated SiLU. Owns the keys of
their config.json (transformers'), the names and shapes of their tensors, and Qwen's fill-in-the-middle
tokens (arXiv 2409.12186, §3.2). Their torch module is `model.pytorch.llama`, which nothing here imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import ConfigError, TokenizerError
from model.families.config import (
    Activation,
    Biases,
    BlockNames,
    ModelConfig,
    Norm,
    Positions,
    Shapes,
)
from model.families.rotary import read_rotary, write_rotary
from model.prompt.fim_format import FimFormat, FimOrder

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX = "<|fim_prefix|>"
FIM_MIDDLE = "<|fim_middle|>"
FIM_SUFFIX = "<|fim_suffix|>"
FIM_PAD = "<|fim_pad|>"
FILE_SEPARATOR = "<|file_sep|>"
REPOSITORY = "<|repo_name|>"
END_OF_TURN = "<|im_end|>"

_TOKEN_EMBEDDING = "model.embed_tokens.weight"
# Angles that old exports carry.
_IGNORED_ENDING = "rotary_emb.inv_freq"


@dataclass(frozen=True, kw_only=True)
class LlamaFamily:
    """One `model_type` of this shape. See `model.families.config.Family`."""

    model_type: str
    name: str
    known_models: str
    biases: Biases = Biases.NONE
    head_norms: bool = False
    """Whether queries and keys are normalised, head by head."""
    default_head_dim: int | None = None
    """Where config.json says none; None: the width, shared out to the heads."""
    default_window: int | None = None
    """The sliding window of a config.json that says none."""
    window_key: str | None = None
    """What must be true for a sliding window to be used."""

    special_tokens = (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD, FILE_SEPARATOR)
    end_of_text = END_OF_TEXT
    token_embedding = _TOKEN_EMBEDDING
    position_embedding = None
    output_head = "lm_head.weight"
    final_norm = "model.norm"
    linear_layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """The description in a config.json's object."""
        self._refuse(values)
        size = _Sizes(values)
        n_head, width = size("num_attention_heads", 32), size("hidden_size", 4_096)
        head_dim = size("head_dim", self.default_head_dim or width // n_head)
        if head_dim % 2:
            raise ConfigError(f"head_dim = {head_dim}: rotary positions need an even one")
        n_kv_head = size("num_key_value_heads", n_head)
        if n_head % n_kv_head:
            raise ConfigError(
                f"num_attention_heads = {n_head} is not a multiple of num_key_value_heads = {n_kv_head}"
            )
        ends = _token_ids("eos_token_id", values.get("eos_token_id"))
        starts = _token_ids("bos_token_id", values.get("bos_token_id"))
        return ModelConfig(
            family=self,
            vocab_size=size("vocab_size", 32_000),
            n_positions=self._positions(values, size("max_position_embeddings", 2_048)),
            width=width,
            n_layer=size("num_hidden_layers", 32),
            n_head=n_head,
            n_kv_head=n_kv_head,
            head_dim=head_dim,
            inner_dim=size("intermediate_size", 11_008),
            norm=Norm.RMS,
            norm_epsilon=_number(values, "rms_norm_eps", 1e-6),
            activation=Activation.SILU,
            positions=Positions.ROTARY,
            rotary=read_rotary(values, dim=head_dim, theta=10_000.0),
            biases=self.biases,
            tied_head=bool(values.get("tie_word_embeddings", False)),
            bos_token_id=(*starts, *ends, 0)[0],
            end_token_ids=ends or (0,),
            initializer_range=_number(values, "initializer_range", 0.02),
        )

    def keys(self, config: ModelConfig) -> dict[str, Any]:
        """What `read` reads."""
        assert config.rotary is not None
        ends = config.end_token_ids
        return {
            "vocab_size": config.vocab_size,
            "max_position_embeddings": config.n_positions,
            "hidden_size": config.width,
            "num_hidden_layers": config.n_layer,
            "num_attention_heads": config.n_head,
            "num_key_value_heads": config.n_kv_head,
            "head_dim": config.head_dim,
            "intermediate_size": config.inner_dim,
            "rms_norm_eps": config.norm_epsilon,
            "tie_word_embeddings": config.tied_head,
            "bos_token_id": config.bos_token_id,
            "eos_token_id": ends[0] if len(ends) == 1 else list(ends),
            "initializer_range": config.initializer_range,
            **write_rotary(config.rotary),
        }

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The object of a config.json. The context is no longer than a window that the model had."""
        return {
            "architectures": [f"{self.name}ForCausalLM"],
            "model_type": self.model_type,
            "hidden_act": "silu",
            "sliding_window": None,
            "use_cache": True,
            **self.keys(config),
        }

    def shapes(self, config: ModelConfig) -> Shapes:
        """Every parameter of a model, tied ones once."""
        width, inner, queries = config.width, config.inner_dim, config.n_head * config.head_dim
        shapes: dict[str, tuple[int, ...]] = {self.token_embedding: (config.vocab_size, width)}
        for number in range(config.n_layer):
            block = self.block(number)
            for name, rows in zip(
                block.query_key_value, (queries, config.kv_dim, config.kv_dim), strict=True
            ):
                shapes[f"{name}.weight"] = (rows, width)
                if config.biases is Biases.QUERY_KEY_VALUE:
                    shapes[f"{name}.bias"] = (rows,)
            if self.head_norms:
                shapes |= dict.fromkeys(
                    (f"{block.query_norm}.weight", f"{block.key_norm}.weight"), (config.head_dim,)
                )
            shapes[f"{block.attention_output}.weight"] = (width, queries)
            shapes[f"{block.feed_forward_gate}.weight"] = (inner, width)
            shapes[f"{block.feed_forward_in}.weight"] = (inner, width)
            shapes[f"{block.feed_forward_out}.weight"] = (width, inner)
            for name in (block.attention_norm, block.feed_forward_norm):
                shapes[f"{name}.weight"] = (width,)
        shapes[f"{self.final_norm}.weight"] = (width,)
        return shapes if config.tied_head else shapes | {self.output_head: (config.vocab_size, width)}

    def block(self, number: int) -> BlockNames:
        """The modules of a block."""
        block = f"model.layers.{number}"
        attention = f"{block}.self_attn"
        return BlockNames(
            attention_norm=f"{block}.input_layernorm",
            query_key_value=(f"{attention}.q_proj", f"{attention}.k_proj", f"{attention}.v_proj"),
            attention_output=f"{attention}.o_proj",
            feed_forward_norm=f"{block}.post_attention_layernorm",
            feed_forward_gate=f"{block}.mlp.gate_proj",
            feed_forward_in=f"{block}.mlp.up_proj",
            feed_forward_out=f"{block}.mlp.down_proj",
            query_norm=f"{attention}.q_norm" if self.head_norms else None,
            key_norm=f"{attention}.k_norm" if self.head_norms else None,
        )

    def is_feed_forward(self, name: str) -> bool:
        """Whether a tensor or module of a block belongs to its feed-forward."""
        return ".mlp." in name

    def tensor_name(self, stored: str) -> str | None:
        """The same: these exports agree."""
        return None if stored.endswith(_IGNORED_ENDING) else stored

    def end_ids(self, special_ids: Mapping[str, int]) -> Collection[int]:
        """Qwen's ends of documents, turns and files; others, `<tool_call>` for one, are part of an answer."""
        return [special_ids[name] for name in (*self.special_tokens, END_OF_TURN) if name in special_ids]

    def fim_format(self, special_ids: Mapping[str, int]) -> FimFormat:
        """Prefix first, as Qwen2.5-Coder was trained; other models of this shape continue a text."""
        missing = [
            name for name in (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX) if name not in special_ids
        ]
        if missing:
            raise TokenizerError(
                f"the tokenizer lacks {', '.join(missing)}: this model cannot fill in the middle. "
                "Take one that was trained to, such as Qwen/Qwen2.5-Coder-1.5B."
            )
        return FimFormat(
            orders=(FimOrder.PSM,),
            prefix_id=special_ids[FIM_PREFIX],
            middle_id=special_ids[FIM_MIDDLE],
            suffix_id=special_ids[FIM_SUFFIX],
            end_of_text_id=special_ids[END_OF_TEXT],
            pad_id=special_ids.get(FIM_PAD),
            file_id=special_ids.get(FILE_SEPARATOR),
            repository_id=special_ids.get(REPOSITORY),
        )

    def _refuse(self, values: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for what would change the forward pass and is not computed here."""
        for key, supported in (
            ("hidden_act", "silu"),
            ("attention_bias", False),
            ("mlp_bias", False),
            ("pretraining_tp", 1),
            ("partial_rotary_factor", 1.0),
        ):
            if (value := values.get(key)) is not None and value != supported:
                raise ConfigError(f"{key} = {value!r} is not supported, only {supported!r}")
        for key in ("quantization_config", "num_local_experts"):
            if values.get(key) is not None:
                raise ConfigError(f"{key} is set: such {self.name} models are not computed here")

    def _positions(self, values: Mapping[str, Any], n_positions: int) -> int:
        """The longest context, within a sliding window that every token sees whole."""
        window = values.get("sliding_window", self.default_window)
        unused = self.window_key is not None and not values.get(self.window_key, False)
        if window is None or unused:
            return n_positions
        if not isinstance(window, int) or window < 1:
            raise ConfigError(f"sliding_window = {window!r}: expected a number above 0")
        return min(n_positions, window)


LLAMA_FAMILIES = (
    LlamaFamily(model_type="llama", name="Llama", known_models="Llama 3, SmolLM2"),
    LlamaFamily(
        model_type="mistral",
        name="Mistral",
        known_models="those with a byte-level tokenizer",
        default_window=4_096,
    ),
    LlamaFamily(
        model_type="qwen2",
        name="Qwen2",
        known_models="Qwen2.5-Coder",
        biases=Biases.QUERY_KEY_VALUE,
        default_window=4_096,
        window_key="use_sliding_window",
    ),
    LlamaFamily(
        model_type="qwen3",
        name="Qwen3",
        known_models="Qwen3",
        head_norms=True,
        default_head_dim=128,
        default_window=4_096,
        window_key="use_sliding_window",
    ),
)


class _Sizes:
    """Whole numbers above 0 by their keys; null counts as left out."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __call__(self, key: str, default: int) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{key} = {value!r}: expected int")
        if value < 1:
            raise ConfigError(f"{key} = {value}: it must be at least 1")
        return value


def _number(values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key} = {value!r}: expected float")
    return float(value)


def _token_ids(key: str, value: object) -> tuple[int, ...]:
    """One id, a list of them or none."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise ConfigError(f"{key} = {value!r}: expected int, or a list of them")
    return tuple(ids)
