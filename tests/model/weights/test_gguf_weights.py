"""A GGUF file is the same model as the folder that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from model.engine.generation import GenerationRequest
from model.errors import CheckpointError, ConfigError, ModelError, TokenizerError
from model.families.config import ModelConfig, Norm
from model.families.gguf import read_gguf, stored_name
from model.families.gpt_bigcode import SPECIAL_TOKENS
from model.families.registry import read_config
from model.families.rotary import Llama3Scaling
from model.gguf.files import Gguf
from model.native.library import native_library
from model.prompt.chat_template import ChatTemplate
from model.prompt.gguf_tokenizer import TokenType
from model.runner.sampling import SamplingParams
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody
from model.start.load import load_engine
from model.weights.gguf_weights import GgufWeights
from model.weights.hub import resolve
from model.weights.opening import describe, open_files
from model.weights.weight_files import WeightFiles
from tests.model.gguf.writing import write_gguf
from tests.model.tiny import LLAMA_SHAPES, write_tiny_llama

SHAPES = (
    *("llama", "llama, tied", "llama, linear positions", "llama, biases", "qwen2", "qwen2, yarn positions"),
    *("qwen3", "smollm3, by default", "gemma", "granite", "starcoder2"),
)
# What files cannot say otherwise.
FILE_SHAPES = LLAMA_SHAPES | {"smollm3, by default": {"model_type": "smollm3", "num_hidden_layers": 4}}
PAIRED = ("llama", "granite", "smollm3")
LLAMA_31 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8_192,
}
needs_compiled = pytest.mark.skipif(native_library() is None, reason="no compiled code here")


def paired(values: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """`permute` of llama.cpp's convert_hf_to_gguf.py."""
    return values.reshape(n_heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def metadata_of(config: ModelConfig) -> dict[str, Any]:
    arch, rotary = config.family.model_type, config.rotary
    norm = "layer_norm" if config.norm is Norm.LAYER else "layer_norm_rms"
    assert rotary is not None
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = SPECIAL_TOKENS[:-1]  # the last one's place is the merged token's: a file has merges
    types = [TokenType.CONTROL] * len(special) + [TokenType.NORMAL] * (1 + len(alphabet))
    sizes: dict[str, Any] = {
        f"{arch}.embedding_length": config.width,
        f"{arch}.block_count": config.n_layer,
        f"{arch}.attention.head_count": config.n_head,
        f"{arch}.attention.head_count_kv": config.n_kv_head,
        f"{arch}.attention.key_length": config.head_dim,
        f"{arch}.feed_forward_length": config.inner_dim,
        f"{arch}.context_length": config.n_positions,
        f"{arch}.attention.{norm}_epsilon": config.norm_epsilon,
        f"{arch}.rope.freq_base": float(rotary.theta),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "starcoder",
        "tokenizer.ggml.tokens": [*special, "ab", *alphabet],
        "tokenizer.ggml.token_type": [int(one) for one in types],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 0,
    }
    if arch == "granite":
        multipliers = config.multipliers
        sizes[f"{arch}.embedding_scale"] = multipliers.embedding
        sizes[f"{arch}.attention.scale"] = multipliers.scores
        sizes[f"{arch}.residual_scale"] = multipliers.residual
        sizes[f"{arch}.logit_scale"] = multipliers.logits_divisor
    if rotary.scaling is not None and not isinstance(rotary.scaling, Llama3Scaling):
        sizes[f"{arch}.rope.scaling.type"] = type(rotary.scaling).__name__.removesuffix("Scaling").lower()
        sizes[f"{arch}.rope.scaling.factor"] = rotary.scaling.factor
        length = getattr(rotary.scaling, "original_max_position_embeddings", None)
        if length is not None:
            sizes[f"{arch}.rope.scaling.original_context_length"] = length
    return sizes


def converted(
    folder: Path,
    *,
    architecture: str = "",
    without: str = "",
    more: Mapping[str, NDArray[np.float32]] | None = None,
    **changed: Any,
) -> Path:
    """The model of `folder` as a file, `changed` keys (with `__` for a dot) overriding its own."""
    config = read_config(folder)
    weights, tensors = WeightFiles(folder, config), {}
    for name, shape in config.family.shapes(config).items():
        values = weights.take(name, shape).floats()
        if config.family.model_type in PAIRED and ("q_proj" in name or "k_proj" in name):
            values = paired(values, config.n_head if "q_proj" in name else config.n_kv_head)
        if config.family.model_type == "gemma" and name.endswith("norm.weight"):
            values = values + 1
        tensors[stored_name(name)] = ("F32", values)
    tensors |= {name: ("F32", values) for name, values in (more or {}).items()}
    metadata = metadata_of(config) | {key.replace("__", "."): value for key, value in changed.items()}
    metadata.pop(without, None)
    architecture = architecture or config.family.model_type
    return write_gguf(folder / "model.gguf", architecture=architecture, metadata=metadata, tensors=tensors)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_description_and_the_weights_are_the_folders(tmp_path: Path, shape: str) -> None:
    path = converted(write_tiny_llama(tmp_path, **FILE_SHAPES[shape]))
    wanted, config = read_config(tmp_path), read_gguf(Gguf(path))
    assert as_doubles(config) == as_doubles(wanted)
    ours, theirs = GgufWeights(Gguf(path), config), WeightFiles(tmp_path, wanted)
    shapes = wanted.family.shapes(wanted)
    ours.check(shapes)
    for name, size in shapes.items():
        found = theirs.take(name, size).floats()
        exactly = 0 if wanted.family.model_type != "gemma" else 1e-6  # 1 was added, and taken off
        np.testing.assert_allclose(ours.take(name, size).floats(), found, rtol=0, atol=exactly)
    name = wanted.family.token_embedding
    rows = np.array([5, 200, 5])
    np.testing.assert_array_equal(
        ours.table(name, shapes[name])(rows), theirs.table(name, shapes[name])(rows)
    )


def as_doubles(config: ModelConfig) -> ModelConfig:
    """The same with its numbers rounded as a file rounds them."""
    multipliers = config.multipliers
    return replace(
        config,
        norm_epsilon=round(config.norm_epsilon, 9),
        multipliers=replace(
            multipliers,
            residual=round(multipliers.residual, 4),
            scores=None if multipliers.scores is None else round(multipliers.scores, 4),
        ),
    )


class TestLlama31:
    """Its scaling of positions is written as a factor for each turn."""

    def written(self, folder: Path, factors: NDArray[np.float32]) -> Path:
        shape = LLAMA_SHAPES["llama"] | {"rope_theta": 5e5, "rope_scaling": LLAMA_31}
        return converted(write_tiny_llama(folder, **shape), more={"rope_freqs.weight": factors})

    def factors(self, folder: Path) -> NDArray[np.float32]:
        rotary = read_config(folder).rotary
        assert rotary is not None
        plain = replace(rotary, scaling=None)
        turns, slower = (one.angles(2)[1, 1].astype(np.float64) for one in (plain, rotary))
        factors: NDArray[np.float32] = (np.arcsin(turns) / np.arcsin(slower)).astype(np.float32)
        return factors

    def test_it_is_read_from_the_factors(self, tmp_path: Path) -> None:
        self.written(tmp_path, np.ones(16, np.float32))
        path = self.written(tmp_path, self.factors(tmp_path))
        config = read_gguf(Gguf(path))
        assert config.rotary == read_config(tmp_path).rotary
        GgufWeights(Gguf(path), config).check(config.family.shapes(config))

    def test_others_are_refused(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, np.linspace(1, 8, 16, dtype=np.float32))
        with pytest.raises(ConfigError, match=r"other factors than Llama 3\.1's.*llama-server -m"):
            read_gguf(Gguf(path))


def test_a_sliding_window_that_files_do_not_say(tmp_path: Path) -> None:
    path = converted(write_tiny_llama(tmp_path, n_positions=9_000, **LLAMA_SHAPES["starcoder2"]))
    assert read_gguf(Gguf(path)).n_positions == 4_096


@needs_compiled
@pytest.mark.parametrize("shape", ["llama", "qwen2", "gemma", "granite", "starcoder2"])
def test_an_engine_says_the_same_from_either(tmp_path: Path, shape: str) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape]))
    answers = []
    for where in (tmp_path, resolve(str(path)).folder):
        engine = load_engine(where, device="cpu", quantize="int8")
        engine.submit(
            GenerationRequest(
                prompt_ids=engine.tokenizer.encode("def f(a, b):\n"),
                sampling=SamplingParams(max_new_tokens=20),
                ignore_eos=True,
            )
        )
        answers.append([token for _ in range(40) for _, delta in engine.step() for token in delta.token_ids])
    assert len(answers[0]) == 20
    assert answers[0] == answers[1]


