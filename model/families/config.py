"""What a model is, whichever family it is of: the one description that runners, kernels, the engine,
training and plans ask.

Owns the description and what a family must say to have one. Knows no family by name and no file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from typing import Any, Protocol

from model.errors import ConfigError
from model.families.rotary import Rotary
from model.families.values import MOST, MOST_LAYERS, MOST_POSITIONS
from model.prompt.fim_format import FimFormat

CONFIG_FILE = "config.json"

# Parameters by the names that checkpoints give them.
Shapes = Mapping[str, tuple[int, ...]]


class Norm(StrEnum):
    """How a block's inputs are normalised."""

    LAYER = "LayerNorm"
    RMS = "RMSNorm"
    RMS_FROM_ONE = "RMSNorm, its weights stored less one"


class Activation(StrEnum):
    """What stands between the layers of a feed-forward."""

    GELU_TANH = "GELU, tanh approximation"
    SILU = "SiLU"


class Positions(StrEnum):
    """How a token knows its place."""

    LEARNED = "learned"
    ROTARY = "rotary"


class Biases(Flag):
    """Which linear layers of a block have them."""

    NONE = 0
    QUERY_KEY_VALUE = auto()
    ATTENTION_OUTPUT = auto()
    FEED_FORWARD = auto()
    ATTENTION = QUERY_KEY_VALUE | ATTENTION_OUTPUT
    ALL = ATTENTION | FEED_FORWARD


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Shares that training drops."""

    attention: float = 0.0
    embedding: float = 0.0
    residual: float = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is dropped."""
        return max(self.attention, self.embedding, self.residual) > 0


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """Numbers that parts of a model are multiplied with, the logits divided by."""

    embedding: float = 1.0
    scores: float | None = None
    """None: 1 / √ the width of a head."""
    residual: float = 1.0
    """What each half of a block adds to the hidden states."""
    logits_divisor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class BlockNames:
    """A block's modules, as checkpoints call them: `<name>.weight` and, with biases, `<name>.bias`."""

    attention_norm: str
    query_key_value: tuple[str, ...]
    """One for all three, or queries, keys and values, each head by head."""
    attention_output: str
    feed_forward_norm: str
    feed_forward_in: str
    feed_forward_out: str
    feed_forward_gate: str | None = None
    """What the activation is of, where the inner features are multiplied with it."""
    query_norm: str | None = None
    """Of each head, before it is rotated."""
    key_norm: str | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """All that there are."""
        rest = (
            self.attention_norm,
            self.attention_output,
            self.feed_forward_norm,
            self.feed_forward_in,
            self.feed_forward_out,
            self.feed_forward_gate,
            self.query_norm,
            self.key_norm,
        )
        return (*self.query_key_value, *(name for name in rest if name is not None))


class Family(Protocol):
    """What all models of one `model_type` have in common."""

    @property
    def model_type(self) -> str:
        """What config.json calls it."""

    @property
    def name(self) -> str:
        """What people call the architecture."""

    @property
    def known_models(self) -> str:
        """Models that people know it by."""

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The special tokens of its tokenizers, in the order of their ids."""

    @property
    def end_of_text(self) -> str:
        """The one of them that ends a document."""

    @property
    def token_embedding(self) -> str:
        """The tensor of the token embedding."""

    @property
    def position_embedding(self) -> str | None:
        """The tensor of the learned positions; None where there are none."""

    @property
    def output_head(self) -> str:
        """The tensor of an output head that is not the token embedding."""

    @property
    def final_norm(self) -> str:
        """The module of the norm after the last block."""

    @property
    def linear_layers(self) -> tuple[str, ...]:
        """The last parts of the names of a block's linear layers: what adapters are put beside."""

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """The description in a config.json's object. Raises `ConfigError`, which names the key.

        Keys that do not change the forward pass are passed over; those that would change it and are
        not supported are errors.
        """

    def keys(self, config: ModelConfig) -> dict[str, Any]:
        """The inverse: the keys of config.json that tell one model of the family from another."""

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The whole object of a config.json that both this package and transformers read."""

    def shapes(self, config: ModelConfig) -> Shapes:
        """Every parameter of a model, tied ones once."""

    def block(self, number: int) -> BlockNames:
        """The modules of a block."""

    def is_feed_forward(self, name: str) -> bool:
        """Whether a tensor or module of a block belongs to its feed-forward."""

    def tensor_name(self, stored: str) -> str | None:
        """A tensor's name by what a file calls it; None for one that says nothing (a mask)."""

    def end_ids(self, special_ids: Mapping[str, int]) -> Collection[int]:
        """The special tokens of a tokenizer after which another text would follow."""

    def fim_format(self, special_ids: Mapping[str, int]) -> FimFormat:
        """The prompts of a tokenizer with those special tokens. Raises `TokenizerError` if one is missing."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The description of one model. Its family reads it from a config.json and writes it into one."""

    family: Family
    vocab_size: int
    n_positions: int
    """The longest context, in tokens."""
    width: int
    """Of the hidden states."""
    n_layer: int
    n_head: int
    n_kv_head: int
    """Key/value heads: one for multi-query attention, as many as query heads for multi-head."""
    head_dim: int
    inner_dim: int
    """Width within a feed-forward."""
    norm: Norm
    norm_epsilon: float
    activation: Activation
    positions: Positions
    rotary: Rotary | None = None
    """The turns of rotary positions."""
    unrotated_layers: frozenset[int] = frozenset()
    """Layers whose queries and keys are not turned."""
    biases: Biases
    tied_head: bool
    """Whether the output head is the token embedding."""
    bos_token_id: int
    end_token_ids: tuple[int, ...]
    """Tokens after which nothing more is decoded."""
    initializer_range: float
    """Standard deviation of a new model's weights."""
    multipliers: Multipliers = Multipliers()
    dropout: Dropout = Dropout()

    def __post_init__(self) -> None:
        """Raises `ConfigError` for sizes that no model has."""
        limits = {"n_layer": MOST_LAYERS, "n_positions": MOST_POSITIONS}
        for name in ("n_layer", "n_positions", "vocab_size", "width", "n_head", "head_dim", "inner_dim"):
            value, most = getattr(self, name), limits.get(name, MOST)
            if value > most:
                raise ConfigError(f"{name} = {value:,}: no model has more than {most:,}")

    @property
    def score_scale(self) -> float:
        """What the products of queries and keys are multiplied with."""
        scores = self.multipliers.scores
        return self.head_dim**-0.5 if scores is None else scores

    @property
    def kv_dim(self) -> int:
        """Width of the keys (and of the values) of one token in one layer."""
        return self.n_kv_head * self.head_dim

    @property
    def n_parameters(self) -> int:
        """Parameters, tied ones counted once."""
        return sum(map(math.prod, self.family.shapes(self).values()))

    @property
    def n_multiplying(self) -> int:
        """Parameters that every token is multiplied with: positions are only looked up."""
        shapes = self.family.shapes(self).items()
        return sum(math.prod(shape) for name, shape in shapes if name != self.family.position_embedding)
