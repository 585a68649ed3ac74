"""`starcoder-lsp eval report` from end to end: the real command, the bundled model and the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.families.registry import read_config
from model.weights.hub import resolve
from tests.training.evaluate.sandboxes import need_sandbox
from tests.training.evaluate.test_score import PROBLEM
from training.evaluate.measure import CONTEXTS
from training.evaluate.sandbox.pool import missing_tools
from training.evaluate.scoring.spans import multi_line_records

REPOSITORY = Path(__file__).parents[3]
ADD = {
    **PROBLEM,
    "task_id": "HumanEval/0",
    "canonical_solution": "    y = x\n    y += x\n    return y\n",
}
MBPP = {"task_id": 11, "text": "Write a function.", "code": "", "test_list": ["assert f(1) == 1"]}
JAVASCRIPT = {
    "task_id": "JavaScript/0",
    "prompt": "const twice = (x) => {\n",
    "declaration": "",
    "canonical_solution": "  return 2 * x\n}\n",
    "test": "console.assert(twice(2) === 4)",
}


def write(path: Path, *records: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folders of the evaluation sets with a few problems of our own, Java's and C++'s left out."""
    spans = list(multi_line_records(ADD))
    holes = {
        kind: [{**span, "task_id": f"{kind}Infilling/HumanEval/0/{i}"} for i, span in enumerate(spans)]
        for kind in ("SingleLine", "RandomSpan")
    }
    lines = [hole for hole in holes["SingleLine"] if hole["canonical_solution"].count("\n") == 1]
    infilling = tmp_path / "data" / "human-eval-infilling"
    write(tmp_path / "data" / "human-eval" / "HumanEval.jsonl.gz", ADD, {**ADD, "task_id": "HumanEval/1"})
    write(tmp_path / "data" / "mbpp" / "mbpp.jsonl", MBPP)
    write(tmp_path / "data" / "humaneval-x" / "humaneval_js.jsonl.gz", JAVASCRIPT)
    write(infilling / "HumanEval-SingleLineInfilling.jsonl.gz", *lines)
    write(infilling / "HumanEval-RandomSpanInfillingLight.jsonl.gz", *holes["RandomSpan"])
    sources = [path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "lsp").rglob("*.py"))[:60]]
    write(
        tmp_path / "held_out" / "python.jsonl",
        *({"text": text, "repository": "a/b", "language": "Python"} for text in sources),
    )
    return tmp_path / "data"


@pytest.mark.slow
def test_the_report_of_the_bundled_model(data: Path, tmp_path: Path) -> None:
    need_sandbox()
    output = tmp_path / "reports" / "evaluation.md"
    arguments = [
        *("eval", "report", "--model", "starter", "--data", str(data), "--output", str(output)),
        *("--held-out", str(tmp_path / "held_out"), "--samples", "2", "--max-new-tokens", "16"),
        *("--spans", "2", "--lines", "3", "--windows", "1", "--samples-folder", str(tmp_path / "samples")),
        *("--time-limit", "20"),
    ]
    command = [sys.executable, "-I", "-m", "lsp", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output)

    text = output.read_text(encoding="utf-8")
    assert "starcoder-lsp " + " ".join(arguments) in text  # the command that made it, word for word
    for kind in ("single-line", "multi-line", "random-span"):
        for order in ("SPM", "PSM"):
            assert re.search(rf"\| {kind} \| {order} \| 2 \| [\d.]+ \| [\d.]+ \|", text), (kind, order)
    for context in (512, 1_024, 2_048):
        assert re.search(rf"\| {context:,} \| \d+\.\d\d \|", text)
    assert re.search(r"\| \*\*starter\*\* \| [\d.]+ M \| [\d.]+ \| [\d.]+ \| [\d.]+ \| this run \|", text)
    assert "| StarCoder | 15.5 B | 33.6 | 52.7 |" in text
    assert "- HumanEval-X Java: " in text

    found = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    positions = read_config(resolve("starter").folder).n_positions
    assert [each["context_tokens"] for each in found["perplexity"]] == [c for c in CONTEXTS if c <= positions]
    assert all(1 < each["perplexity"] < 1_000 for each in found["perplexity"])
    expected = {"HumanEval": 4, "MBPP": 2} | (
        {} if missing_tools("javascript") else {"HumanEval-X JavaScript": 2}
    )
    assert {title: score["n_samples"] for title, score in found["tested"].items()} == expected
    for score in found["tested"].values():
        assert score["sandbox"] == "namespaces"
        assert sum(score["reasons"].values()) == score["n_samples"]
        assert 0 <= score["pass@1"] <= 1
    for orders in found["infilling"].values():
        for score in orders.values():
            # What is there exactly passes; so may something else.
            assert 0 <= score["exact_match"] <= score["pass_rate"] <= 1
    assert set(found["lines"]) == {"before", "around"}

    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
    from matplotlib.image import imread  # half a second, not of every process of the tests

    pixels = imread(output.with_suffix(".png"))  # [height, width, 4]
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 50  # and something is drawn on it

    names = ["evaluation.json", "evaluation.md", "evaluation.png"]
    assert sorted(path.name for path in output.parent.iterdir()) == names
