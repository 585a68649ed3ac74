"""What is refused, and how it is said; int8 on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.errors import CheckpointError, ConfigError
from model.families.registry import config_of, read_config
from model.pytorch.checkpoint import dense_state, load_checkpoint, save_checkpoint
from model.pytorch.device import Placement
from model.pytorch.quantize import Scheme
from tests.model.tiny import config_with, random_model, write_tiny_model

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_configuration_survives_the_disk(folder: Path) -> None:
    config = read_config(folder)
    assert config_of(config.family.write(config)) == config
    assert config.n_parameters == sum(p.numel() for p in random_model(config).parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gemma2"}, "model_type is 'gemma2'.*llama-server -m"),
        ({"n_head": 5}, "n_embd = 64 is not a multiple of n_head = 5"),
        ({"n_layer": 0}, "n_layer = 0"),
        ({"n_layer": "two"}, "n_layer = 'two': expected int"),
        ({"activation_function": "relu"}, "activation_function 'relu'"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ({"n_embd": 128}, "shape.*asks for"),
    ],
)
def test_a_configuration_that_does_not_fit(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        load_checkpoint(folder, CPU)


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.json does not exist"):
        load_checkpoint(tmp_path, CPU)


def test_broken_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_checkpoint(folder, CPU)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors"):
        load_checkpoint(folder, CPU)


def test_a_pickle_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is a pickle"):
        load_checkpoint(folder, CPU)


@pytest.mark.parametrize("keep", [4, 1000, -100])
def test_a_truncated_file(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read.*download it again"):
        load_checkpoint(folder, CPU)


def test_a_missing_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    del state["transformer.h.1.mlp.c_fc.bias"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"lack transformer\.h\.1\.mlp\.c_fc\.bias"):
        load_checkpoint(folder, CPU)


def test_a_tensor_too_many(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"transformer.h.9.ln_1.weight": torch.ones(64)}, path)
    with pytest.raises(CheckpointError, match=r"do not belong.*transformer\.h\.9"):
        load_checkpoint(folder, CPU)


def test_a_missing_shard(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, max_shard_bytes=60_000)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=f"lacks the shard {shards[1].name}"):
        load_checkpoint(folder, CPU)


def test_names_without_the_prefix_and_with_extras(folder: Path) -> None:
    """Some published files omit `transformer.` and carry masks or the tied head."""
    path = folder / "model.safetensors"
    state = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    expected = load_checkpoint(folder, CPU).state_dict()
    extra = {"h.0.attn.bias": torch.ones(1, 4, 4), "lm_head.weight": state["wte.weight"].clone()}
    save_file(state | extra, path)
    actual = load_checkpoint(folder, CPU).state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_int8_on_disk_loads_in_every_scheme(tmp_path: Path) -> None:
    config = config_with(vocab_size=288, n_positions=64, n_embd=128, n_layer=2, n_head=4)
    model = random_model(config)
    save_checkpoint(tmp_path, config, model.state_dict(), scheme=Scheme.INT8, max_shard_bytes=200_000)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1, "weights are as readable as their configuration"
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert on_disk < 1.15 * config.n_parameters, "about one byte a parameter (positions stay fp32)"
    ids = torch.arange(50)[None]
    with torch.inference_mode():
        exact = model(ids)
        for scheme, tolerance in ((Scheme.NONE, 0.06), (Scheme.INT8, 0.1), (Scheme.INT4, 0.6)):
            placement = Placement(device=CPU.device, dtype=CPU.dtype, scheme=scheme, reason="test")
            loaded = load_checkpoint(tmp_path, placement)(ids)
            assert (loaded - exact).norm() / exact.norm() < tolerance, scheme
    assert dense_state(tmp_path).keys() == model.state_dict().keys()
