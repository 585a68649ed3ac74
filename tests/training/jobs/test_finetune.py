from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from attribution.match.attribute import SearchOptions, attribute
from attribution.store.open import open_index
from model.pytorch.checkpoint import dense_state
from model.pytorch.gpt_bigcode import GPTBigCode
from model.start.load import load_engine
from model.weights.hub import resolve
from tests.training.own_repository import CONFIG, base_model, repository, write
from training.cli.cli import train_app
from training.compute.lora import add_adapters, base_name, first_values, is_adapter, merged
from training.compute.precision import Precision
from training.data.own_code import files_of
from training.data.packing import PackedCorpus
from training.errors import RecipeError
from training.jobs.finetune import Finetuning, finetune, recipe_of
from training.loop.checkpointing import checkpoints, load_checkpoint
from training.loop.pretrain import Trainer
from training.plan.capacity import check_capacity, memory_bytes, roomy
from training.recipe.recipe import load_recipe
from training.recipe.tables import LoraRecipe

CPU = Precision(device=torch.device("cpu"), bf16=False)
SMALL_STEPS = [
    'stages=[{"seq_len": 64, "micro_batch": 8}]',
    "compute.bf16=false",
    'compute.device="cpu"',
    "schedule.warmup_steps=2",
]


def arguments(tmp_path: Path, *more: str, lr: float = 3e-3) -> list[str]:
    rate = (f"optim.adamw_lr={lr}", "optim.lr_width=null")
    settings = [part for one in (*SMALL_STEPS, *rate) for part in ("--set", one)]
    places = [
        "--on",
        str(tmp_path / "project"),
        "--to",
        str(tmp_path / "made"),
        "--model",
        str(tmp_path / "base"),
    ]
    return ["finetune", *places, *settings, *more]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    torch.set_num_threads(1)
    base_model(tmp_path / "base")
    repository(tmp_path / "project")
    return tmp_path


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.slow
def test_a_folder_of_code_becomes_a_model_that_is_served_and_attributed(places: Path) -> None:
    index = str(places / "index")
    result = CliRunner().invoke(
        train_app, arguments(places, "--epochs", "0.6", "--index", index, lr=1e-2), catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    told = one_line(result.output)
    assert "42 files" in told
    assert "3 × named by .gitignore" in told
    row = re.search(r"Python . [\d,]+ . (\d\.\d+) . (\d\.\d+) . -", told)
    assert row is not None, told
    assert float(row[2]) < float(row[1]) - 0.5

    made = resolve(str(places / "made"))
    assert made.license == "bigcode-openrail-m"
    assert (made.folder / "LICENSE").read_text() == "BigCode OpenRAIL-M\n"
    engine = load_engine(made.folder, device="cpu", quantize="none")  # what `--model FOLDER` does
    assert engine.config.n_positions == CONFIG.n_positions
    before, after = dense_state(places / "base"), dense_state(made.folder)
    assert before.keys() == after.keys()
    assert not torch.equal(before["transformer.wte.weight"], after["transformer.wte.weight"])

    opened = open_index(index)
    source = places / "project" / "src" / "part_0" / "file_2.py"
    (match, *_) = attribute(source.read_bytes(), opened, SearchOptions())
    assert (match.source.repository, match.source.path) == ("project", "src/part_0/file_2.py")
    files = list(files_of(places / "project", Counter()))
    assert opened.document_count() == len(files) - 1  # all but the one that is no text
    opened.close()


def test_adapters_alone_are_trained_resumed_and_merged(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after three steps, the same command makes, to the bit, what it makes in one go."""
    whole = arguments(places, "--lora", "--epochs", "0.2", "--no-index", lr=1e-2)
    parted = [part.replace("/made", "/parted") for part in whole]
    advance = Trainer._advance

    def interrupt(self: Trainer, stage: int) -> None:
        advance(self, stage)
        if self._state.step == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", interrupt)
        stopped = CliRunner().invoke(train_app, parted, catch_exceptions=False)
    assert "same command goes on" in one_line(stopped.output)
    assert not (places / "parted").exists()
    for command in (parted, whole):
        done = CliRunner().invoke(train_app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    (kept,) = (load_checkpoint(path) for path in checkpoints(places / "made-run" / "checkpoints"))
    assert all(is_adapter(name) for name in kept.model)
    assert len(kept.model) == 2 * 4 * CONFIG.n_layer
    base, one_go, two = (dense_state(places / name) for name in ("base", "made", "parted"))
    for name, tensor in one_go.items():
        assert torch.equal(tensor, two[name]), name
        adapted = any(part in name for part in ("c_attn", "c_proj", "c_fc")) and name.endswith("weight")
        assert torch.equal(tensor, base[name].bfloat16().float()) is not adapted, name


def test_merging_is_what_peft_does() -> None:
    recipe = LoraRecipe(rank=4, alpha=12.0)
    model = GPTBigCode(CONFIG)
    model.init_weights(torch.Generator().manual_seed(0))
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    add_adapters(model, recipe)
    model.to_empty(device="cpu")
    parameters = dict(model.named_parameters())
    shapes = [(name, p.shape) for name, p in parameters.items() if is_adapter(name)]
    adapters = {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in first_values(shapes, 1)}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(adapters[name] if is_adapter(name) else base[base_name(name)])
    plain = GPTBigCode(CONFIG)
    plain.load_state_dict(dict(merged(base.items(), adapters, recipe)))
    ids = torch.arange(64)[None] % CONFIG.vocab_size
    with torch.no_grad():
        assert torch.allclose(model.eval()(ids), plain.eval()(ids), atol=1e-5)
        unmerged = GPTBigCode(CONFIG)
        unmerged.load_state_dict(base)
        assert not torch.allclose(model(ids), unmerged.eval()(ids), atol=1e-3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--train", "somewhere"], "either --on FOLDER, or --train and --held-out"),
        (["--lora", "--recipe", "finetune"], "which has no [lora]"),
        (["--on", "nowhere"], "nowhere is not a folder"),
        (["--to", "taken"], "taken exists already"),
        (["--model", "a/b/c"], "neither 'starter'"),
        (["--set", "stages"], "TABLE.KEY=JSON"),
    ],
)
def test_a_wrong_wish_ends_with_one_line(
    places: Path, extra: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places)
    write(places / "taken" / "file", "x")
    result = CliRunner().invoke(train_app, arguments(places, *extra))
    assert result.exit_code == 1
    assert message in one_line(result.stderr)


def test_too_little_code_is_refused(places: Path) -> None:
    small = repository(places / "small", files=4)
    result = CliRunner().invoke(train_app, [*arguments(places), "--on", str(small)])
    assert result.exit_code == 1
    assert re.search(r"gives [\d,]+ tokens to train on; at least 10,000", one_line(result.stderr))


def test_a_model_beyond_this_machine_is_refused_with_an_estimate(places: Path) -> None:
    """16 bytes a parameter in full, far less with adapters; time counts on a CPU."""
    large = base_model(places / "large")
    shape = {
        **json.loads((large / "config.json").read_text()),
        "n_embd": 32_768,
        "n_layer": 96,
        "n_head": 256,
    }
    (large / "config.json").write_text(json.dumps(shape))
    result = CliRunner().invoke(train_app, [*arguments(places), "--model", str(large), "--no-index"])
    assert result.exit_code == 1
    assert re.search(
        r"[\d.]+B parameters so takes about [\d.]+ GB \(weights .* --lora", one_line(result.stderr)
    )
    slow = load_recipe("starter-cpu")
    with pytest.raises(RecipeError, match=r"take about [\d,]+ hours.*--force"):
        check_capacity(slow, CPU, 1, n_tokens=10**13, force=False)
    check_capacity(slow, CPU, 1, n_tokens=10**13, force=True)
    assert memory_bytes(CPU.device) > 1e9


def test_activations_are_recomputed_only_where_memory_is_short() -> None:
    recipe = load_recipe("finetune", {"model.n_embd": 256, "model.n_layer": 2, "model.n_head": 2})
    assert recipe.compute.activation_checkpointing
    assert not roomy(recipe, CPU, 1).compute.activation_checkpointing
    assert roomy(load_recipe("starcoderbase-15b"), CPU, 1).compute.activation_checkpointing


def test_epochs_become_steps_and_samples_fit_the_context(places: Path) -> None:
    """Under torchrun the number of processes counts."""
    wanted = Finetuning(
        recipe="finetune",
        base=str(places / "base"),
        to=places / "made",
        run=places / "run",
        on=places / "project",
    )
    result = CliRunner().invoke(
        train_app, [*arguments(places, "--no-index", "--epochs", "0.01"), "--run", str(wanted.run)]
    )
    assert result.exit_code == 0, result.output
    corpus = PackedCorpus(wanted.run / "packed" / "train", tokenizer=places / "base")
    base = resolve(wanted.base)
    recipe = recipe_of(replace(wanted, epochs=2.0), base, corpus)
    assert recipe.stages[0].seq_len == CONFIG.n_positions
    assert recipe.model == CONFIG
    assert recipe.optim.adamw_lr == pytest.approx(5e-5 * 6_144 / CONFIG.width)
    tokens = sum(corpus.n_tokens(language) for language in corpus.shards)
    assert recipe.schedule.steps == -(-2 * tokens // (8 * 64))
    adapted = recipe_of(replace(wanted, recipe="finetune-lora"), base, corpus)
    assert adapted.lora is not None
    assert adapted.lora.targets == ("c_attn", "c_proj", "c_fc"), "the family's, written down for a resume"
    assert os.environ.get("RANK") is None
    with pytest.raises(Exception, match="exists already"):
        finetune(wanted)
