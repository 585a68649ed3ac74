from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attribution.portrait import Portrait
from model.hub import resolve
from tests.training.test_infilling import PROBLEMS, write_problems
from tests.training.tiny import LANGUAGES, document, write_documents
from training.cli import eval_app, train_app
from training.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer

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
    (tmp_path / "notices" / "documents.jsonl.gz").write_bytes(b"")
    write_problems(tmp_path / "problems.jsonl.gz", PROBLEMS)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return {path.name: str(path) for path in tmp_path.iterdir()} | {
        name: str(tmp_path / name) for name in ("run", "model")
    }


def pretrain_arguments(places: dict[str, str]) -> list[str]:
    options = {"recipe": "tiny.toml", "run": "run", "tokenizer": "tokenizer", "train": "train"}
    options["held-out"] = "held_out"
    named = [part for name, place in options.items() for part in (f"--{name}", places[place])]
    return ["pretrain", *named, "--steps", "3", "--set", "seed=5"]


def test_documents_become_a_model_with_a_card_and_a_score(places: dict[str, str]) -> None:
    runner = CliRunner()
    trained = runner.invoke(train_app, pretrain_arguments(places), catch_exceptions=False)
    assert trained.exit_code == 0, trained.output
    packed = str(Path(places["run"]) / "packed")
    publish = ["publish", places["model"], "--run", places["run"], "--packed", packed]
    publish += ["--notices", places["notices"], "--problems", places["problems.jsonl.gz"]]
    publish += ["--tokenizer", places["tokenizer"]]
    published = runner.invoke(train_app, publish, catch_exceptions=False)
    assert published.exit_code == 0, published.output
    card = (Path(places["model"]) / "README.md").read_text()
    for expected in ("exact match", "bits a byte", "| Python |", "project-1", "Recipe `tiny`", "3 steps"):
        assert expected in card
    assert resolve(places["model"]).license == "apache-2.0"
    assert (Path(places["model"]) / "LICENSES.txt").is_file()
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


def test_training_a_missing_corpus_names_it(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [*pretrain_arguments(places), "--train", str(tmp_path / "empty")]
    result = CliRunner().invoke(train_app, arguments)
    assert result.exit_code == 1
    assert "no *.jsonl" in result.stderr
