"""The benchmark of models: a small run on a tiny model, the tables, and two engines on the same text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.engine.contenders import CONTENDERS, GGUF_CONTENDERS, contenders_for
from benchmarks.engine.ours import Ours
from benchmarks.models import __main__ as models
from benchmarks.models.answers import answered
from benchmarks.models.report import FIGURES as FIGURES_FILE
from benchmarks.models.report import Figures, draw, kept, markdown, merged, points, section
from benchmarks.models.text import WINDOW, compare, windows
from benchmarks.tables import MODELS_PAGE, with_section
from tests.model.tiny import write_tiny_model
from tests.training.evaluate.test_score import DATA, needs_data
from training.evaluate.scoring.infilling import LineProblem
from training.evaluate.scoring.spans import HoledProgram


def shares(*exact: float) -> dict[str, dict[str, float]]:
    names = ("ours, healed", "ours", "llama.cpp")
    return {
        name: {"exact_match": share, "n_problems": 100} for name, share in zip(names, exact, strict=False)
    }


FIGURES: Figures = {
    "one": {
        "machine": "A processor, 2 threads",
        "quality": {
            "description": {"quantize": "int8"},
            "order": "psm",
            "infilling": {"single-line": shares(0.44, 0.43, 0.425), "random-span": shares(0.5, 0.4)},
            "programs": {"HumanEval": {"pass@1": 0.5, "n_problems": 164}},
            "left_out": ["MBPP: mbpp.jsonl is missing"],
        },
        "text": {"n_tokens": 1023, "perplexity": {"ours": 2.02, "llama.cpp": 2.0}, "same_token": 0.97},
        "keys": {
            "ours": {"p50_ms": 50, "p95_ms": 300, "keys": 300},
            "llama.vscode, --cache-reuse 256": {"p50_ms": 500, "p95_ms": 1500, "keys": 300},
        },
    }
}


def test_the_tables_say_who_answered_and_how_sure_it_is(tmp_path: Path) -> None:
    tables = markdown(FIGURES)
    assert tables.startswith("A processor, 2 threads. ")
    span = "44.0 ± 9.7 (100); 43.0 ± 9.7 (100) / 42.5"
    assert f"| {span} | – | 50.0 ± 9.8 (100); 40.0 ± 9.6 (100) / – |" in tables
    assert "| 50.0 ± 7.7 (164) | – |" in tables
    assert "| 1,023 | 2.020 / 2.000 | 1.0100 | 97.0 % | 50 (300) / 500 (1,500) |" in tables
    assert "one: left out MBPP: mbpp.jsonl is missing." in tables
    assert points(FIGURES) == {"ours": [("one", 50, 44.0)], "llama.vscode": [("one", 500, 42.5)]}
    assert points({"one": FIGURES["one"] | {"keys": {}}}) == {}
    draw(FIGURES, tmp_path / "models.png")
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_other_sets_leaves_the_earlier_ones() -> None:
    now = {"quality": FIGURES["one"]["quality"] | {"infilling": {"single-line": shares(0.5)}, "programs": {}}}
    parts = merged(FIGURES["one"], now)
    assert parts["quality"]["infilling"] == {"single-line": shares(0.5), "random-span": shares(0.5, 0.4)}
    assert list(parts["quality"]["programs"]) == ["HumanEval"]
    assert parts["text"] == FIGURES["one"]["text"]
    assert merged({}, now) == now


def test_a_run_that_was_stopped_asks_for_the_rest_only(tmp_path: Path) -> None:
    spans = [
        HoledProgram(hole=LineProblem(task_id=str(number), prefix="", suffix="", line=""))
        for number in range(40)
    ]
    asked: list[str] = []

    def answers(some: Sequence[HoledProgram]) -> list[str]:
        asked.extend(span.hole.task_id for span in some)
        if len(asked) == 40:
            raise KeyboardInterrupt
        return [f"answer {span.hole.task_id}" for span in some]

    file = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answered(spans, file, answers, lambda done, total: None)
    file.write_text(file.read_text("utf-8") + '{"task_id": "39", "ans', "utf-8")
    first, asked[:] = asked[:32], []
    texts = answered(spans, file, answers, lambda done, total: None)
    assert texts == [f"answer {number}" for number in range(40)]
    assert first + asked == [str(number) for number in range(40)]
    assert answered(spans[::2], file, answers, lambda done, total: None) == texts[::2]
    assert len(asked) == 8


def test_the_page_shows_all_kept_figures() -> None:
    page = MODELS_PAGE.read_text(encoding="utf-8")
    assert with_section(page, "quality", section(kept(FIGURES_FILE))) == page


def test_the_page_has_the_sections_that_benchmarks_write() -> None:
    page = MODELS_PAGE.read_text(encoding="utf-8")
    for name in ("quality", "engine qwen2.5-coder-0.5b", "replay qwen2.5-coder-0.5b"):
        assert "| a |" in with_section(page, name, "| a |")


def test_two_engines_score_the_same_text(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model", n_positions=2048)
    int8, int4 = (Ours(folder, quantize=kind, threads=1) for kind in ("int8", "int4"))
    [text] = windows(int8.engine.tokenizer, 1)
    assert len(text) == WINDOW
    alone, beside = compare(int8, int8, [text[:200]]), compare(int8, int4, [text[:200]])
    assert (alone.n_tokens, alone.same_token) == (199, 1.0)
    assert 0.2 < beside.same_token < 1.0
    assert beside.perplexity[int4.name] == pytest.approx(alone.perplexity[int8.name], rel=0.1)
    assert beside.perplexity[int4.name] != beside.perplexity[int8.name]


def test_a_gguf_file_has_contenders_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.touch()
    assert contenders_for("cpu", file) is GGUF_CONTENDERS
    assert contenders_for("cpu", tmp_path) is CONTENDERS


@needs_data
def test_a_small_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, figures = write_tiny_model(tmp_path / "tiny"), tmp_path / "figures.json"
    arguments = [str(folder), "--data", str(DATA), "--sets", "single-line", "--limit", "3", "--keys", "0"]
    arguments += ["--threads", "1", "--figures", str(figures), "--answers", str(tmp_path / "answers")]
    monkeypatch.setattr("sys.argv", ["models", *arguments])

    assert models.main() == 0
    assert "| tiny | spm | 0.0 ± 0.0 (3); 0.0 ± 0.0 (3) / – |" in capsys.readouterr().out
    quality = json.loads(figures.read_text("utf-8"))["tiny"]["quality"]
    assert quality["infilling"]["single-line"]["ours"]["n_problems"] == 3
    assert quality["left_out"] == ["single-line by llama.cpp: no llama-server, or no GGUF file"]
