"""Sampling a real tiny model for problems with tests, stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.engine import load_engine
from tests.training.sandboxes import need_sandbox
from tests.training.test_evaluate_score import PROBLEM
from tests.training.test_infilling import folder
from training.cli import eval_app
from training.errors import EvaluationError
from training.evaluate.benchmarks import BENCHMARKS, thinned
from training.evaluate.generate import SamplingPlan, generate
from training.evaluate.problems import problem_of, read_json_lines

__all__ = ["folder"]  # a fixture
PROBLEMS = {name: problem_of({**PROBLEM, "task_id": name}, "here") for name in ("Tiny/0", "Tiny/1")}


def plan(**changes: object) -> SamplingPlan:
    values = {"model": "tiny", "samples": 5, "temperature": 0.8, "max_new_tokens": 8, **changes}
    return SamplingPlan(**values)  # type: ignore[arg-type]


def answers(path: Path) -> dict[tuple[str, int], str]:
    return {(each["task_id"], each["index"]): each["completion"] for each in read_json_lines(path)}


def test_a_stopped_run_ends_with_the_same_samples(folder: Path, tmp_path: Path) -> None:
    engine = load_engine(folder, device="cpu", quantize="none")
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    steps: list[tuple[int, int]] = []
    generate(engine, PROBLEMS, plan(), whole, lambda done, total: steps.append((done, total)))
    assert (steps[0], steps[-1]) == ((0, 10), (10, 10))
    expected = answers(whole)
    assert len(expected) == 10
    assert len({text for (name, _), text in expected.items() if name == "Tiny/0"}) > 1
    generate(engine, {"Tiny/0": PROBLEMS["Tiny/0"]}, plan(samples=3), parts)
    with parts.open("a") as file:
        file.write('{"task_id": "Tiny/1", "comple')  # killed in the middle of a line
    generate(engine, PROBLEMS, plan(), parts)
    assert answers(parts) == expected
    with pytest.raises(EvaluationError, match="--samples-file"):
        generate(engine, PROBLEMS, plan(temperature=0.2), parts)


def test_answers_end_at_stop_words_and_are_closed(folder: Path, tmp_path: Path) -> None:
    engine = load_engine(folder, device="cpu", quantize="none")
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    (problem,) = [problem_of(PROBLEM, "here")]
    greedy = plan(samples=1, temperature=0.0, max_new_tokens=20)
    generate(engine, {"Tiny/0": problem}, greedy, whole)
    ((_, text),) = answers(whole).items()
    stopping = type(problem)(**{**vars(problem), "stop": (text[5:8],), "closing": "\n}"})
    generate(engine, {"Tiny/0": stopping}, greedy, cut)
    assert answers(cut)["Tiny/0", 0] == text[: text.index(text[5:8])] + "\n}"


def test_a_benchmark_samples_and_scores(folder: Path, tmp_path: Path) -> None:
    need_sandbox()
    (tmp_path / "problems.jsonl").write_text(json.dumps(PROBLEM))
    command = ["humaneval", "--model", str(folder), "--problems", str(tmp_path / "problems.jsonl"), "--json"]
    options = ["--samples", "3", "--max-new-tokens", "8", "--samples-file", str(tmp_path / "samples.jsonl")]
    result = CliRunner().invoke(eval_app, [*command, *options])
    assert result.exit_code == 0, result.output
    score = json.loads(result.stdout)
    assert (score["pass@1"], score["n_samples"], score["samples_per_problem"]) == (0.0, 3, 3)
    assert CliRunner().invoke(eval_app, [*command, *options]).stdout == result.stdout


def test_problems_are_chosen_evenly_and_needs_are_told() -> None:
    many = {str(i): PROBLEMS["Tiny/0"] for i in range(10)}
    assert list(thinned(many, 4)) == ["0", "2", "5", "7"]
    assert thinned(many, None) is many
    with pytest.raises(EvaluationError, match="--problems"):
        BENCHMARKS["humaneval-x"].problems(None, None)
    with pytest.raises(EvaluationError, match="temperature 0"):
        plan(temperature=0.0)
