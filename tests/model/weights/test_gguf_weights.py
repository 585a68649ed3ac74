"""A GGUF file is the same model as the folder that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from model.engine.generation import GenerationRequest
from model.errors import CheckpointError, ConfigError, ModelError, TokenizerError
from model.families.config import ModelConfig
from model.families.gguf import read_gguf, stored_name
from model.families.gpt_bigcode import SPECIAL_TOKENS
from model.families.registry import read_config
from model.gguf.files import Gguf
from model.native.library import native_library
from model.prompt.chat_template import ChatTemplate
from model.prompt.gguf_tokenizer import TokenType
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from model.weights.gguf_weights import GgufWeights
from model.weights.hub import resolve
from model.weights.opening import describe
from model.weights.weight_files import WeightFiles
from tests.model.gguf.writing import write_gguf
from tests.model.tiny import LLAMA_SHAPES, write_tiny_llama

SHAPES = ("llama", "llama, tied", "llama, linear positions", "qwen2", "qwen2, yarn positions", "qwen3")
needs_compiled = pytest.mark.skipif(native_library() is None, reason="no compiled code here")


def paired(values: NDArray[np.float32], n_heads: int) -> NDArray[np.float32]:
    """`permute` of llama.cpp's convert_hf_to_gguf.py."""
    return values.reshape(n_heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def metadata_of(config: ModelConfig) -> dict[str, Any]:
    arch, rotary = config.family.model_type, config.rotary
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
        f"{arch}.attention.layer_norm_rms_epsilon": config.norm_epsilon,
        f"{arch}.rope.freq_base": float(rotary.theta),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "starcoder",
        "tokenizer.ggml.tokens": [*special, "ab", *alphabet],
        "tokenizer.ggml.token_type": [int(one) for one in types],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 0,
    }
    if rotary.scaling is not None:
        sizes[f"{arch}.rope.scaling.type"] = type(rotary.scaling).__name__.removesuffix("Scaling").lower()
        sizes[f"{arch}.rope.scaling.factor"] = rotary.scaling.factor
        length = getattr(rotary.scaling, "original_max_position_embeddings", None)
        if length is not None:
            sizes[f"{arch}.rope.scaling.original_context_length"] = length
    return sizes


def converted(folder: Path, *, architecture: str = "", without: str = "", **changed: Any) -> Path:
    """The model of `folder` as a file, `changed` keys (with `__` for a dot) overriding its own."""
    config = read_config(folder)
    weights, tensors = WeightFiles(folder, config.family), {}
    for name, shape in config.family.shapes(config).items():
        values = weights.take(name, shape).floats()
        if config.family.model_type == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            values = paired(values, config.n_head if "q_proj" in name else config.n_kv_head)
        tensors[stored_name(name)] = ("F32", values)
    metadata = metadata_of(config) | {key.replace("__", "."): value for key, value in changed.items()}
    metadata.pop(without, None)
    architecture = architecture or config.family.model_type
    return write_gguf(folder / "model.gguf", architecture=architecture, metadata=metadata, tensors=tensors)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_description_and_the_weights_are_the_folders(tmp_path: Path, shape: str) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape]))
    wanted, config = read_config(tmp_path), read_gguf(Gguf(path))
    for field in ("vocab_size", "width", "n_kv_head", "head_dim", "inner_dim", "tied_head", "biases"):
        assert getattr(config, field) == getattr(wanted, field), field
    assert (config.n_positions, config.rotary) == (wanted.n_positions, wanted.rotary)
    assert config.end_token_ids == (0,)
    ours, theirs = GgufWeights(path, config), WeightFiles(tmp_path, wanted.family)
    shapes = wanted.family.shapes(wanted)
    ours.refuse_unexpected(shapes)
    for name, size in shapes.items():
        found = theirs.take(name, size).floats()
        np.testing.assert_array_equal(ours.take(name, size).data, found)
        np.testing.assert_array_equal(np.concatenate([p.data for p in ours.parts(name, size)]), found)
    name = wanted.family.token_embedding
    rows = np.array([5, 200, 5])
    np.testing.assert_array_equal(
        ours.table(name, shapes[name])(rows), theirs.table(name, shapes[name])(rows)
    )


@needs_compiled
@pytest.mark.parametrize("shape", ["llama", "qwen2"])
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


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"architecture": "bert"}, ConfigError, "architecture is 'bert'.*llama-server -m"),
        ({"qwen2__expert_count": 8}, ConfigError, "num_local_experts is set"),
        ({"qwen2__rope__scaling__type": "longrope"}, ConfigError, "rope_type = 'longrope'"),
        ({"without": "qwen2.block_count"}, ConfigError, "it lacks qwen2.block_count"),
        ({"tokenizer__ggml__add_bos_token": True}, TokenizerError, "first token.*llama-server -m"),
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
    weights = GgufWeights(path, config)
    with pytest.raises(CheckpointError, match=r"1 weights do not belong.*output\.weight"):
        weights.refuse_unexpected(fewer)
    with pytest.raises(CheckpointError, match="has shape"):
        weights.take("lm_head.weight", (3, 128))


def test_a_file_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = converted(write_tiny_llama(tmp_path / "models", **LLAMA_SHAPES["qwen2"]))
    monkeypatch.chdir(tmp_path)
    relative = resolve("models/model.gguf")  # which could be an id on the hub
    assert (relative.folder.resolve(), relative.name, relative.license) == (path, "model", None)
    assert describe(path) == read_gguf(Gguf(path))
    assert describe(path.parent) == read_config(path.parent)


def test_full_precision_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = converted(write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"]))
    with pytest.raises(ConfigError, match=r"quantize = 'none'.*llama-server -m .*engine\.url"):
        load_engine(path, device="cpu", quantize="none")


def test_the_chat_template_is_the_files(tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"])
    assert ChatTemplate.of_folder(converted(folder)) is None
    source = "{{ eos_token }}{{ messages[0]['content'] }}"
    template = ChatTemplate.of_folder(converted(folder, tokenizer__chat_template=source))
    assert template is not None
