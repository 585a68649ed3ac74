"""Llama and what is of its shape: Llama 2 and 3, Mistral, Qwen 2, 2.5 and 3, and others by their names.

RMSNorm, rotary positions, groups of query heads that share keys and values, a gated SiLU. Owns the keys of
their config.json (transformers') and the names and shapes of their tensors. Families that differ in more
than values begin with this one and have a file of their own. Their torch module is `model.pytorch.llama`,
which nothing here imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from model.errors import ConfigError
from model.families import sentinels
from model.families.config import (
    Activation,
    Biases,
    BlockNames,
    ModelConfig,
    Multipliers,
    Norm,
    Positions,
    Shapes,
)
from model.families.rotary import read_rotary, write_rotary
from model.families.values import MOST_LAYERS, Sizes, number, token_ids
from model.prompt.fim_format import FimFormat

_BIASES_OF = {"attention_bias": Biases.ATTENTION, "mlp_bias": Biases.FEED_FORWARD, "use_bias": Biases.ALL}
# Angles that old exports carry.
_IGNORED_ENDING = "rotary_emb.inv_freq"


@dataclass(frozen=True, kw_only=True)
class LlamaFamily:
    """One `model_type` of this shape. See `model.families.config.Family`."""

    model_type: str
    name: str
    known_models: str
    architecture: str | None = None
    """What transformers calls it, if not by its name."""
    norm: Norm = Norm.RMS
    epsilon_key: str = "rms_norm_eps"
    activation: Activation = Activation.SILU
    activation_names: tuple[str, ...] = ("silu",)
    """In a config.json; the first one is written."""
    biases: Biases = Biases.NONE
    """Those that every model has."""
    bias_keys: tuple[str, ...] = ()
    """What says in a config.json that a model has more."""
    biased: bool = False
    """Where config.json does not say it."""
    head_norms: bool = False
    """Whether queries and keys are normalised, head by head."""
    tied_head: bool = False
    """Where config.json does not say it."""
    default_head_dim: int | None = None
    """Where config.json says none; None: the width, shared out to the heads."""
    default_window: int | None = None
    """The sliding window of a config.json that says none."""
    window_key: str | None = None
    """What must be true for a sliding window to be used."""

    special_tokens: ClassVar[tuple[str, ...]] = sentinels.QWEN.names
    end_of_text: ClassVar[str] = sentinels.QWEN.end_of_text[0]
    token_embedding = "model.embed_tokens.weight"
    position_embedding = None
    output_head = "lm_head.weight"
    final_norm = "model.norm"
    linear_layers: ClassVar[tuple[str, ...]] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """The description in a config.json's object."""
        self._refuse(values)
        size = Sizes(values)
        n_head, width = size("num_attention_heads", 32), size("hidden_size", 4_096)
        head_dim = size("head_dim", self.default_head_dim or width // n_head)
        if head_dim % 2:
            raise ConfigError(f"head_dim = {head_dim}: rotary positions need an even one")
        n_kv_head = size("num_key_value_heads", n_head)
        if n_head % n_kv_head:
            raise ConfigError(
                f"num_attention_heads = {n_head} is not a multiple of num_key_value_heads = {n_kv_head}"
            )
        ends, starts = token_ids(values, "eos_token_id"), token_ids(values, "bos_token_id")
        n_layer = size("num_hidden_layers", 32, most=MOST_LAYERS)
        return ModelConfig(
            family=self,
            vocab_size=size("vocab_size", 32_000),
            n_positions=self._positions(values, size("max_position_embeddings", 2_048)),
            width=width,
            n_layer=n_layer,
            n_head=n_head,
            n_kv_head=n_kv_head,
            head_dim=head_dim,
            inner_dim=size("intermediate_size", 11_008),
            norm=self.norm,
            norm_epsilon=number(values, self.epsilon_key, 1e-6),
            activation=self.activation,
            positions=Positions.ROTARY,
            rotary=read_rotary(values, dim=head_dim, theta=10_000.0),
            unrotated_layers=self._unrotated(values, n_layer),
            biases=self._biases(values),
            tied_head=bool(values.get("tie_word_embeddings", self.tied_head)),
            bos_token_id=(*starts, *ends, 0)[0],
            end_token_ids=ends or (0,),
            initializer_range=number(values, "initializer_range", 0.02),
            multipliers=self._multipliers(values, width),
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
            self.epsilon_key: config.norm_epsilon,
            "tie_word_embeddings": config.tied_head,
            "bos_token_id": config.bos_token_id,
            "eos_token_id": ends[0] if len(ends) == 1 else list(ends),
            "initializer_range": config.initializer_range,
            **{key: _BIASES_OF[key] in config.biases for key in self.bias_keys},
            **write_rotary(config.rotary),
        }

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The object of a config.json. The context is no longer than a window that the model had."""
        return {
            "architectures": [f"{self.architecture or self.name}ForCausalLM"],
            "model_type": self.model_type,
            "hidden_act": self.activation_names[0],
            "sliding_window": None,
            "use_cache": True,
            **self.keys(config),
        }

    def shapes(self, config: ModelConfig) -> Shapes:
        """Every parameter of a model, tied ones once."""
        width, queries = config.width, config.n_head * config.head_dim
        shapes: dict[str, tuple[int, ...]] = {self.token_embedding: (config.vocab_size, width)}

        def linear(name: str, rows: int, columns: int, biases: Biases) -> None:
            shapes[f"{name}.weight"] = (rows, columns)
            if biases in config.biases:
                shapes[f"{name}.bias"] = (rows,)

        for layer in range(config.n_layer):
            block = self.block(layer)
            for name, rows in zip(
                block.query_key_value, (queries, config.kv_dim, config.kv_dim), strict=True
            ):
                linear(name, rows, width, Biases.QUERY_KEY_VALUE)
            for norm in filter(None, (block.query_norm, block.key_norm)):
                shapes[f"{norm}.weight"] = (config.head_dim,)
            linear(block.attention_output, width, queries, Biases.ATTENTION_OUTPUT)
            for name in filter(None, (block.feed_forward_gate, block.feed_forward_in)):
                linear(name, config.inner_dim, width, Biases.FEED_FORWARD)
            linear(block.feed_forward_out, width, config.inner_dim, Biases.FEED_FORWARD)
            shapes |= _norm(config, block.attention_norm) | _norm(config, block.feed_forward_norm)
        shapes |= _norm(config, self.final_norm)
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
        """The known ends of documents, turns and files. `<tool_call>`, for one, belongs to an answer."""
        return sentinels.end_ids(special_ids)

    def fim_format(self, special_ids: Mapping[str, int]) -> FimFormat:
        """By the sentinels that the vocabulary holds; a model without them continues a text."""
        return sentinels.fim_format(special_ids, sentinels.KNOWN)

    def _refuse(self, values: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for what would change the forward pass and is not computed here."""
        for key, supported in (
            ("hidden_act", self.activation_names),
            *((key, (False,)) for key in _BIASES_OF if key not in self.bias_keys),
            ("pretraining_tp", (1,)),
            ("partial_rotary_factor", (1.0,)),
        ):
            if (value := values.get(key)) is not None and value not in supported:
                known = " or ".join(map(repr, supported))
                raise ConfigError(f"{key} = {value!r} is not supported, only {known}")
        for key in ("quantization_config", "num_local_experts"):
            if values.get(key) is not None:
                raise ConfigError(f"{key} is set: such {self.name} models are not computed here")

    def _biases(self, values: Mapping[str, Any]) -> Biases:
        biases = self.biases
        for key in self.bias_keys:
            said = values.get(key)
            biases |= _BIASES_OF[key] if (self.biased if said is None else said) else Biases.NONE
        return biases

    def _positions(self, values: Mapping[str, Any], n_positions: int) -> int:
        """The longest context, within a sliding window that every token sees whole."""
        window = values.get("sliding_window", self.default_window)
        unused = self.window_key is not None and not values.get(self.window_key, False)
        if window is None or unused:
            return n_positions
        if not isinstance(window, int) or window < 1:
            raise ConfigError(f"sliding_window = {window!r}: expected a number above 0")
        return min(n_positions, window)

    def _unrotated(self, values: Mapping[str, Any], n_layer: int) -> frozenset[int]:
        """See `ModelConfig.unrotated_layers`."""
        del values, n_layer
        return frozenset()

    def _multipliers(self, values: Mapping[str, Any], width: int) -> Multipliers:
        """See `ModelConfig.multipliers`."""
        del values, width
        return Multipliers()


LLAMA_FAMILIES = (
    LlamaFamily(
        model_type="llama",
        name="Llama",
        known_models="Llama, Code Llama, DeepSeek-Coder, Granite Code, Mellum, Seed-Coder, SmolLM2, Yi-Coder",
        bias_keys=("attention_bias", "mlp_bias"),
    ),
    LlamaFamily(
        model_type="mistral",
        name="Mistral",
        known_models="Mistral, Codestral",
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
        bias_keys=("attention_bias",),
        head_norms=True,
        default_head_dim=128,
        default_window=4_096,
        window_key="use_sliding_window",
    ),
)


def _norm(config: ModelConfig, name: str) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias") if config.norm is Norm.LAYER else ("weight",)
    return {f"{name}.{part}": (config.width,) for part in parts}
