from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPTBigCodeForCausalLM

from model.families.gpt_bigcode import SPECIAL_TOKENS
from model.families.registry import read_config
from model.prompt.tokenizer import Tokenizer
from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import load_checkpoint as load_model
from model.pytorch.device import Placement
from model.pytorch.gpt_bigcode import GPTBigCode
from model.pytorch.quantize import Scheme
from model.weights.hub import resolve
from tests.training.tiny import recipe
from training.compute.positions import extended_positions
from training.data.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer
from training.errors import TrainingError
from training.jobs.export import export_checkpoint, newest_checkpoint
from training.loop.checkpointing import Checkpoint, RunState, checkpoints, save_checkpoint

STAGES = [{"seq_len": 32}, {"start": 0.5, "seq_len": 64}]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    texts = ["for item in items:\n    print(item)\n"] * 40
    save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=290)), folder)
    return folder


def trained(stage_samples: tuple[int, int]) -> Checkpoint:
    model_config = {"vocab_size": 300, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    made = recipe(4, model=model_config, stages=STAGES)
    model = GPTBigCode(made.model)
    model.init_weights(torch.Generator().manual_seed(1))
    state = RunState(step=4, stage_samples=stage_samples)
    values = json.loads(json.dumps(made.to_dict(), default=str))
    return Checkpoint(state=state, recipe=values, model=dict(model.state_dict()), optimizer={})


def ours(folder: Path) -> CausalLM:
    placement = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="test")
    return load_model(folder, placement)


def test_transformers_loads_an_export_with_equal_logits(tmp_path: Path, tokenizer: Path) -> None:
    export_checkpoint(trained((8, 8)), tmp_path / "model", tokenizer)
    theirs = GPTBigCodeForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    ids = torch.randint(0, 300, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (theirs(ids).logits - ours(tmp_path / "model")(ids)).abs().max()
    assert difference < 1e-4
    assert (tmp_path / "model" / "tokenizer.json").is_file()


def same_tokens(folder: Path) -> None:
    """transformers' own loader and our tokenizer agree, also on special tokens."""
    theirs, own = AutoTokenizer.from_pretrained(folder), Tokenizer.from_folder(folder)
    for text in ("for item in items:\n    print(item)\n", "x = 1234\t# naïve 𝔘\r\n", " a , b"):
        assert theirs.encode(text) == own.encode(text)
        assert theirs.decode(theirs.encode(text)) == text
    assert theirs.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(19))
    assert theirs.encode("<fim_prefix>") == [1]
    assert set(SPECIAL_TOKENS) <= set(theirs.all_special_tokens)
    assert theirs.eos_token_id == theirs.bos_token_id == 0
    assert theirs.model_max_length == read_config(folder).n_positions


def test_transformers_loads_the_tokenizer_of_an_export_and_of_the_starter(
    tmp_path: Path, tokenizer: Path
) -> None:
    export_checkpoint(trained((8, 8)), tmp_path / "model", tokenizer)
    same_tokens(tmp_path / "model")
    same_tokens(resolve("starter").folder)


def test_a_chat_template_stays_with_its_model(tmp_path: Path, tokenizer: Path) -> None:
    config = {"eos_token": "<|endoftext|>", "chat_template": "{{ messages }}", "model_max_length": 8_192}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tokenizer / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    export_checkpoint(trained((8, 8)), tmp_path / "model", tokenizer)
    written = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert written == {**config, "model_max_length": 64}
    assert (tmp_path / "model" / "chat_template.jinja").is_file()


def test_an_int8_export_is_close_and_smaller(tmp_path: Path, tokenizer: Path) -> None:
    exact, small = tmp_path / "bf16", tmp_path / "int8"
    export_checkpoint(trained((8, 8)), exact, tokenizer)
    export_checkpoint(trained((8, 8)), small, tokenizer, Scheme.INT8)
    ids = torch.randint(0, 300, (1, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = ours(exact)(ids), ours(small)(ids)
    assert (a - b).abs().max() < 0.05 * a.abs().max()
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (exact, small)]
    assert sizes[1] < 0.75 * sizes[0]


def test_positions_that_were_never_trained_are_cut(tmp_path: Path, tokenizer: Path) -> None:
    exported = export_checkpoint(trained((8, 0)), tmp_path / "model", tokenizer)
    assert exported.config.n_positions == 32
    assert read_config(tmp_path / "model").n_positions == 32
    positions = ours(tmp_path / "model").position_embedding
    assert positions is not None
    assert positions.weight.shape == (32, 32)
    with pytest.raises(TrainingError, match="before the first step"):
        export_checkpoint(trained((0, 0)), tmp_path / "model", tokenizer)


def test_a_tokenizer_beyond_the_model_is_refused(tmp_path: Path) -> None:
    texts = ["for item in items:\n    print(item, other)\n" + "".join(map(chr, range(97, 123))) * 9] * 40
    save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=305)), tmp_path / "large")
    with pytest.raises(TrainingError, match="305 tokens, the model 300"):
        export_checkpoint(trained((8, 8)), tmp_path / "model", tmp_path / "large")


def test_the_newest_checkpoint_is_found_and_older_ones_go(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint"):
        newest_checkpoint(tmp_path)
    folder = tmp_path / "checkpoints"
    made = trained((8, 8))
    for step in (1, 20, 3_000):
        state = RunState(step=step, stage_samples=(8, 8))
        save_checkpoint(folder, Checkpoint(state=state, recipe={}, model=made.model, optimizer={}), keep=2)
    (folder / ".step-00009999.partial").mkdir()  # what a kill in the middle of writing leaves
    assert [path.name for path in checkpoints(folder)] == ["step-00000020", "step-00003000"]
    assert newest_checkpoint(tmp_path).state.step == 3_000


def test_new_positions_start_from_late_trained_ones() -> None:
    before = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    after = extended_positions(before, trained=4, wanted=12)
    assert torch.equal(after[:4], before[:4])
    assert torch.equal(after[4:12], before[[2, 3, 2, 3, 2, 3, 2, 3]])
    assert torch.equal(after[12:], before[12:])
