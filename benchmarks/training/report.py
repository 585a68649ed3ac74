"""The run in numbers, and for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.training.contenders import THEIRS
from training.compute.precision import Precision, flops_per_token, peak_flops
from training.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One contender: medians over the steps, and its best step.

    `ratio` and `best_ratio`: its tokens a second over the Trainer's. Where a machine does other things, the
    best steps say more.
    """

    step_ms: float
    best_ms: float
    tokens_per_s: float
    mfu: float
    ratio: float
    best_ratio: float
    first_loss: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole run. `samples_tokens_per_s`: made by one process, FIM included."""

    device: str
    threads: int
    bf16: bool
    parameters: int
    seq_len: int
    batch: int
    steps: int
    contenders: Mapping[str, Speed]
    packing_tokens_per_s: float
    samples_tokens_per_s: float


def report_of(
    recipe: Recipe,
    precision: Precision,
    *,
    times_s: Mapping[str, Sequence[float]],
    first_losses: Mapping[str, float],
    packing_tokens_per_s: float,
    samples_tokens_per_s: float,
) -> Report:
    """Summarise each contender's steps; the Trainer's are what the others are compared with."""
    stage = recipe.stages[0]
    tokens = stage.samples(1) * stage.seq_len
    per_token, peak = flops_per_token(recipe.model, stage.seq_len), peak_flops(precision)

    def speed(name: str) -> Speed:
        median_s, best_s = statistics.median(times_s[name]), min(times_s[name])
        return Speed(
            step_ms=1e3 * median_s,
            best_ms=1e3 * best_s,
            tokens_per_s=tokens / median_s,
            mfu=tokens / median_s * per_token / peak,
            # Each step by the Trainer's beside it: what slows both cancels.
            ratio=statistics.median(a / b for a, b in zip(times_s[THEIRS], times_s[name], strict=True)),
            best_ratio=min(times_s[THEIRS]) / best_s,
            first_loss=first_losses[name],
        )

    return Report(
        device=torch.cuda.get_device_name() if precision.device.type == "cuda" else "CPU",
        threads=recipe.compute.threads,
        bf16=recipe.compute.bf16,
        parameters=recipe.model.n_parameters,
        seq_len=stage.seq_len,
        batch=stage.samples(1),
        steps=len(times_s[THEIRS]),
        contenders={name: speed(name) for name in times_s},
        packing_tokens_per_s=packing_tokens_per_s,
        samples_tokens_per_s=samples_tokens_per_s,
    )


def describe(report: Report) -> Iterator[str]:
    """The report for people."""
    yield (
        f"{report.parameters / 1e6:.1f}M parameters, {report.batch} × {report.seq_len} tokens a step, "
        f"{'bfloat16' if report.bf16 else 'float32'}, {report.device}, {report.threads} thread(s), "
        f"{report.steps} steps in turns"
    )
    yield f"  {'':<20} {'ms/step (best)':>20} {'tokens/s':>9} {'MFU':>6} {'ratio (best)':>15}  first loss"
    for name, speed in report.contenders.items():
        yield (
            f"  {name:<20} {speed.step_ms:9.1f} ({speed.best_ms:8.1f}) {speed.tokens_per_s:9,.0f} "
            f"{100 * speed.mfu:4.0f} % {speed.ratio:6.2f} ({speed.best_ratio:5.2f}×)  {speed.first_loss:.4f}"
        )
    yield (
        f"  packing {report.packing_tokens_per_s:,.0f} tokens/s; samples with FIM, "
        f"{report.samples_tokens_per_s:,.0f} tokens/s; one process each"
    )
