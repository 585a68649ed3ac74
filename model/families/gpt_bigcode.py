"""GPTBigCode: StarCoder, StarCoderBase and SantaCoder (arXiv 2305.06161, §5.3 and table 6).

Owns all that is this family's: the keys of its config.json (transformers' `GPTBigCodeConfig`), the names
and shapes of its tensors, its special tokens and the orders of its prompts (§5.1). Its torch module is
`model.pytorch.gpt_bigcode`, which nothing here imports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from model.errors import ConfigError
from model.families import sentinels
from model.families.config import (
    Activation,
    Biases,
    BlockNames,
    Dropout,
    ModelConfig,
    Norm,
    Positions,
    Shapes,
)
from model.prompt.fim_format import FimFormat

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX = "<fim_prefix>"
FIM_MIDDLE = "<fim_middle>"
FIM_SUFFIX = "<fim_suffix>"
FIM_PAD = "<fim_pad>"
_FILENAME = "<filename>"

# In id order: a published StarCoder tokenizer and ours have them at ids 0 to 18.
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    FIM_PREFIX,
    FIM_MIDDLE,
    FIM_SUFFIX,
    FIM_PAD,
    _FILENAME,
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<empty_output>",
    "<commit_before>",
    "<commit_msg>",
    "<commit_after>",
    "<reponame>",
)

# tanh approximation under the names that published checkpoints use for it.
_TANH_GELU = ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")
_PREFIX = "transformer."
# Causal masks that old exports carry.
_IGNORED_ENDINGS = (".attn.bias", ".attn.masked_bias")


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """The keys of a config.json that tell one model from another, with their defaults."""

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


@dataclass(frozen=True)
class GPTBigCodeFamily:
    """See `model.families.config.Family`."""

    model_type = "gpt_bigcode"
    name = "GPTBigCode"
    known_models = "StarCoder, SantaCoder"
    special_tokens = SPECIAL_TOKENS
    end_of_text = END_OF_TEXT
    token_embedding = "transformer.wte.weight"
    position_embedding = "transformer.wpe.weight"
    output_head = "lm_head.weight"
    final_norm = "transformer.ln_f"
    linear_layers = ("c_attn", "c_proj", "c_fc")

    def read(self, values: Mapping[str, Any]) -> ModelConfig:
        """The description in a config.json's object."""
        activation = values.get("activation_function", "gelu_pytorch_tanh")
        if activation not in _TANH_GELU:
            raise ConfigError(f"activation_function {activation!r} is not one of {', '.join(_TANH_GELU)}")
        for key, supported in (("scale_attn_weights", True), ("tie_word_embeddings", True)):
            if values.get(key, supported) is not supported:
                raise ConfigError(f"{key} = {values[key]!r} is not supported, only {supported!r}")
        return self._described(_keys(values))

    def _described(self, keys: _Keys) -> ModelConfig:
        return ModelConfig(
            family=self,
            vocab_size=keys.vocab_size,
            n_positions=keys.n_positions,
            width=keys.n_embd,
            n_layer=keys.n_layer,
            n_head=keys.n_head,
            n_kv_head=1 if keys.multi_query else keys.n_head,
            head_dim=keys.n_embd // keys.n_head,
            inner_dim=keys.n_inner if keys.n_inner is not None else 4 * keys.n_embd,
            norm=Norm.LAYER,
            norm_epsilon=keys.layer_norm_epsilon,
            activation=Activation.GELU_TANH,
            positions=Positions.LEARNED,
            biases=Biases.ALL,
            tied_head=True,
            bos_token_id=keys.bos_token_id,
            end_token_ids=(keys.eos_token_id,),
            initializer_range=keys.initializer_range,
            dropout=Dropout(attention=keys.attn_pdrop, embedding=keys.embd_pdrop, residual=keys.resid_pdrop),
        )

    def keys(self, config: ModelConfig) -> dict[str, Any]:
        """What `read` reads."""
        keys = _Keys(
            vocab_size=config.vocab_size,
            n_positions=config.n_positions,
            n_embd=config.width,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_inner=None if config.inner_dim == 4 * config.width else config.inner_dim,
            multi_query=config.n_kv_head == 1,
            layer_norm_epsilon=config.norm_epsilon,
            initializer_range=config.initializer_range,
            attn_pdrop=config.dropout.attention,
            embd_pdrop=config.dropout.embedding,
            resid_pdrop=config.dropout.residual,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.end_token_ids[0],
        )
        return asdict(keys)

    def write(self, config: ModelConfig) -> dict[str, Any]:
        """The object of a config.json."""
        return {
            "architectures": ["GPTBigCodeForCausalLM"],
            "model_type": self.model_type,
            "activation_function": "gelu_pytorch_tanh",
            "attention_softmax_in_fp32": True,
            "scale_attention_softmax_in_fp32": True,
            "scale_attn_weights": True,
            "tie_word_embeddings": True,
            "use_cache": True,
            **self.keys(config),
        }

    def shapes(self, config: ModelConfig) -> Shapes:
        """Every parameter of a model, tied ones once."""
        width, inner, attention = config.width, config.inner_dim, config.width + 2 * config.kv_dim
        shapes: dict[str, tuple[int, ...]] = {
            self.token_embedding: (config.vocab_size, width),
            self.position_embedding: (config.n_positions, width),
        }
        for number in range(config.n_layer):
            block = self.block(number)
            shapes |= _module(block.attention_norm, width)
            shapes |= _module(block.query_key_value[0], attention, width)
            shapes |= _module(block.attention_output, width, width)
            shapes |= _module(block.feed_forward_norm, width)
            shapes |= _module(block.feed_forward_in, inner, width)
            shapes |= _module(block.feed_forward_out, width, inner)
        return shapes | _module(self.final_norm, width)

    def block(self, number: int) -> BlockNames:
        """The modules of a block."""
        block = f"{_PREFIX}h.{number}"
        return BlockNames(
            attention_norm=f"{block}.ln_1",
            query_key_value=(f"{block}.attn.c_attn",),
            attention_output=f"{block}.attn.c_proj",
            feed_forward_norm=f"{block}.ln_2",
            feed_forward_in=f"{block}.mlp.c_fc",
            feed_forward_out=f"{block}.mlp.c_proj",
        )

    def is_feed_forward(self, name: str) -> bool:
        """Whether a tensor or module of a block belongs to its feed-forward."""
        return ".mlp." in name

    def tensor_name(self, stored: str) -> str | None:
        """The same with the prefix that some exports leave out."""
        if stored.endswith(_IGNORED_ENDINGS):
            return None
        return stored if stored.startswith((_PREFIX, "lm_head.")) else _PREFIX + stored

    def end_ids(self, special_ids: Mapping[str, int]) -> Collection[int]:
        """All of them."""
        return special_ids.values()

    def fim_format(self, special_ids: Mapping[str, int]) -> FimFormat:
        """Suffix first or prefix first, in StarCoder's spelling or SantaCoder's."""
        return sentinels.fim_format(special_ids, (sentinels.STARCODER, sentinels.SANTACODER))


GPT_BIGCODE = GPTBigCodeFamily()


def _keys(values: Mapping[str, Any]) -> _Keys:
    """The known keys, with values of the right type; null counts as left out."""
    known = {field.name: field.type for field in fields(_Keys)}
    given = {key: value for key, value in values.items() if key in known and value is not None}
    for key, value in given.items():
        wanted = bool if key == "multi_query" else float if known[key] == "float" else int
        accepted = (int, float) if wanted is float else (wanted,)
        if not isinstance(value, accepted) or (wanted is not bool and isinstance(value, bool)):
            raise ConfigError(f"{key} = {value!r}: expected {wanted.__name__}")
    return _Keys(**given)


def _module(name: str, *weight: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}
