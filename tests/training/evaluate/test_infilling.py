from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from model.engine.engine import Engine
from model.prompt.fim_format import FimOrder
from model.pytorch.checkpoint import save_checkpoint
from model.pytorch.gpt_bigcode import GPTBigCode
from model.start.load import load_engine
from tests.model.tiny import config_with
from training.data.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer
from training.errors import EvaluationError
from training.evaluate.measure import measure_spans
from training.evaluate.scoring.infilling import LineProblem, complete_lines
from training.evaluate.scoring.spans import SINGLE_LINE, HoledProgram, read_spans, score_spans

HUMAN_EVAL = Path(__file__).parents[4] / "shared" / "data" / "human-eval-infilling"
PROBLEMS = [
    LineProblem(task_id=str(i), prefix="def f(x):\n" * (1 + i), suffix="    return x\n", line="    x = 1\n")
    for i in range(5)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of random weights that leans to letters: its answers are arbitrary, but never empty."""
    texts = ["def f(x):\n    x = 1\n    return x\n"] * 40
    tokenizer = train_tokenizer(texts, TokenizerOptions(vocab_size=290))
    save_tokenizer(tokenizer, tmp_path / "model")
    config = config_with(vocab_size=290, n_positions=128, n_embd=32, n_layer=2, n_head=2)
    model = GPTBigCode(config)
    model.init_weights(torch.Generator().manual_seed(2))
    letters = [tokenizer.token_to_id(letter) for letter in "abcdef"]
    with torch.no_grad():
        model.transformer.ln_f.bias.copy_(300 * model.transformer.wte.weight[letters].mean(0))
    save_checkpoint(tmp_path / "model", config, dict(model.state_dict()))
    return tmp_path / "model"


@pytest.fixture
def engine(folder: Path) -> Engine:
    return load_engine(folder, device="cpu", quantize="none")


def write_problems(path: Path, problems: list[LineProblem]) -> Path:
    records = [
        {"task_id": p.task_id, "prompt": p.prefix, "suffix": p.suffix, "canonical_solution": p.line}
        for p in problems
    ]
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    return path


@pytest.mark.parametrize("order", list(FimOrder))
def test_what_the_model_says_is_an_exact_match(engine: Engine, order: FimOrder) -> None:
    answers = complete_lines(engine, PROBLEMS, order)
    assert all(answer.strip() for answer in answers)
    right = [
        LineProblem(task_id=p.task_id, prefix=p.prefix, suffix=p.suffix, line=f"  {answer}\n")
        for p, answer in zip(PROBLEMS, answers, strict=True)
    ]
    score = score_spans(engine, SINGLE_LINE, [HoledProgram(hole=problem) for problem in right], order, None)
    assert score["exact_match"] == 1.0
    assert score["exact_match_indented"] < 1.0
    wrong = score_spans(
        engine, SINGLE_LINE, [HoledProgram(hole=problem) for problem in PROBLEMS], order, None
    )
    assert wrong["exact_match"] == 0.0


def test_a_batch_answers_as_one_at_a_time(engine: Engine) -> None:
    together = complete_lines(engine, PROBLEMS, FimOrder.SPM)
    assert all(together)
    assert together == [complete_lines(engine, [problem], FimOrder.SPM)[0] for problem in PROBLEMS]


def test_a_problem_beyond_the_context_is_answered_from_what_is_next_to_the_hole(engine: Engine) -> None:
    long = LineProblem(
        task_id="long", prefix="a = 1\n" * 500 + "def f(x):\n", suffix="b = 2\n" * 500, line="x"
    )
    (answer,) = complete_lines(engine, [long], FimOrder.SPM)
    assert answer


def test_a_model_is_measured_on_some_problems_in_an_order(folder: Path, tmp_path: Path) -> None:
    path = write_problems(tmp_path / "problems.jsonl.gz", PROBLEMS)
    found = measure_spans(str(folder), str(path), ("psm",), 3, None)
    assert (found["kind"], found["healed"], found["model"]) == (SINGLE_LINE, True, str(folder))
    assert found["orders"]["psm"]["exact_match"] == 0.0
    assert found["orders"]["psm"]["n_problems"] == 3


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(EvaluationError, match=r"a\.jsonl"):
        read_spans(str(tmp_path / "a.jsonl"))
    with pytest.raises(EvaluationError, match=r"b\.jsonl"):
        read_spans(str(tmp_path / "b.jsonl.gz"))


@pytest.mark.skipif(not HUMAN_EVAL.is_dir(), reason="HumanEval infilling is not beside this checkout")
def test_the_published_problems_are_read() -> None:
    path = str(HUMAN_EVAL / "HumanEval-SingleLineInfilling.jsonl.gz")
    kind, spans = read_spans(path)
    assert (kind, len(spans)) == (SINGLE_LINE, 1_033)
    some = [span.hole for span in read_spans(path, limit=100)[1]]
    assert len({hole.task_id for hole in some}) == 100
    assert all(hole.line.strip() for hole in some)
