"""Every family of the registry says all of itself, and fits the PyTorch module it is built of."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from safetensors.torch import save_file

from model.errors import ConfigError, TokenizerError
from model.families.config import CONFIG_FILE, Family, ModelConfig
from model.families.registry import FAMILIES, OWN_FAMILY, config_of, family_of, read_config
from model.prompt.fim_format import FimOrder
from model.pytorch.modules import MODULES, build
from model.weights.weight_files import SINGLE_FILE, WeightFiles

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def described(family: Family) -> ModelConfig:
    return config_of({"model_type": family.model_type})


def ids_of(family: Family) -> dict[str, int]:
    return {name: number for number, name in enumerate(family.special_tokens)}


def test_each_family_is_found_by_its_model_type() -> None:
    assert all(family_of(model_type) == family for model_type, family in FAMILIES.items())
    assert MODULES.keys() == FAMILIES.keys(), "each has a module in PyTorch"
    assert OWN_FAMILY in FAMILIES.values()


@pytest.mark.parametrize("model_type", ["gemma2", None, 7, ["gpt_bigcode"]])
def test_an_unknown_model_type_is_refused_with_the_remedy(tmp_path: Path, model_type: object) -> None:
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ConfigError) as refused:
        read_config(tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / CONFIG_FILE}: model_type is {model_type!r}; only 'gpt_bigcode' (")
    assert all(f"'{known}' (" in message for known in FAMILIES)
    assert message.endswith(
        " are loaded here. Serve it with `llama-server -m FILE.gguf` and set engine.url to http://127.0.0.1:8080/v1."
    )


@pytest.mark.parametrize(("text", "message"), [("[]", "is list, not an object"), ("{", "is not valid JSON")])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path)


@every_family
def test_a_description_has_every_field(family: Family) -> None:
    config = described(family)
    hints = get_type_hints(ModelConfig)
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(hints[field.name], type) and field.name != "family":
            assert isinstance(value, hints[field.name]), field.name
    assert config.family == family
    assert config.end_token_ids
    for size in ("vocab_size", "n_positions", "width", "n_layer", "n_head", "n_kv_head", "inner_dim"):
        assert getattr(config, size) >= 1
    assert config.kv_dim == config.n_kv_head * config.head_dim


@every_family
def test_what_is_written_is_read_again(family: Family) -> None:
    config = replace(described(family), n_layer=5, n_positions=77, bos_token_id=5, end_token_ids=(6,))
    config = replace(config, unrotated_layers=config.unrotated_layers & set(range(5)))
    assert config_of(family.write(config)) == config
    assert family.read(family.keys(config)) == config
    assert config_of(json.loads(json.dumps(family.write(config)))) == config


@every_family
def test_names_and_shapes_are_those_of_the_pytorch_module(family: Family) -> None:
    config = replace(described(family), n_layer=2)
    with torch.device("meta"):
        model = build(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert family.shapes(config) == shapes
    assert config.n_parameters == sum(parameter.numel() for parameter in model.parameters())
    modules = dict(model.named_modules())
    assert modules[family.token_embedding.removesuffix(".weight")] is model.token_embedding
    if family.position_embedding is None:
        assert model.position_embedding is None
    else:
        assert modules[family.position_embedding.removesuffix(".weight")] is model.position_embedding
    assert modules[family.final_norm] is model.final_norm
    for number, block in enumerate(model.blocks):
        inside = {id(module) for module in block.modules()}
        names = family.block(number).modules
        assert len(set(names)) == len(names)
        assert all(id(modules[name]) in inside for name in names)
        linear = {name for name in names if isinstance(modules[name], torch.nn.Linear)}
        assert {name.rpartition(".")[2] for name in linear} == set(family.linear_layers)
        block_names = family.block(number)
        feed_forward = {
            block_names.feed_forward_in,
            block_names.feed_forward_out,
            block_names.feed_forward_gate,
        }
        assert {name for name in linear if family.is_feed_forward(name)} == feed_forward - {None}


@every_family
def test_prompts_have_an_id_for_each_of_their_tokens(family: Family) -> None:
    fim = family.fim_format(ids_of(family))
    assert fim.orders
    assert fim.middle_id is not None
    ids = [fim.prefix_id, fim.middle_id, fim.suffix_id, fim.end_of_text_id]
    assert len(set(ids)) == 4
    assert fim.end_of_text_id == ids_of(family)[family.end_of_text]
    for order in fim.orders:
        laid_out = fim.arrange(order, [100, 101], [102])
        assert sorted(laid_out) == sorted([100, 101, 102, *ids[:3]])


@every_family
def test_a_tokenizer_that_cannot_fill_in_is_refused(family: Family) -> None:
    with pytest.raises(TokenizerError, match=r"lacks .*: this model cannot fill in the middle\. Take one"):
        family.fim_format({family.end_of_text: 0})


class TestGPTBigCode:
    family = FAMILIES["gpt_bigcode"]

    def test_the_orders_are_the_papers(self) -> None:
        fim = self.family.fim_format(ids_of(self.family))
        assert fim.arrange(FimOrder.PSM, [50, 51], [60]) == [1, 50, 51, 3, 60, 2]
        assert fim.arrange(FimOrder.SPM, [50, 51], [60]) == [1, 3, 60, 2, 50, 51]
        assert (fim.pad_id, fim.filename_id) == (4, 5)

    def test_nineteen_special_tokens(self) -> None:
        names = self.family.special_tokens
        assert len(set(names)) == 19
        assert (names[0], names[18]) == ("<|endoftext|>", "<reponame>")

    def test_santacoders_spelling(self) -> None:
        named = ("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>")
        fim = self.family.fim_format({name: 49_152 + number for number, name in enumerate(named)})
        assert (fim.prefix_id, fim.middle_id, fim.suffix_id, fim.pad_id) == (49_153, 49_154, 49_155, 49_156)
        assert fim.filename_id is None

    def test_multi_head_and_an_inner_width_of_its_own(self) -> None:
        config = self.family.read({"multi_query": False, "n_inner": 200, "n_embd": 64, "n_head": 4})
        assert (config.n_kv_head, config.kv_dim, config.inner_dim) == (4, 64, 200)
        written = self.family.write(config)
        assert (written["multi_query"], written["n_inner"]) == (False, 200)
        assert self.family.write(self.family.read({}))["n_inner"] is None

    def test_names_that_exports_leave_out_or_add(self, tmp_path: Path) -> None:
        tensors = {"wte.weight": torch.ones(2), "h.0.attn.bias": torch.ones(1)}
        tensors |= {"lm_head.weight": torch.ones(2), "transformer.ln_f.bias": torch.ones(3)}
        save_file(tensors, tmp_path / SINGLE_FILE)
        weights = WeightFiles(tmp_path, self.family.read({}))
        weights.check({"transformer.wte.weight": (2,), "transformer.ln_f.bias": (3,)})
        assert weights.take("transformer.wte.weight", (2,)).data.tolist() == [1, 1]
