"""What is timed, and how: every contender once, then every contender again.

Tasks: prefill of 512, 1,024 and 2,047 tokens; decode after 512 tokens, alone and in batches; a
keystroke in a prompt of 1,024 tokens before the cursor and 256 behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.progress import Progress

from benchmarks.engine.contender import Cell, Contender, Prompt, cell

Measure = Callable[[Contender], float]  # seconds
Task = Callable[[], Measure]  # each call makes new prompts

# What takes the place of <fim_prefix>, <fim_suffix> and <fim_middle>: to a timer any ids do.
_PREFIX, _SUFFIX, _MIDDLE = 1, 3, 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    prefills: Sequence[int] = (512, 1024, 2047)
    decode_context: int = 512
    n_tokens: int = 24
    batches: Sequence[int] = (8, 32)
    batch_context: int = 128
    keystroke_prefix: int = 1024
    keystroke_suffix: int = 256
    keystroke: bool = True
    """Left out where prompts are not laid out suffix first: then `benchmarks.replay` tells more."""
    runs: int = 5
    only: Sequence[str] = ("",)
    """Tasks whose names hold one of these."""
    seconds: Callable[[], float] = time.perf_counter
    """The clock. `processor_seconds` is for a machine that others use too."""

    def within(self, n_positions: int) -> Plan:
        """The same for a model with a shorter context."""
        return replace(self, prefills=[n for n in self.prefills if n < n_positions])


def processor_seconds(threads: int) -> Callable[[], float]:
    """This process's processor time, shared out to its threads: about what it would take alone."""
    return lambda: time.process_time() / threads


class Prompts:
    """Random token ids: the same for every contender, new for every run."""

    def __init__(self, vocab_size: int) -> None:
        self._random, self._vocab_size = np.random.default_rng(0), vocab_size

    def some(self, length: int) -> list[int]:
        """`length` ids that are no special tokens."""
        return [int(token) for token in self._random.integers(300, self._vocab_size, length)]


def run_all(contenders: Sequence[Contender], plan: Plan, vocab_size: int) -> list[Cell]:
    """Every task on every contender, `plan.runs` times in turns after one that warms up."""
    prompts = Prompts(vocab_size)
    tasks = _tasks(plan, prompts)
    cells: list[Cell] = []
    with Progress(transient=True) as progress:
        bar = progress.add_task("", total=len(tasks) * (plan.runs + 1) * len(contenders))
        for name, task in tasks.items():
            times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
            for run in range(plan.runs + 1):
                prepare = task()
                first = run % len(contenders)
                for contender in [*contenders[first:], *contenders[:first]]:
                    progress.update(bar, advance=1, description=f"{name}: {contender.name}")
                    seconds = prepare(contender)
                    if run:
                        times[contender.name].append(seconds)
            cells += [cell(name, contender, measured) for contender, measured in times.items()]
    return cells


def _tasks(plan: Plan, prompts: Prompts) -> dict[str, Task]:
    tasks: dict[str, Task] = {
        f"prefill {length:,}": partial(_prefill, prompts, length, plan.seconds) for length in plan.prefills
    }
    alone = f"decode a token after {plan.decode_context}"
    tasks[alone] = partial(_decode, prompts, 1, plan.decode_context, plan)
    for batch in plan.batches:
        name = f"decode a token for {batch} streams"
        tasks[name] = partial(_decode, prompts, batch, plan.batch_context, plan)
    if plan.keystroke:
        tasks["keystroke"] = partial(_keystroke, prompts, plan)
    return {name: task for name, task in tasks.items() if any(part in name for part in plan.only)}


def _prefill(prompts: Prompts, length: int, clock: Callable[[], float]) -> Measure:
    prompt = prompts.some(length)
    return lambda contender: _timed(lambda: contender.prefill(prompt), clock)


def _decode(prompts: Prompts, n_streams: int, context: int, plan: Plan) -> Measure:
    """Seconds a step: one token of every stream."""
    batch = [prompts.some(context) for _ in range(n_streams)]

    def measure(contender: Contender) -> float:
        seconds = _timed(contender.decode(batch, plan.n_tokens), plan.seconds)
        if getattr(contender, "computes_prompts_again", False):
            seconds -= _timed(contender.decode(batch, 0), plan.seconds)
        return seconds / plan.n_tokens

    return measure


def _keystroke(prompts: Prompts, plan: Plan) -> Measure:
    """One more token before the cursor. Ours lays prompts out suffix first, peers prefix first, unless
    they are told to take our layout."""
    prefix, suffix = prompts.some(plan.keystroke_prefix), prompts.some(plan.keystroke_suffix)
    typed = [*prefix, *prompts.some(1)]

    def prompt(before: Prompt, contender: Contender) -> Prompt:
        if getattr(contender, "suffix_first", False):
            return [_PREFIX, _SUFFIX, *suffix, _MIDDLE, *before]
        return [_PREFIX, *before, _SUFFIX, *suffix, _MIDDLE]

    def measure(contender: Contender) -> float:
        return _timed(contender.keystroke(prompt(prefix, contender), prompt(typed, contender)), plan.seconds)

    return measure


def _timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    work()
    return clock() - began
