"""`starcoder-lsp eval score` and the benchmarks with tests: options to calls, errors to exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from model.errors import ModelError
from training.cli_common import fail
from training.errors import TrainingError

Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Run the programs without the sandbox. They can then do whatever you can."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Programs at once; default: one a core.", show_default=False)
]
Seconds = Annotated[
    int,
    typer.Option(
        "--time-limit", min=1, help="Processor seconds of a Python program; 4 times that by the clock."
    ),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PassAt = Annotated[str, typer.Option("--k", help="The k of pass@k, with commas between.")]


def score_command(
    samples: Annotated[Path, typer.Argument(help="JSON lines: task_id and completion (or generation).")],
    problems: Annotated[
        str, typer.Option(help="HumanEval, MBPP, HumanEval-X or infilling: .jsonl(.gz) or a Hugging Face id.")
    ],
    k: PassAt = "1,10,100",
    verdicts: Annotated[
        Path | None,
        typer.Option(
            help="Where each program's verdict goes; a stopped run goes on from it. "
            "Default: SAMPLES_verdicts.jsonl.",
            show_default=False,
        ),
    ] = None,
    time_limit: Seconds = 3,
    memory: Annotated[int, typer.Option(min=64, help="Megabytes of one program.")] = 1_024,
    workers: Workers = None,
    unsafe: Unsafe = False,
    json_output: JsonOutput = False,
) -> None:
    """Run generated programs against their tests, in a sandbox, and estimate pass@k without bias.

    A k above the number of samples of a problem is left out.
    """
    from training.evaluate.benchmarks import Judging, score_file
    from training.evaluate.sandbox.pool import Limits

    try:
        judging = Judging(
            limits=Limits(seconds=time_limit, memory_mb=memory),
            unsafe=unsafe,
            workers=workers,
            ks=numbers(k),
        )
        score = score_file(samples, problems, judging, verdicts)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    show(score, json_output=json_output)


def numbers(text: str) -> tuple[int, ...]:
    """`1,10` to (1, 10). Raises EvaluationError."""
    from training.errors import EvaluationError

    try:
        values = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise EvaluationError(f"{text!r}: expected numbers with commas between, such as 1,10") from error
    if values[0] < 1:
        raise EvaluationError(f"{text!r}: numbers must be at least 1")
    return values


def show(score: dict[str, Any], *, json_output: bool) -> None:
    """One object, or a line for each figure."""
    if json_output:
        typer.echo(json.dumps(score))
        return
    console = Console(highlight=False)
    for name, value in score.items():
        if name.startswith("pass@"):
            console.print(f"{name:<10} {100 * value:.1f} %")
    console.print(f"{'problems':<10} {score['n_problems']}")
    console.print(f"{'samples':<10} {score['n_samples']}")
    for reason, count in score["reasons"].items():
        console.print(f"  {reason:<16} {count}")
    if score["missing"]:
        console.print(f"{score['missing']} problems have no sample and do not count.")
