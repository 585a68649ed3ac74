"""Infilling of single lines, several lines and random spans: exact match, and whether the program then
passes.

HumanEval infilling (arXiv 2207.14255, §5.2; single-line after arXiv 2204.05999, §4.1). The file of
multi-line problems is every run of lines of HumanEval's solutions, so a HumanEval file stands for it.
Greedy. A line's answer ends at its line end; a span's where the model ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from model.engine.engine import Engine
from model.prompt.fim_format import FimOrder
from training.errors import EvaluationError
from training.evaluate.sandbox.pool import Sandbox
from training.evaluate.scoring import infilling
from training.evaluate.scoring.scoring import Sample, judge
from training.evaluate.sets.problems import Problem, problem_of, read_records

T = TypeVar("T")
SINGLE_LINE, MULTI_LINE, RANDOM_SPAN = "single-line", "multi-line", "random-span"
_KINDS = {"SingleLine": SINGLE_LINE, "MultiLine": MULTI_LINE, "RandomSpan": RANDOM_SPAN}
_MAX_SPAN_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class HoledProgram:
    """A program with a hole, and how to test what fills it, if the file has tests."""

    hole: infilling.LineProblem
    problem: Problem | None = None


def read_spans(source: str, limit: int | None = None) -> tuple[str, list[HoledProgram]]:
    """The kind of a file's problems, and so many of them, evenly spread. Raises EvaluationError."""
    records = read_records(source)
    if records and "suffix" not in records[0]:
        try:
            records = [each for record in records for each in multi_line_records(record)]
        except KeyError as error:
            raise EvaluationError(f"{source}: a problem lacks {error}: {sorted(records[0])}") from error
    if not records:
        raise EvaluationError(f"{source} holds no infilling problem")
    name = str(records[0].get("task_id", ""))
    kinds = [kind for start, kind in _KINDS.items() if name.startswith(start)]
    if not kinds and any("\n" in str(record.get("canonical_solution", "")).strip() for record in records):
        raise EvaluationError(f"{source}: task_id {name!r} begins with none of {', '.join(_KINDS)}")
    return (kinds or [SINGLE_LINE])[0], [_span(record, source) for record in evenly(records, limit)]


def evenly(problems: Sequence[T], limit: int | None) -> Sequence[T]:
    """So many of them, evenly spread; all without a limit."""
    count = min(limit or len(problems), len(problems))
    return [problems[i * len(problems) // count] for i in range(count)]


def multi_line_records(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every run of lines of a HumanEval solution that begins and ends with a line that is not blank."""
    lines = str(record["canonical_solution"]).splitlines(keepends=True)
    for first in range(len(lines)):
        for last in range(first, len(lines)):
            if not lines[first].strip() or not lines[last].strip():
                continue
            yield {
                "task_id": f"MultiLineInfilling/{record['task_id']}/L{first}_L{last}",
                "entry_point": record["entry_point"],
                "prompt": record["prompt"] + "".join(lines[:first]),
                "suffix": "".join(lines[last + 1 :]),
                "canonical_solution": "".join(lines[first : last + 1]),
                "test": record["test"],
            }


def _span(record: Mapping[str, Any], source: str) -> HoledProgram:
    try:
        hole = infilling.LineProblem(
            task_id=str(record["task_id"]),
            prefix=record["prompt"],
            suffix=record["suffix"],
            line=record["canonical_solution"],
        )
    except KeyError as error:
        raise EvaluationError(f"{source}: a problem lacks {error}: {sorted(record)}") from error
    return HoledProgram(hole=hole, problem=problem_of(record, source) if "test" in record else None)


def ends_of(kind: str, n_positions: int) -> infilling.Ends:
    """Where the answers to problems of a kind end."""
    if kind == SINGLE_LINE:
        return infilling.Ends()
    return infilling.Ends(stop=(), max_new_tokens=min(_MAX_SPAN_TOKENS, n_positions // 4))


def score_spans(
    engine: Engine,
    kind: str,
    spans: Sequence[HoledProgram],
    order: FimOrder | None,
    sandbox: Sandbox | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    heal: bool = True,
) -> dict[str, Any]:
    """What `score_answers` says of an engine's answers; without an order it sees only what is before."""
    ends = ends_of(kind, engine.config.n_positions)
    holes = [span.hole for span in spans]
    answers = infilling.complete_lines(engine, holes, order, progress, heal=heal, ends=ends)
    return score_answers(kind, spans, answers, sandbox)


def score_answers(
    kind: str, spans: Sequence[HoledProgram], answers: Sequence[str], sandbox: Sandbox | None = None
) -> dict[str, Any]:
    """`exact_match`, `exact_match_indented` and, with a sandbox, `pass_rate`: shares from 0 to 1.

    White space around an answer does not count (as in SantaCoder's evaluation, arXiv 2301.03988, §6); for
    `exact_match_indented` that before it does.
    """
    pairs = [(answer, span.hole.line) for answer, span in zip(answers, spans, strict=True)]
    score: dict[str, Any] = {
        "exact_match": sum(answer.strip() == line.strip() for answer, line in pairs) / len(pairs),
        "exact_match_indented": sum(answer.rstrip() == line.rstrip() for answer, line in pairs) / len(pairs),
        "n_problems": len(pairs),
    }
    if sandbox is not None:
        end = "\n" if kind == SINGLE_LINE else ""
        samples = [
            Sample(problem=span.problem, answer=answer + end)
            for span, answer in zip(spans, answers, strict=True)
            if span.problem
        ]
        if len(samples) < len(spans):
            raise EvaluationError("these infilling problems have no tests, so no pass rate: leave it out")
        outcomes = judge(samples, sandbox)
        score["pass_rate"] = sum(outcome.passed for outcome in outcomes) / len(outcomes)
    return score
