"""Infilling of spans, lines, perplexity and the report, with a real tiny model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from model.prompt.fim_format import FimOrder
from model.prompt.tokenizer import Tokenizer
from model.pytorch.gpt_bigcode import GPTBigCode
from model.start.load import load_engine
from tests.model.tiny import config_with
from tests.training.evaluate.sandboxes import GENEROUS, need_sandbox
from tests.training.evaluate.solutions import canonical_samples
from tests.training.evaluate.test_infilling import folder
from tests.training.evaluate.test_score import DATA, PROBLEM, needs_data
from training.cli.cli import eval_app
from training.compute.precision import Precision
from training.errors import EvaluationError
from training.evaluate.report import markdown, write_report
from training.evaluate.sandbox.pool import Sandbox
from training.evaluate.scoring import infilling, perplexity
from training.evaluate.scoring.lines import draw_lines, score_lines
from training.evaluate.scoring.scoring import judge
from training.evaluate.scoring.spans import multi_line_records, read_spans, score_spans
from training.evaluate.sets.held_out_text import HeldOut, read_held_out

__all__ = ["folder"]  # a fixture
THREE_LINES = {
    **PROBLEM,
    "task_id": "HumanEval/0",
    "canonical_solution": "    y = x\n\n    y += x\n    return y\n",
}


def documents(count: int = 3, repository: str = "a/b") -> list[HeldOut]:
    text = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(20))
    return [
        HeldOut(text=text, repository=repository, path=f"{i}.py", language="Python") for i in range(count)
    ]


def test_multi_line_problems_are_all_runs_of_lines(tmp_path: Path) -> None:
    records = list(multi_line_records(THREE_LINES))
    names = [record["task_id"].rpartition("/")[2] for record in records]
    assert names == ["L0_L0", "L0_L2", "L0_L3", "L2_L2", "L2_L3", "L3_L3"]
    whole = THREE_LINES["prompt"] + THREE_LINES["canonical_solution"]
    assert {r["prompt"] + r["canonical_solution"] + r["suffix"] for r in records} == {whole}
    (tmp_path / "human-eval.jsonl").write_text(json.dumps(THREE_LINES))
    kind, spans = read_spans(str(tmp_path / "human-eval.jsonl"), limit=2)
    assert (kind, [span.hole.task_id.rpartition("/")[2] for span in spans]) == (
        "multi-line",
        ["L0_L0", "L2_L2"],
    )


def test_what_fills_the_hole_is_tested_with_what_follows(folder: Path, tmp_path: Path) -> None:
    need_sandbox()
    engine = load_engine(folder, device="cpu", quantize="none")
    (tmp_path / "problems.jsonl").write_text(json.dumps(THREE_LINES))
    kind, spans = read_spans(str(tmp_path / "problems.jsonl"))
    with Sandbox(limits=GENEROUS, workers=1) as sandbox:
        wrong = score_spans(engine, kind, spans, FimOrder.PSM, sandbox)
        assert (wrong["exact_match"], wrong["pass_rate"], wrong["n_problems"]) == (0.0, 0.0, 6)
        # The same holes, in programs that pass whatever is in them.
        quoted = [
            replace(span, problem=replace(span.problem, test_prompt='x = """', after='"""\nassert x'))
            for span in spans
            if span.problem
        ]
        assert score_spans(engine, kind, quoted, FimOrder.PSM, sandbox)["pass_rate"] == 1.0


@needs_data
def test_every_canonical_multi_line_span_passes_and_their_number_is_the_published_one() -> None:
    kind, spans = read_spans(str(DATA / "human-eval" / "HumanEval.jsonl.gz"))
    assert (kind, len(spans)) == ("multi-line", 5_815)
    random_span, _ = read_spans(
        str(DATA / "human-eval-infilling" / "HumanEval-RandomSpanInfillingLight.jsonl.gz")
    )
    assert random_span == "random-span"
    need_sandbox()
    chosen = {span.hole.task_id: span.problem for span in spans[::60] if span.problem}
    with Sandbox(limits=GENEROUS) as sandbox:
        assert all(outcome.passed for outcome in judge(canonical_samples(chosen), sandbox))


@pytest.mark.parametrize("order", [None, FimOrder.SPM])
def test_a_line_is_scored_against_what_stands_there(folder: Path, order: FimOrder | None) -> None:
    engine = load_engine(folder, device="cpu", quantize="none")
    problems = draw_lines(documents(), 6)
    assert problems == draw_lines(documents(), 6)
    for problem in problems:
        assert problem.prefix + problem.line + problem.suffix == documents()[0].text
    answers = infilling.complete_lines(engine, problems, order)
    right = [replace(p, line=f"  {a}\n") for p, a in zip(problems, answers, strict=True)]
    assert (
        score_lines(engine, right, order).exact_match,
        score_lines(engine, right, order).edit_similarity,
    ) == (1, 1)
    score = score_lines(engine, problems, order)
    assert (score.exact_match, score.n_lines) == (0.0, 6)
    assert 0 <= score.edit_similarity < 0.8


def test_the_left_only_prompt_does_not_see_what_follows(folder: Path) -> None:
    engine = load_engine(folder, device="cpu", quantize="none")
    problem = draw_lines(documents(), 1)[0]
    other = replace(problem, suffix="entirely different\n")
    assert infilling.complete_lines(engine, [problem], None) == infilling.complete_lines(
        engine, [other], None
    )


def test_perplexity_predicts_the_same_tokens_from_each_context(folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(folder)
    cut = perplexity.windows(documents(), tokenizer, 0, 64, 5)
    assert {len(window) for window in cut} == {65}
    config = config_with(vocab_size=290, n_positions=64, n_embd=32, n_layer=1, n_head=2)
    model = GPTBigCode(config)
    model.init_weights(torch.Generator().manual_seed(1))
    precision = Precision(device=torch.device("cpu"), bf16=False)
    found = perplexity.perplexities(model, cut, (16, 64), precision)
    assert [each.context_tokens for each in found] == [16, 64]
    assert {each.n_tokens for each in found} == {8 * len(cut)}
    nats = 0.0
    for window in cut:  # by the definition, from the logits
        ids = torch.tensor(window[-17:])
        targets = torch.full((1, 16), -100)
        targets[0, -8:] = ids[-8:]
        nats += model.loss(ids[None, :-1], targets).item() * 8
    assert found[0].perplexity == pytest.approx(math.exp(nats / (8 * len(cut))))
    with pytest.raises(EvaluationError, match="128"):
        perplexity.perplexities(model, cut, (128,), precision)
    with pytest.raises(EvaluationError, match="shorter"):
        perplexity.windows(documents(1), tokenizer, 0, 100_000, 1)


def test_commands(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "python.jsonl").write_text(
        "\n".join(json.dumps({"text": d.text, "repository": d.repository}) for d in documents())
    )
    options = ["--model", str(folder), "--held-out", str(tmp_path), "--json"]
    for command in (["lines", "--lines", "3"], ["perplexity", "--contexts", "16,64"]):
        result = CliRunner().invoke(eval_app, [command[0], *options, *command[1:]])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["model"] == str(folder)
    result = CliRunner().invoke(eval_app, ["perplexity", *options])
    assert result.exit_code == 1  # 128 positions: no context of 512
    assert "--contexts" in result.stderr.replace("\n", "")


def test_a_report_sets_the_model_beside_the_paper(tmp_path: Path) -> None:
    score = {"n_problems": 1, "samples_per_problem": 2, "pass@1": 0.25, "reasons": {"passed": 1, "failed": 3}}
    span = {"exact_match": 0.5, "pass_rate": 0.75, "n_problems": 4}
    effort = {"samples": 2, "temperature": 0.2, "top_p": 0.95, "max_new_tokens": 8}
    result = {
        "model": "tiny",
        "effort": effort,
        "left_out": ["MBPP: mbpp/mbpp.jsonl is missing"],
        "tested": {"HumanEval": score},
        "infilling": {"single-line": {"spm": span, "psm": {**span, "exact_match": 0.25}}},
        "parameters": 1_500_000,
        "positions": 512,
        "lines": {"before": {"exact_match": 0.1, "edit_similarity": 0.6, "n_lines": 10}},
        "perplexity": [{"context_tokens": 512, "perplexity": 3.5, "n_tokens": 256}],
    }
    text = markdown(result, "starcoder-lsp eval report", "x.png")
    assert "| **tiny** | 1.5 M | 25.0 | – | 50.0 | this run |" in text
    assert "| StarCoder | 15.5 B | 33.6 | 52.7 | – | arXiv 2305.06161 |" in text
    assert "| StarCoderBase-3B | 3.0 B | 21.46 | – | – | its model card |" in text
    assert "The model has 512 positions" in text
    assert "passed 1, failed 3" in text
    assert "the paper takes 200" in text
    assert "MBPP: mbpp/mbpp.jsonl is missing" in text
    write_report(result, tmp_path / "evaluation.md", "command")
    assert json.loads((tmp_path / "evaluation.json").read_text())["tested"]["HumanEval"]["pass@1"] == 0.25
    assert (tmp_path / "evaluation.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "evaluation.md").is_file()


def test_held_out_documents_are_chosen_by_language(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "language": "Python"}\n{"text": "y", "language": "C"}\n')
    assert [each.text for each in read_held_out(tmp_path, ["python"])] == ["x"]
    with pytest.raises(EvaluationError, match=r"Rust.*C, Python"):
        read_held_out(tmp_path, ["Rust"])
