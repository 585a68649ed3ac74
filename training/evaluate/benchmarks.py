"""The whole of `eval score` and of a benchmark: a model or its samples, and the name of problems, to
pass@k.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.local.threads import available_cpus
from model.weights.hub import resolve
from training.errors import EvaluationError
from training.evaluate.progress import progress_bar
from training.evaluate.sandbox.pool import Limits, Sandbox
from training.evaluate.scoring.scoring import Sample, check_tools, judge, samples_of, summarise
from training.evaluate.sets.problems import Problem, mbpp_test, read_json_lines, read_tasks

if TYPE_CHECKING:
    from training.evaluate.scoring.generate import SamplingPlan


# A worker waits for the kernel a third of its time, and one with an endless program holds up no others.
_WORKERS_A_CORE = 2


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How programs are run and counted."""

    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    workers: int | None = None
    ks: tuple[int, ...] = (1, 10, 100)

    def sandbox(self, at_most: int | None = None) -> Sandbox:
        """A sandbox of these settings, not entered yet, of no more workers than there is work for."""
        workers = self.workers or _WORKERS_A_CORE * available_cpus()
        return Sandbox(limits=self.limits, unsafe=self.unsafe, workers=min(workers, at_most or workers))


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
    with judging.sandbox(len(samples)) as sandbox, progress_bar("running programs") as progress:
        outcomes = judge(samples, sandbox, verdicts, progress)
    result = summarise(samples, outcomes, judging.ks, wanted).to_dict()
    return {**result, "sandbox": "none" if judging.unsafe else "namespaces"}


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A set of problems: `default` is its Hugging Face id, where it can be had by one."""

    name: str
    default: str | None = None
    chooses: Callable[[Mapping[str, Problem]], Mapping[str, Problem]] = lambda problems: problems

    def problems(self, source: str | None, limit: int | None) -> Mapping[str, Problem]:
        """Its problems from `source`, evenly thinned out to `limit`. Raises EvaluationError."""
        if source is None and self.default is None:
            raise EvaluationError(
                f"{self.name} needs --problems: the file of a language, .jsonl or .jsonl.gz"
            )
        tasks = self.chooses(read_tasks(source or self.default or ""))
        if not tasks:
            raise EvaluationError(f"{source} holds no problem of {self.name}")
        return thinned(tasks, limit)


BENCHMARKS = {
    "humaneval": Benchmark(name="HumanEval", default="openai/openai_humaneval"),
    "mbpp": Benchmark(name="MBPP", default="google-research-datasets/mbpp", chooses=mbpp_test),
    "humaneval-x": Benchmark(name="HumanEval-X"),
}


def thinned(tasks: Mapping[str, Problem], limit: int | None) -> Mapping[str, Problem]:
    """So many of the problems, evenly spread; all without a limit."""
    names = list(tasks)
    if limit is None or limit >= len(names):
        return tasks
    return {name: tasks[name] for name in (names[i * len(names) // limit] for i in range(limit))}


def run_benchmark(
    problems: Mapping[str, Problem], plan: SamplingPlan, judging: Judging, samples_file: Path
) -> dict[str, Any]:
    """Sample the model, then score: what `score` gives, and the plan. Raises EvaluationError, ModelError."""
    from model.start.load import load_engine
    from training.evaluate.scoring.generate import generate

    folder = resolve(plan.model).folder
    check_tools([Sample(problem=problem, answer="") for problem in problems.values()])
    with judging.sandbox(1):
        pass  # a refusal comes before the hours of sampling
    engine = load_engine(folder)
    with progress_bar("sampling") as progress:
        generate(engine, problems, plan, samples_file, progress)
    records = [record for record in read_json_lines(samples_file) if record["task_id"] in problems]
    chosen = samples_of([record for record in records if record["index"] < plan.samples], problems)
    result = score(chosen, problems, judging, _beside(samples_file))
    return {
        **result,
        "model": plan.model,
        "temperature": plan.temperature,
        "top_p": plan.top_p,
        "samples_per_problem": plan.samples,
    }


def _beside(samples: Path) -> Path | None:
    """The default file of verdicts; None, said on stderr, where it could not be written."""
    path = samples.with_name(samples.name + "_verdicts.jsonl")
    if os.access(path.parent, os.W_OK):
        return path
    print(f"{path.parent} cannot be written: verdicts are not kept (see --verdicts)", file=sys.stderr)
    return None
