"""Samples of a model for problems with tests: n answers a problem, decoded in batches over one shared prompt.

The samples file is HumanEval's format and grows by whole groups, so that a run that was stopped goes on
from it and ends with the same samples: each group has its own seed. Knows nothing of tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from model.engine.engine import Engine, Handle
from model.engine.generation import Delta, GenerationRequest
from model.runner.sampling import SamplingParams
from model.stopping.stopping import StopRules
from training.errors import EvaluationError
from training.evaluate.sets.problems import Problem, read_json_lines

_GROUP = 32  # answers of one request: the engine's batch
_GROUPS_IN_FLIGHT = 4


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """As in the paper (arXiv 2305.06161, §6.1): temperature 0.2, top-p 0.95, 200 samples for pass@1."""

    model: str
    samples: int = 200
    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise EvaluationError(f"samples = {self.samples}: it must be at least 1")
        if self.temperature == 0 and self.samples > 1:
            raise EvaluationError(
                f"samples = {self.samples} of temperature 0 would all be the same; ask for 1"
            )

    @property
    def settings(self) -> str:
        """What a sample depends on, but for how many there are."""
        values = {key: value for key, value in asdict(self).items() if key != "samples"}
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class _Group:
    problem: Problem
    start: int
    size: int

    def seed(self, plan: SamplingPlan) -> int:
        name = f"{plan.seed}/{self.problem.task_id}/{self.start}"
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")


def generate(
    engine: Engine,
    problems: Mapping[str, Problem],
    plan: SamplingPlan,
    target: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Bring `target` to `plan.samples` answers of each problem. Raises EvaluationError, ModelError."""
    have = _present(target, plan)
    groups = iter(list(_groups(problems, plan, have)))
    total = len(problems) * plan.samples
    done = sum(1 for task_id, index in have if task_id in problems and index < plan.samples)
    progress(done, total)
    running: dict[Handle, tuple[_Group, list[str]]] = {}
    with target.open("a", encoding="utf-8") as file:
        while True:
            for group in islice(groups, _GROUPS_IN_FLIGHT - len(running)):
                running[engine.submit(_request(engine, group, plan))] = (group, [""] * group.size)
            if not running:
                return
            for handle, delta in engine.step():
                group, texts = running[handle]
                _take(group, texts, delta)
            for handle in [handle for handle in running if handle.done]:
                group, texts = running.pop(handle)
                lines = [
                    _line(group, index, text, plan)
                    for index, text in enumerate(texts, start=group.start)
                    if (group.problem.task_id, index) not in have
                ]
                file.write("".join(lines))
                file.flush()
                done += len(lines)
                progress(done, total)


def _take(group: _Group, texts: list[str], delta: Delta) -> None:
    if delta.finish_reason == "error":
        raise EvaluationError(f"{group.problem.task_id}: {delta.error}")
    texts[delta.index] += delta.text


def _groups(
    problems: Mapping[str, Problem], plan: SamplingPlan, have: set[tuple[str, int]]
) -> Iterator[_Group]:
    for problem in problems.values():
        for start in range(0, plan.samples, _GROUP):
            size = min(_GROUP, plan.samples - start)
            if any((problem.task_id, index) not in have for index in range(start, start + size)):
                yield _Group(problem=problem, start=start, size=size)


def _request(engine: Engine, group: _Group, plan: SamplingPlan) -> GenerationRequest:
    max_new_tokens = min(plan.max_new_tokens, engine.config.n_positions // 2)
    first = engine.tokenizer.first_ids
    room = engine.config.n_positions - max_new_tokens - len(first)
    return GenerationRequest(
        prompt_ids=[*first, *engine.tokenizer.encode(group.problem.prompt)[-room:]],
        n=group.size,
        stop=StopRules(stop=group.problem.stop),
        sampling=SamplingParams(
            max_new_tokens=max_new_tokens,
            temperature=plan.temperature,
            top_p=plan.top_p,
            seed=group.seed(plan),
        ),
    )


def _line(group: _Group, index: int, text: str, plan: SamplingPlan) -> str:
    record = {
        "task_id": group.problem.task_id,
        "completion": group.problem.answer(text),
        "index": index,
        "settings": plan.settings,
    }
    return json.dumps(record) + "\n"


def _present(target: Path, plan: SamplingPlan) -> set[tuple[str, int]]:
    """Which answers an earlier run wrote; half a line of one that was killed is dropped."""
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        return set()
    text = target.read_text(encoding="utf-8")
    whole, end, torn = text.rpartition("\n")
    if torn:
        target.write_text(whole + end, encoding="utf-8")
    records = read_json_lines(target)
    others = {record.get("settings") for record in records} - {plan.settings}
    if others:
        raise EvaluationError(
            f"{target} holds samples of other settings ({others.pop()}); "
            "name another file with --samples-file"
        )
    return {(record["task_id"], record["index"]) for record in records}
