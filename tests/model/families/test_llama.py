"""What the families of Llama's shape read out of a config.json, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import ConfigError, TokenizerError
from model.families.config import Biases
from model.families.registry import FAMILIES, config_of
from model.families.rotary import LinearScaling, Llama3Scaling, YarnScaling
from model.prompt.fim_format import FimOrder

QWEN_TOKENS = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>")
SMALL = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 8_000}


def read(model_type: str, **values: Any) -> Any:
    return config_of(SMALL | {"model_type": model_type} | values)


def test_what_tells_the_families_apart() -> None:
    assert read("qwen2").biases is Biases.QUERY_KEY_VALUE
    assert read("llama").biases is Biases.NONE
    assert FAMILIES["qwen3"].block(3).query_norm == "model.layers.3.self_attn.q_norm"
    assert FAMILIES["qwen2"].block(3).query_norm is None
    assert (read("llama").head_dim, read("qwen3").head_dim) == (16, 128)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_description_survives_being_written(model_type: str) -> None:
    scalings = (
        None,
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 100},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 100,
        },
    )
    for scaling in scalings:
        config = read(model_type, rope_theta=5e5, rope_scaling=scaling, tie_word_embeddings=True)
        assert config_of(config.family.write(config)) == config


def test_several_end_tokens() -> None:
    assert read("llama", eos_token_id=[7, 9]).end_token_ids == (7, 9)
    assert read("llama", eos_token_id=7, bos_token_id=None).bos_token_id == 7
    with pytest.raises(ConfigError, match="eos_token_id"):
        read("llama", eos_token_id="</s>")


@pytest.mark.parametrize(
    ("model_type", "values", "n_positions"),
    [
        ("mistral", {}, 4_096),
        ("mistral", {"sliding_window": None}, 8_000),
        ("mistral", {"sliding_window": 100}, 100),
        ("mistral", {"sliding_window": 9_000}, 8_000),
        ("qwen2", {"sliding_window": 100}, 8_000),
        ("qwen2", {"sliding_window": 100, "use_sliding_window": True}, 100),
        ("llama", {}, 8_000),
    ],
)
def test_the_context_ends_at_the_sliding_window(
    model_type: str, values: dict[str, Any], n_positions: int
) -> None:
    assert read(model_type, **values).n_positions == n_positions


def test_rotary_positions_in_either_spelling() -> None:
    scaling = {"rope_type": "linear", "factor": 4.0}
    old = read("llama", rope_theta=5e5, rope_scaling=scaling)
    assert old == read("llama", rope_parameters={"rope_theta": 5e5, **scaling})
    assert old.rotary is not None
    assert (old.rotary.theta, old.rotary.scaling) == (5e5, LinearScaling(factor=4.0))
    named = read("llama", rope_scaling={"type": "yarn", "factor": 2.0})
    assert named.rotary.scaling == YarnScaling(factor=2.0, original_max_position_embeddings=8_000)
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    assert isinstance(read("llama", rope_scaling=llama3).rotary.scaling, Llama3Scaling)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported, only 1.0"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ({"num_key_value_heads": 3}, "num_attention_heads = 4 is not a multiple of num_key_value_heads = 3"),
        ({"hidden_size": "64"}, "hidden_size = '64': expected int"),
        ({"vocab_size": 0}, "vocab_size = 0: it must be at least 1"),
        ({"head_dim": 5}, "head_dim = 5"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope_type = 'longrope': only default"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor = 0: expected a number above 0"),
        ({"rope_scaling": {"rope_type": "linear"}}, "type linear: .*factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0}}, "mscale = 1.0 is not known"),
        ({"rope_theta": "1e6"}, "rope_theta = '1e6'"),
    ],
)
def test_what_is_not_computed_is_refused_by_its_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read("llama", **values)


class TestPrompts:
    family = FAMILIES["qwen2"]

    def test_prefix_first_alone(self) -> None:
        fim = self.family.fim_format({name: number for number, name in enumerate(QWEN_TOKENS)})
        assert fim.orders == (FimOrder.PSM,)
        assert fim.arrange(FimOrder.PSM, [50, 51], [60]) == [1, 50, 51, 3, 60, 2]

    def test_a_tokenizer_without_the_tokens_is_named_what_it_lacks(self) -> None:
        with pytest.raises(TokenizerError, match=r"lacks <\|fim_prefix\|>: this model cannot fill in"):
            self.family.fim_format({"<s>": 1})

    def test_not_every_special_token_ends_an_answer(self) -> None:
        ids = {"<|endoftext|>": 0, "<|im_end|>": 2, "<|file_sep|>": 3, "<tool_call>": 4, "<|im_start|>": 1}
        assert set(self.family.end_ids(ids)) == {0, 2, 3}
        assert set(FAMILIES["gpt_bigcode"].end_ids(ids)) == set(ids.values())
