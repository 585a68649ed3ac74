"""What is measured of one model. Owns which sets, in which forms, by whom; knows nothing of tables.

Scores are `training.evaluate`'s. llama.cpp is given our prompts as token ids, without token healing, which it
does not have; so a difference comes from its arithmetic alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.llama_server import LlamaServer, running
from benchmarks.models.answers import Answers, answered
from model.engine.engine import Engine, EngineOptions
from model.errors import TokenizerError
from model.prompt.fim_format import FimOrder
from model.start.load import load_engine
from model.weights.hub import resolve
from training.evaluate.benchmarks import BENCHMARKS, Judging, run_benchmark
from training.evaluate.measure import SPAN_FILES, TESTED_FILES
from training.evaluate.progress import progress_bar
from training.evaluate.scoring.generate import SamplingPlan
from training.evaluate.scoring.infilling import complete_lines, hole_prompt
from training.evaluate.scoring.spans import HoledProgram, ends_of, evenly, read_spans, score_answers

HEALED, NOT_HEALED, LLAMA = "ours, healed", "ours", "llama.cpp"
PROGRAMS = ("HumanEval", "MBPP")
# Prompts of these sets, with what is generated, are shorter.
_SERVER_CONTEXT = 4096
_MAX_PROGRAM_TOKENS = 384


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be measured, and by which means."""

    data: Path
    answers: Path
    """A folder that keeps all answers."""
    sets: Sequence[str] = (*SPAN_FILES, *PROGRAMS)
    limit: int | None = None
    peer_limit: int | None = None
    """So many of them go to llama.cpp, which takes several times as long, and to ours without healing."""
    threads: int = 1
    llama_server: str | None = None
    judging: Judging = field(default_factory=lambda: Judging(ks=(1,)))

    def file(self, model: Path, name: str) -> Path:
        """Where the answers of a model to a set are kept."""
        return self.answers / f"{model.stem} {name}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One model's figures: by set, then by who answered; shares from 0 to 1."""

    model: str
    description: dict[str, str]
    order: str
    infilling: dict[str, dict[str, dict[str, Any]]]
    programs: dict[str, dict[str, Any]]
    left_out: list[str]


def measure(model: str, wanted: Wanted) -> Quality:
    """All that can be measured of a model; what cannot is said in `left_out`."""
    path = resolve(model).folder
    engine = load_engine(path, options=EngineOptions(threads=wanted.threads))
    order = first_order(engine)
    left_out: list[str] = []
    infilling = {
        name: _fill(engine, order, wanted, name, path, left_out)
        for name, file in SPAN_FILES.items()
        if name in wanted.sets and _is_there(wanted.data / file, name, left_out)
    }
    description = dict(engine.description)
    del engine  # the programs' own run loads one, too
    programs = {
        name: _write(model, wanted, name)
        for name in PROGRAMS
        if name in wanted.sets and _is_there(wanted.data / TESTED_FILES[name][1], name, left_out)
    }
    return Quality(
        model=resolve(model).name,
        description=description,
        order="left to right" if order is None else order.value,
        infilling=infilling,
        programs=programs,
        left_out=left_out,
    )


def first_order(engine: Engine) -> FimOrder | None:
    """The order that the engine lays prompts out in; None for a model that was not trained to infill."""
    try:
        return engine.config.family.fim_format(engine.tokenizer.special_ids).orders[0]
    except TokenizerError:
        return None


def _is_there(file: Path, name: str, left_out: list[str]) -> bool:
    if not file.is_file():
        left_out.append(f"{name}: {file.name} is missing")
    return file.is_file()


def _fill(
    engine: Engine, order: FimOrder | None, wanted: Wanted, name: str, path: Path, left_out: list[str]
) -> dict[str, dict[str, Any]]:
    kind, spans = read_spans(str(wanted.data / SPAN_FILES[name]), wanted.limit)
    ends = ends_of(kind, engine.config.n_positions)

    def ours(*, heal: bool) -> Answers:
        return lambda some: complete_lines(engine, [span.hole for span in some], order, heal=heal, ends=ends)

    def theirs(some: Sequence[HoledProgram]) -> Sequence[str]:
        prompts = [hole_prompt(engine, span.hole, order, ends, heal=False).token_ids for span in some]
        return asyncio.run(_ask_llama(wanted, path, kind, prompts))

    def score(title: str, some: Sequence[HoledProgram], answers: Answers) -> dict[str, Any]:
        with progress_bar(f"{kind}, {title}") as progress:
            file = wanted.file(path, f"{kind}, {title}")
            return score_answers(kind, some, answered(some, file, answers, progress))

    beside = evenly(spans, wanted.peer_limit)
    scores = {
        HEALED: score(HEALED, spans, ours(heal=True)),
        NOT_HEALED: score(NOT_HEALED, beside, ours(heal=False)),
    }
    if wanted.llama_server is None or not path.is_file():
        left_out.append(f"{name} by llama.cpp: no llama-server, or no GGUF file")
        return scores
    return scores | {LLAMA: score(LLAMA, beside, theirs)}


async def _ask_llama(wanted: Wanted, path: Path, kind: str, prompts: Sequence[Sequence[int]]) -> list[str]:
    assert wanted.llama_server is not None
    start = running(wanted.llama_server, path, threads=wanted.threads, context_tokens=_SERVER_CONTEXT)
    async with start as server:
        return [await _answer(server, kind, ids) for ids in prompts]


async def _answer(server: LlamaServer, kind: str, ids: Sequence[int]) -> str:
    """Greedily, to where our own ends."""
    ends = ends_of(kind, _SERVER_CONTEXT)
    body = {
        "prompt": list(ids),
        "n_predict": ends.max_new_tokens,
        "stop": list(ends.stop),
        "temperature": 0,
        "samplers": ["temperature"],
        "cache_prompt": False,
    }
    return (await server.ask("/completion", body)).text


def _write(model: str, wanted: Wanted, name: str) -> dict[str, Any]:
    """pass@1 of programs, greedily."""
    key, file, _ = TESTED_FILES[name]
    problems = BENCHMARKS[key].problems(str(wanted.data / file), wanted.limit)
    plan = SamplingPlan(model=model, samples=1, temperature=0, max_new_tokens=_MAX_PROGRAM_TOKENS)
    samples = wanted.file(resolve(model).folder, name)
    return run_benchmark(problems, plan, wanted.judging, samples)


def interval(share: float, n: int) -> float:
    """Half the width of the 95 % interval of a share of `n` (the normal approximation)."""
    return 1.96 * math.sqrt(share * (1 - share) / n)
