from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attribution.match.portrait import Portrait
from model.weights.hub import resolve
from tests.training.evaluate.test_infilling import PROBLEMS, write_problems
from tests.training.tiny import LANGUAGES, document, write_documents
from training.cli.cli import eval_app, train_app
from training.data.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer
from training.loop.run_log import read_log

ROOT = Path(__file__).parents[3]
RECIPE = """
name = "tiny"
[model]
vocab_size = 320
n_positions = 128
n_embd = 32
n_layer = 1
n_head = 1
[schedule]
steps = 1
[[stages]]
seq_len = 128
micro_batch = 2
[compute]
device = "cpu"
bf16 = false
"""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Documents, a tokenizer, notices, problems and a recipe, each by its path."""
    records = [document(i, LANGUAGES[i % 2]) for i in range(60)]
    write_documents(tmp_path / "train", records[:40])
    write_documents(tmp_path / "held_out", [document(i, text="x = 1\n" * 900) for i in range(100, 106)])
    texts = [record["text"] for record in records]
    save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=290)), tmp_path / "tokenizer")
    (tmp_path / "notices").mkdir()
    (tmp_path / "notices" / "NOTICE.md").write_text("# Packages\n\n| project-1 | MIT |\n")
    (tmp_path / "notices" / "LICENSES.txt").write_text("MIT License\n")
    for paper in ("documents.jsonl.gz", "corpus.json", "DATASHEET.md", "datasheet/tokens.png"):
        (tmp_path / "notices" / paper).parent.mkdir(exist_ok=True)
        (tmp_path / "notices" / paper).write_text(paper)
    write_problems(tmp_path / "problems.jsonl.gz", PROBLEMS)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return {path.name: str(path) for path in tmp_path.iterdir()} | {
        name: str(tmp_path / name) for name in ("run", "model", "run-run", "better-run")
    }


def pretrain_arguments(places: dict[str, str], run: str = "run", steps: int = 3) -> list[str]:
    options = {"recipe": "tiny.toml", "run": run, "tokenizer": "tokenizer", "train": "train"}
    options["held-out"] = "held_out"
    named = [part for name, place in options.items() for part in (f"--{name}", places[place])]
    return ["pretrain", *named, "--steps", str(steps), "--set", "seed=5"]


def publish_arguments(places: dict[str, str], run: str, target: str) -> list[str]:
    folders = {"run": places[run], "packed": str(Path(places[run]) / "packed")}
    files = {name: places[name] for name in ("notices", "tokenizer")} | {
        "problems": places["problems.jsonl.gz"]
    }
    options = [part for name, place in (folders | files).items() for part in (f"--{name}", place)]
    return ["publish", places[target], *options]


def test_documents_become_a_model_with_a_card_and_a_score(places: dict[str, str]) -> None:
    runner = CliRunner()
    trained = runner.invoke(train_app, pretrain_arguments(places), catch_exceptions=False)
    assert trained.exit_code == 0, trained.output
    packed = str(Path(places["run"]) / "packed")
    publish = [*publish_arguments(places, "run", "model"), "--previous", "none"]
    wrong = runner.invoke(train_app, [*publish, "--quantize", "int3"])
    assert (wrong.exit_code, "expected bf16 or int8" in wrong.stderr) == (1, True)
    published = runner.invoke(train_app, publish, catch_exceptions=False)
    assert published.exit_code == 0, published.output
    card = (Path(places["model"]) / "README.md").read_text()
    for expected in ("exact match", "bits a byte", "| Python |", "project-1", "Recipe `tiny`", "3 steps"):
        assert expected in card
    assert resolve(places["model"]).license == "apache-2.0"
    assert (Path(places["model"]) / "LICENSES.txt").is_file()
    for paper in ("documents.jsonl.gz", "corpus.json", "DATASHEET.md", "datasheet/tokens.png"):
        assert (Path(places["model"]) / paper).read_text() == paper
    assert not list(Path(places["model"]).parent.glob(".model*"))
    portrait = Portrait.load(Path(places["model"]) / "portrait.bin")
    with next(Path(places["train"]).iterdir()).open() as lines:
        trained = json.loads(next(lines))["text"]
    assert portrait.check(trained.encode()).share == 1
    other = runner.invoke(train_app, [*publish, "--documents", places["held_out"]])
    assert other.exit_code == 1
    assert "not those that the shards were packed from" in " ".join(other.output.split())
    command = ["infilling", "--model", places["model"], "--problems", places["problems.jsonl.gz"], "--json"]
    scored = runner.invoke(eval_app, command, catch_exceptions=False)
    assert set(json.loads(scored.stdout)) >= {"exact_match", "n_problems", "order", "healed"}
    loss = ["loss", "--model", places["model"], "--held-out", f"{packed}/held_out", "--json"]
    assert json.loads(runner.invoke(eval_app, loss).stdout)["Python"]["bits_per_byte"] > 0


def test_a_worse_model_does_not_take_the_place_of_a_better_one(places: dict[str, str]) -> None:
    """Of the same documents and problems, though the two have different tokenizers."""
    runner = CliRunner()
    for name, steps in (("run", 2), ("better", 40)):
        arguments = pretrain_arguments(places, f"{name}-run", steps)
        assert runner.invoke(train_app, arguments, catch_exceptions=False).exit_code == 0
    first = publish_arguments(places, "run-run", "model")
    assert runner.invoke(train_app, [*first, "--previous", "none"]).exit_code == 0
    before = (Path(places["model"]) / "README.md").read_text()
    assert "Beside the one before" not in before

    texts = ["x = 1\n" * 30, "def f(a):\n    return a\n" * 9]
    save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=280)), Path(places["model"]))
    better = publish_arguments(places, "better-run", "model")
    shipped = runner.invoke(
        train_app, [*better, "--previous", places["model"], "--quantize", "int8"], catch_exceptions=False
    )
    assert shipped.exit_code == 0, shipped.output
    after = (Path(places["model"]) / "README.md").read_text()
    assert "int8 with a scale for each row" in after
    assert b'"dtype":"I8"' in (Path(places["model"]) / "model.safetensors").read_bytes()
    row = re.search(r"\| Python, bits a byte \| (\S+) \| (\S+) \| -\d", after)
    assert row is not None, after
    assert float(row[2]) < float(row[1])
    assert row[0] in shipped.stdout

    worse = runner.invoke(train_app, [*first, "--previous", places["model"]])
    assert worse.exit_code == 1
    assert "not shipped, worse than before: held-out loss" in " ".join(worse.stderr.split())
    assert (Path(places["model"]) / "README.md").read_text() == after
    assert not list(Path(places["model"]).parent.glob(".model*"))


@pytest.mark.parametrize("recipe", ["starter", "starter-cpu"])
def test_the_starters_recipes_are_tried_on_a_cpu(places: dict[str, str], tmp_path: Path, recipe: str) -> None:
    """The command of docs/training.md, with a model and documents that are small too."""
    for split, first in (("three", 0), ("three_held_out", 200)):
        records = [
            document(
                first + i, ("Python", "JavaScript", "TypeScript", "C")[i % 4], "a = b + 1\n" * 90 * (i + 1)
            )
            for i in range(24)
        ]
        write_documents(tmp_path / split, records)
    smaller = {
        "model.n_embd": 32, "model.n_layer": 2, "model.n_head": 2,
        "compute.device": "cpu", "compute.compile": False, "compute.processes": 1,
        "data.workers": 2, "upkeep.held_out_tokens": 1024, "upkeep.log_every_steps": 1,
        "stages": [{"seq_len": 64, "micro_batch": 2}, {"start": 0.5, "seq_len": 128, "micro_batch": 1}],
    }  # fmt: skip
    options = ["--tokenizer", places["tokenizer"], "--run", str(tmp_path / "tried"), "--steps", "4"]
    options += ["--train", str(tmp_path / "three"), "--held-out", str(tmp_path / "three_held_out")]
    options += [part for key, value in smaller.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    tried = CliRunner().invoke(train_app, ["pretrain", "--recipe", recipe, *options], catch_exceptions=False)
    assert tried.exit_code == 0, tried.output
    steps = [record for record in read_log(tmp_path / "tried" / "log.jsonl") if record["kind"] == "step"]
    assert [step["seq_len"] for step in steps] == [64, 64, 128, 128]
    assert all(step["muon_lr"] > 0 and step["loss"] > 0 for step in steps)


def test_a_corpus_without_its_papers_is_named_before_anything_is_measured(places: dict[str, str]) -> None:
    (Path(places["notices"]) / "corpus.json").unlink()
    result = CliRunner().invoke(train_app, publish_arguments(places, "run", "model"))
    assert result.exit_code == 1
    assert "corpus.json does not exist: --notices takes the folder" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--set", "seed"], "TABLE.KEY=JSON"),
        (["--set", "seed=x"], "not JSON"),
        (["--set", "optim.lr=1"], "recipe.optim.lr"),
        (["--recipe", "finetune"], "that is `train finetune`"),
    ],
)
def test_a_bad_option_ends_with_one_line(places: dict[str, str], extra: list[str], message: str) -> None:
    result = CliRunner().invoke(train_app, [*pretrain_arguments(places), *extra])
    assert result.exit_code == 1
    assert message in result.stderr.replace("\n", " ")


def test_the_commands_need_no_language_server() -> None:
    """On a machine with PyTorch and little else, and under torchrun."""
    server = ["lsp", "pygls", "lsprotocol", "httpx", "uvicorn", "starlette", "platformdirs", "datatrove"]
    program = f"""
import sys
sys.modules.update(dict.fromkeys({server!r}))  # importing one is an error
sys.argv = "x train pretrain --recipe starter --run absent/run --train absent".split()
import runpy
import training.loop.pretrain, training.jobs.publish
runpy.run_module("training", run_name="__main__")
"""
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1, told.stderr
    assert "no *.jsonl or *.jsonl.gz in absent" in told.stderr


def test_training_a_missing_corpus_names_it(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [*pretrain_arguments(places), "--train", str(tmp_path / "empty")]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 1
    assert "no *.jsonl" in result.stderr
