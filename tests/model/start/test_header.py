"""What is refused before a weight is read: by an engine, and so by `doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lsp.cli.doctor import check_model, find_model
from lsp.settings.settings import Settings
from model.engine.generation import GenerationRequest
from model.errors import ModelError
from model.families.registry import config_of
from model.runner.sampling import SamplingParams
from model.start.header import read_header
from model.start.load import load_engine
from model.weights.hub import resolve
from model.weights.weight_files import INDEX_FILE, SINGLE_FILE
from tests.model.tiny import LLAMA_SHAPES, write_tiny_llama, write_tiny_model

Arrays = dict[str, np.ndarray]


def changed(change: Callable[[Arrays], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        path = folder / SINGLE_FILE
        arrays = load_file(path)
        change(arrays)
        path.unlink()
        save_file(arrays, path)

    return write


def indexed(weight_map: object) -> Callable[[Path], object]:
    return lambda folder: (folder / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


NAME = "transformer.h.1.mlp.c_fc.weight"
# What is done to a folder, and what is said of it.
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tensor is missing": (changed(lambda arrays: arrays.pop(NAME)), f"the weights lack {NAME}"),
    "another shape": (
        changed(lambda arrays: arrays.update({NAME: arrays[NAME][1:].copy()})),
        r"has shape \(255, 64\), the configuration asks for \(256, 64\)",
    ),
    "another number type": (
        changed(lambda arrays: arrays.update({NAME: arrays[NAME].astype(np.float64)})),
        "is stored as F64",
    ),
    "int8 without its scale": (
        changed(lambda arrays: arrays.update({NAME: arrays[NAME].astype(np.int8)})),
        rf"the weights lack {NAME}\.scale",
    ),
    "a tensor too many": (changed(lambda arrays: arrays.update(more=np.ones(1))), "do not belong to"),
    "a number for a shard": (indexed({"a": 5}), "names 5 as a shard"),
    "a list for a shard": (indexed({"a": [SINGLE_FILE]}), "is not a safetensors index"),
    "a shard beside the folder": (
        indexed({NAME: f"../base/{SINGLE_FILE}"}),
        rf"names '\.\./base/{SINGLE_FILE}' as a shard",
    ),
    "a shard at a whole path": (indexed({NAME: f"/{SINGLE_FILE}"}), "which is no file of its folder"),
    "a damaged header": (written(SINGLE_FILE, "{}"), "truncated or damaged"),
    "a damaged tokenizer": (written("tokenizer.json", "{}"), "cannot be read"),
    "a damaged tokenizer_config": (written("tokenizer_config.json", "{"), "cannot be read"),
    "a template that is none": (written("chat_template.jinja", "{{ x"), "is not valid"),
}


@pytest.mark.parametrize(("damage", "said"), BROKEN.values(), ids=BROKEN)
def test_doctor_refuses_what_the_engine_refuses(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    write_tiny_model(tmp_path / "base")
    folder = write_tiny_model(tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError, match=said) as refused:
        load_engine(folder, device="cpu")
    assert "\n" not in str(refused.value)
    settings, _ = Settings.from_mapping({"model": str(folder)}, source="test")
    assert check_model(settings, find_model(settings)).remedy == str(refused.value)


@pytest.mark.parametrize("quantize", ["int8", "none"])
@pytest.mark.parametrize("shape", ["gpt_bigcode", "llama, tied"])
def test_what_is_tied_may_stand_under_the_heads_name_alone(tmp_path: Path, shape: str, quantize: str) -> None:
    if shape == "gpt_bigcode":
        folder = write_tiny_model(tmp_path)
    else:
        folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape])
    family = read_header(folder).config.family
    request = GenerationRequest(
        prompt_ids=list(range(30, 60)), sampling=SamplingParams(max_new_tokens=4), ignore_eos=True
    )

    def answer() -> list[int]:
        engine = load_engine(folder, device="cpu", quantize=quantize)
        handle = engine.submit(request)
        return [
            token for _ in iter(lambda: handle.done, True) for _, d in engine.step() for token in d.token_ids
        ]

    wanted = answer()
    changed(lambda arrays: arrays.update({family.output_head: arrays.pop(family.token_embedding)}))(folder)
    assert answer() == wanted


def test_a_folder_that_is_here_comes_before_an_id_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_model(tmp_path / "m" / "base")
    monkeypatch.chdir(tmp_path)
    assert resolve("m/base", offline=True).folder.resolve() == folder.resolve()


def test_santacoder_of_old_says_where_the_new_one_is() -> None:
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadCustomModel"],
        "attention_head_type": "multiquery",
        "activation_function": "gelu_fast",
    }
    with pytest.raises(ModelError, match="bigcode/gpt_bigcode-santacoder has the same weights"):
        config_of(config)
    with pytest.raises(ModelError, match="model_type is 'gpt2'; only"):
        config_of({"model_type": "gpt2"})
