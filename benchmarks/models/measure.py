"""What is measured of one model. Owns which sets, in which forms, by whom; knows nothing of tables.

Scores are `training.evaluate`'s. llama.cpp is given our prompts as token ids, without token healing, which it
does not have; so a difference comes from its arithmetic alone.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.llama_server import LlamaServer, running
from model.engine.engine import Engine, EngineOptions
from model.errors import TokenizerError
from model.prompt.fim_format import FimOrder
from model.start.load import load_engine
from model.weights.hub import resolve
from training.evaluate.benchmarks import BENCHMARKS, Judging, run_benchmark
from training.evaluate.measure import SPAN_FILES, TESTED_FILES
from training.evaluate.progress import progress_bar
from training.evaluate.scoring.generate import SamplingPlan
from training.evaluate.scoring.infilling import hole_prompt
from training.evaluate.scoring.spans import HoledProgram, ends_of, read_spans, score_answers, score_spans

HEALED, NOT_HEALED, LLAMA = "ours, healed", "ours", "llama.cpp"
PROGRAMS = ("HumanEval", "MBPP")
# Prompts of these sets, with what is generated, are shorter.
_SERVER_CONTEXT = 4096
_MAX_PROGRAM_TOKENS = 384


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be measured, and by which means."""

    data: Path
    sets: Sequence[str] = (*SPAN_FILES, *PROGRAMS)
    limit: int | None = None
    threads: int = 1
    llama_server: str | None = None
    judging: Judging = field(default_factory=lambda: Judging(ks=(1,)))


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
    scores = {}
    for title, heal in ((HEALED, True), (NOT_HEALED, False)):
        with progress_bar(f"{kind}, {title}") as progress:
            scores[title] = score_spans(engine, kind, spans, order, None, progress, heal=heal)
    if wanted.llama_server is None or not path.is_file():
        left_out.append(f"{name} by llama.cpp: no llama-server, or no GGUF file")
        return scores
    prompts = [_ids(engine, order, kind, span) for span in spans]
    with progress_bar(f"{kind}, {LLAMA}") as progress:
        answers = asyncio.run(_ask_llama(wanted, path, kind, prompts, progress))
    return scores | {LLAMA: score_answers(kind, spans, answers)}


def _ids(engine: Engine, order: FimOrder | None, kind: str, span: HoledProgram) -> Sequence[int]:
    ends = ends_of(kind, engine.config.n_positions)
    return hole_prompt(engine, span.hole, order, ends, heal=False).token_ids


async def _ask_llama(
    wanted: Wanted,
    path: Path,
    kind: str,
    prompts: Sequence[Sequence[int]],
    progress: Callable[[int, int], None],
) -> list[str]:
    assert wanted.llama_server is not None
    start = running(wanted.llama_server, path, threads=wanted.threads, context_tokens=_SERVER_CONTEXT)
    async with start as server:
        answers: list[str] = []
        for ids in prompts:
            answers.append(await _answer(server, kind, ids))
            progress(len(answers), len(prompts))
        return answers


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
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        return run_benchmark(problems, plan, wanted.judging, Path(folder, "samples.jsonl"))


def interval(share: float, n: int) -> float:
    """Half the width of the 95 % interval of a share of `n` (the normal approximation)."""
    return 1.96 * math.sqrt(share * (1 - share) / n)