@needs_compiled
def test_what_begins_a_text_begins_each_prompt(tmp_path: Path) -> None:
    """In a file as in a folder: a first token, and SentencePiece's space."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "x", "▁x"]
    path = converted(
        write_tiny_llama(tmp_path, **LLAMA_SHAPES["gemma"]),
        tokenizer__ggml__model="llama",
        tokenizer__ggml__tokens=pieces,
        tokenizer__ggml__scores=[0.0] * len(pieces),
        tokenizer__ggml__token_type=[2, 3, 3, *[6] * 256, 1, 1, 1],
    )
    engine = load_engine(path, device="cpu", quantize="int8")
    request = generation_request(CompletionBody(prompt="x x"), engine.tokenizer, engine.config)
    assert [pieces[one] for one in request.prompt_ids] == ["<s>", "▁x", "▁x"]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"architecture": "bert"}, ConfigError, "architecture is 'bert'.*llama-server -m"),
        ({"qwen2__expert_count": 8}, ConfigError, "num_local_experts is set"),
        ({"qwen2__rope__dimension_count": 16}, ConfigError, "partial_rotary_factor = 0.5"),
        ({"qwen2__rope__scaling__type": "longrope"}, ConfigError, "rope_type = 'longrope'"),
        ({"without": "qwen2.block_count"}, ConfigError, "it lacks qwen2.block_count"),
        ({"tokenizer__ggml__pre": "viking"}, TokenizerError, "pre-tokenizer is 'viking'.*llama-server -m"),
    ],
)
def test_what_is_not_computed_is_refused_by_its_name(
    tmp_path: Path, changed: dict[str, Any], error: type[ModelError], message: str
) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"]), **changed)
    with pytest.raises(error, match=message) as refused:
        load_engine(path, device="cpu")
    assert str(path) in str(refused.value)


def test_a_tensor_that_has_no_place_is_refused(tmp_path: Path) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES["llama"]))
    config = read_gguf(Gguf(path))
    fewer = {name: shape for name, shape in config.family.shapes(config).items() if name != "lm_head.weight"}
    weights = GgufWeights(Gguf(path), config)
    with pytest.raises(CheckpointError, match=r"1 weights do not belong.*output\.weight"):
        weights.check(fewer)
    with pytest.raises(CheckpointError, match="has shape"):
        weights.take("lm_head.weight", (3, 128))


def test_a_file_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = converted(write_tiny_llama(tmp_path / "models", **LLAMA_SHAPES["qwen2"]))
    monkeypatch.chdir(tmp_path)
    relative = resolve("models/model.gguf")  # which could be an id on the hub
    assert (relative.folder.resolve(), relative.name, relative.license) == (path, "model", None)
    assert describe(open_files(path)) == read_gguf(Gguf(path))
    assert describe(open_files(path.parent)) == read_config(path.parent)


def test_full_precision_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"]))
    with pytest.raises(ConfigError, match=r"quantize = 'none'.*llama-server -m .*engine\.url"):
        load_engine(path, device="cpu", quantize="none")


def test_the_chat_template_is_the_files(tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"])
    assert ChatTemplate.of_gguf(Gguf(converted(folder)).metadata) is None
    source = "{{ eos_token }}{{ messages[0]['content'] }}"
    template = ChatTemplate.of_gguf(Gguf(converted(folder, tokenizer__chat_template=source)).metadata)
    assert template is not None
