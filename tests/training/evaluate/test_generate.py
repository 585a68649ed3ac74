"""Sampling a real tiny model for problems with tests, stopped and gone on with."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.start.load import load_engine
from tests.training.evaluate.sandboxes import need_sandbox
from tests.training.evaluate.test_infilling import folder
from tests.training.evaluate.test_score import DATA, PROBLEM, needs_data
from training.cli.cli import eval_app
from training.errors import EvaluationError
from training.evaluate.benchmarks import BENCHMARKS, thinned
from training.evaluate.progress import progress_bar
from training.evaluate.scoring.generate import SamplingPlan, generate
from training.evaluate.sets.problems import Problem, problem_of, read_json_lines, read_tasks

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
    assert "}" not in text
    stopping = replace(problem, stop=(text[5:8],), closing="\n}", ending="\n")
    generate(engine, {"Tiny/0": stopping}, greedy, cut)
    assert answers(cut)["Tiny/0", 0] == text[: text.index(text[5:8])] + "\n}\n"


def human_eval_x(language: str, *, prompt: str = "", test: str = "") -> Problem:
    record = {"task_id": f"{language}/0", "prompt": prompt, "declaration": prompt, "test": test}
    return problem_of(record, "here")


BODY = "        int y = x;\n        if (x > 0) {\n            y = -x;\n        }\n        return y;"
JAVA = [
    (f"{BODY}\n    }}\n", f"{BODY}\n    }}\n}}"),  # the class's end was the stop
    (f"{BODY}\n    }}\n\n", f"{BODY}\n    }}\n}}"),  # another method was
    (BODY, f"{BODY}\n    }}\n}}"),  # the method's end is at the margin
    ("    if (x) {\n    }\n    return 1;\n  }\n", "    if (x) {\n    }\n    return 1;\n  }\n}"),
    ("return 1; } // }", "return 1; }\n}"),
    (
        "  var s = \"}{\" + '}'; // }\n  /* } */ return s; } }",
        "  var s = \"}{\" + '}'; // }\n  /* } */ return s; }\n}",
    ),
]


@pytest.mark.parametrize(("text", "answer"), JAVA)
def test_a_java_answer_is_one_method_and_the_end_of_its_class(text: str, answer: str) -> None:
    assert human_eval_x("Java").answer(text) == answer


def test_a_java_method_is_not_stopped_within() -> None:
    """Its own brace stands wherever the model puts it: an inner one may stand where others' methods end."""
    narrow = "    if (x) {\n        y();\n    }\n    return 1;\n"
    stops = human_eval_x("Java").stop
    assert not any(stop in narrow for stop in stops)
    for behind in ("}\n}\n", "    }\n\n    public static void main(String[] a) {", "    }\n    /** Other */"):
        assert any(stop in "\n" + behind for stop in stops)


def test_javascript_and_cpp_answers_end_with_their_function() -> None:
    assert human_eval_x("JavaScript").answer("  return `${x}}`") == "  return `${x}}`\n}\n"
    assert human_eval_x("JavaScript").answer("  return 1\n}\nf()") == "  return 1\n}\n"
    assert human_eval_x("CPP").answer("  return 1;") == "  return 1;\n}\n"
    assert human_eval_x("Python").answer("    return 1") == "    return 1"
    assert human_eval_x("CPP", prompt="#include<vector>\n").test_prompt.count("<vector>") == 1


@needs_data
@pytest.mark.parametrize("language", ["js", "java"])
def test_published_solutions_are_answers_as_they_stand(language: str) -> None:
    """What a perfect model writes, up to the first stop, becomes what is published."""
    problems = read_tasks(str(DATA / "humaneval-x" / f"humaneval_{language}.jsonl.gz"))
    for problem in problems.values():
        ends = [problem.canonical.find(stop) for stop in problem.stop if stop in problem.canonical]
        text = problem.canonical[: min(ends)] if ends else problem.canonical
        assert problem.answer(text).split() == problem.canonical.split(), problem.task_id


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


def test_progress_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("sampling") as progress:
        progress(1, 4)
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("sampling") as progress:
        for done in range(4):
            progress(done, 4)
    shown = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().err)
    assert re.search(r"sampling .*3/4 .*(\d:\d\d|-:--)", shown), shown


def test_problems_are_chosen_evenly_and_needs_are_told() -> None:
    many = {str(i): PROBLEMS["Tiny/0"] for i in range(10)}
    assert list(thinned(many, 4)) == ["0", "2", "5", "7"]
    assert thinned(many, None) is many
    with pytest.raises(EvaluationError, match="--problems"):
        BENCHMARKS["humaneval-x"].problems(None, None)
    with pytest.raises(EvaluationError, match="temperature 0"):
        plan(temperature=0.0)
