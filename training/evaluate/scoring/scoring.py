"""Samples to verdicts to pass@k.

Verdicts are written as they come, so that a run that was stopped goes on where it was; a verdict belongs to
its program and the limits it ran under. Knows no model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import EvaluationError
from training.evaluate.sandbox.languages import LANGUAGES
from training.evaluate.sandbox.pool import Limits, Program, Sandbox, SandboxOutcome, missing_tools
from training.evaluate.sets.problems import Problem, answer_of, task_name

ScoringProgress = Callable[[int, int], None]

_WHILE = re.compile(r"\bwhile\b")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer to one problem."""

    problem: Problem
    answer: str

    @property
    def program(self) -> Program:
        """The answer with its tests."""
        return Program(source=self.problem.program(self.answer), language=self.problem.language)


@dataclass(frozen=True, kw_only=True)
class Score:
    """`pass_at` by k, from 0 to 1; `reasons` counts outcomes; `missing` problems have no sample."""

    pass_at: dict[int, float]
    n_problems: int
    n_samples: int
    missing: int
    reasons: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `pass@k` is a key of its own."""
        rest = asdict(self)
        return {**{f"pass@{k}": value for k, value in rest.pop("pass_at").items()}, **rest}


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that one of k samples passes, given `correct` of n (Chen et al. 2021, §2.1).

    1 − C(n−c, k) / C(n, k), as a product, which cannot overflow. Needs k ≤ n.
    """
    if not 0 < k <= n:
        raise EvaluationError(f"k = {k}: pass@k needs at least k samples of each problem, here {n}")
    if n - correct < k:
        return 1.0
    misses = 1.0
    for i in range(n - correct + 1, n + 1):
        misses *= 1.0 - k / i
    return 1.0 - misses


def samples_of(records: Iterable[Mapping[str, Any]], problems: Mapping[str, Problem]) -> list[Sample]:
    """Each record with its problem. Raises EvaluationError for a task that is not among them."""
    samples = []
    for number, record in enumerate(records, start=1):
        if "task_id" not in record:
            raise EvaluationError(f"sample {number} has no task_id: {sorted(record)}")
        name = task_name(record["task_id"], problems)
        if name not in problems:
            first = next(iter(problems))
            raise EvaluationError(
                f"sample {number}: task_id {record['task_id']!r} is not among the {len(problems)} problems "
                f"(the first is {first!r}); --problems must name the set the samples answer"
            )
        samples.append(Sample(problem=problems[name], answer=answer_of(record, problems[name])))
    if not samples:
        raise EvaluationError("there is no sample to score")
    return samples


def check_tools(samples: Sequence[Sample]) -> None:
    """Raises EvaluationError when a language of the samples cannot be run here."""
    for language in dict.fromkeys(sample.problem.language for sample in samples):
        if language not in LANGUAGES:
            raise EvaluationError(f"{language} programs cannot be run; those of {', '.join(LANGUAGES)} can")
        missing = missing_tools(language)
        if missing:
            raise EvaluationError(f"{language} programs need {' and '.join(missing)} on the PATH")


def judge(
    samples: Sequence[Sample],
    sandbox: Sandbox,
    verdicts: Path | None = None,
    progress: ScoringProgress = lambda done, total: None,
) -> list[SandboxOutcome]:
    """The outcome of each sample, in their order.

    Those that `verdicts` holds already are not run again, and of samples that are the same program one is.
    """
    keys = [_key(number, sample, sandbox.limits) for number, sample in enumerate(samples)]
    known = _known(verdicts) if verdicts else {}
    outcomes = [known.get(key) for key in keys]
    todo: dict[Program, list[int]] = defaultdict(list)  # a model often writes the same program again
    for number, outcome in enumerate(outcomes):
        if outcome is None:
            todo[samples[number].program].append(number)
    done = len(samples) - sum(map(len, todo.values()))
    progress(done, len(samples))
    with verdicts.open("a", encoding="utf-8") if verdicts and todo else nullcontext() as file:
        # What may never end begins first, or it alone would be waited for in the end.
        order = sorted(todo, key=lambda program: _WHILE.search(samples[todo[program][0]].answer) is None)
        same = [todo[program] for program in order]
        for index, outcome in sandbox.run_all(order):
            for number in same[index]:
                outcomes[number] = outcome
                if file is not None:
                    file.write(_line(number, samples[number], outcome, keys[number]))
            if file is not None:
                file.flush()
            done += len(same[index])
            progress(done, len(samples))
    return [outcome for outcome in outcomes if outcome is not None]


def summarise(
    samples: Sequence[Sample], outcomes: Sequence[SandboxOutcome], ks: Sequence[int], wanted: Iterable[str]
) -> Score:
    """pass@k as the mean over the problems that have samples; a k above the fewest samples is left out.

    `wanted` are the task ids that were to be answered. Raises EvaluationError when no k is left.
    """
    passed: dict[str, list[bool]] = defaultdict(list)
    for sample, outcome in zip(samples, outcomes, strict=True):
        passed[sample.problem.task_id].append(outcome.passed)
    fewest = min(map(len, passed.values()))
    possible = [k for k in ks if k <= fewest]
    if not possible:
        raise EvaluationError(f"pass@{min(ks)} needs {min(ks)} samples of each problem; one has {fewest}")
    return Score(
        pass_at={
            k: sum(pass_at_k(len(each), sum(each), k) for each in passed.values()) / len(passed)
            for k in possible
        },
        n_problems=len(passed),
        n_samples=len(samples),
        missing=len(set(wanted) - set(passed)),
        reasons=dict(Counter(outcome.reason for outcome in outcomes).most_common()),
    )


def _key(number: int, sample: Sample, limits: Limits) -> str:
    what = json.dumps([number, sample.program.language, sample.program.source, asdict(limits)])
    return hashlib.blake2b(what.encode(), digest_size=12).hexdigest()


def _line(number: int, sample: Sample, outcome: SandboxOutcome, key: str) -> str:
    named = {"number": number, "task_id": sample.problem.task_id, "passed": outcome.passed}
    record = {**named, **asdict(outcome), "key": key}
    return json.dumps(record) + "\n"


def _known(path: Path) -> dict[str, SandboxOutcome]:
    """Verdicts of an earlier run; the last line of one that was killed may be half a line, and is dropped."""
    if not path.is_file():
        return {}
    known = {}
    text = path.read_text(encoding="utf-8")
    whole, _, torn = text.rpartition("\n")
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            known[record["key"]] = SandboxOutcome(
                reason=record["reason"], message=record["message"], seconds=record["seconds"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"{path}, line {number} is not a verdict ({error!r}); name another file with --verdicts"
            ) from error
    if torn:
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    return known
