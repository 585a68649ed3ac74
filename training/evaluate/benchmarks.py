"""The whole of `eval score`: a file of samples and the name of its problems to pass@k."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.threads import available_cpus
from training.evaluate.problems import Problem, mbpp_test, read_json_lines, read_tasks
from training.evaluate.progress import progress_bar
from training.evaluate.sandbox.pool import Limits, Sandbox
from training.evaluate.scoring import Sample, check_tools, judge, samples_of, summarise


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How programs are run and counted."""

    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    workers: int | None = None
    ks: tuple[int, ...] = (1, 10, 100)


def score_file(
    samples: Path, problems: str, judging: Judging, verdicts: Path | None = None
) -> dict[str, Any]:
    """`pass@k`, `reasons` and counts of a file of samples. Raises EvaluationError."""
    tasks = read_tasks(problems)
    chosen = samples_of(read_json_lines(samples), tasks)
    mbpp_ids = all(name.isdigit() for name in tasks)
    wanted = mbpp_test(tasks) if mbpp_ids else tasks
    return score(chosen, wanted, judging, verdicts or _beside(samples))


def score(
    samples: list[Sample], wanted: Iterable[str], judging: Judging, verdicts: Path | None
) -> dict[str, Any]:
    """Run every sample and summarise. Raises EvaluationError, SandboxRefused before anything is run."""
    check_tools(samples)
    workers = judging.workers or available_cpus()
    sandbox = Sandbox(limits=judging.limits, unsafe=judging.unsafe, workers=min(workers, len(samples)))
    with sandbox, progress_bar("running programs") as progress:
        outcomes = judge(samples, sandbox, verdicts, progress)
    result = summarise(samples, outcomes, judging.ks, wanted).to_dict()
    return {**result, "sandbox": "none" if judging.unsafe else "namespaces"}


def _beside(samples: Path) -> Path | None:
    """The default file of verdicts; None, said on stderr, where it could not be written."""
    path = samples.with_name(samples.name + "_verdicts.jsonl")
    if os.access(path.parent, os.W_OK):
        return path
    print(f"{path.parent} cannot be written: verdicts are not kept (see --verdicts)", file=sys.stderr)
    return None


def canonical_samples(problems: dict[str, Problem]) -> list[Sample]:
    """The reference solutions as samples: a correct runner passes them all."""
    return [Sample(problem=problem, answer=problem.canonical) for problem in problems.values()]
