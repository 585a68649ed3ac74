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
    int | None, typer.Option(min=1, help="Programs at once; default: two a core.", show_default=False)
]
Seconds = Annotated[
    int,
    typer.Option(
        "--time-limit",
        min=1,
        help="Seconds of a Python program; up to 4 times that where the machine is busy.",
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


EvaluatedModel = Annotated[str, typer.Option(help="A bundled name, a folder or a Hugging Face id.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take so many problems, evenly spread.")]


def benchmark_command(
    name: str,
    model: EvaluatedModel,
    problems: str | None,
    samples: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    seed: int,
    limit: int | None,
    samples_file: Path | None,
    k: str,
    time_limit: int,
    workers: int | None,
    unsafe: bool,
    json_output: bool,
) -> None:
    """One of the benchmarks, by its name in `training.evaluate.benchmarks`."""
    from training.evaluate.benchmarks import BENCHMARKS, Judging, run_benchmark
    from training.evaluate.sandbox.pool import Limits
    from training.evaluate.scoring.generate import SamplingPlan

    try:
        plan = SamplingPlan(
            model=model,
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            seed=seed,
        )
        judging = Judging(limits=Limits(seconds=time_limit), unsafe=unsafe, workers=workers, ks=numbers(k))
        tasks = BENCHMARKS[name].problems(problems, limit)
        target = samples_file or Path(f"{name}-{Path(model).name}.jsonl")
        score = run_benchmark(tasks, plan, judging, target)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    show(score, json_output=json_output)


def add_benchmark(app: typer.Typer, name: str, title: str) -> None:
    """Mount one benchmark as a command of its own."""

    @app.command(name, help=f"{title}: sample a model, run its programs in the sandbox, estimate pass@k.")
    def command(
        model: EvaluatedModel,
        problems: Annotated[
            str | None, typer.Option(help="A .jsonl(.gz) or a Hugging Face id.", show_default=False)
        ] = None,
        samples: Annotated[
            int,
            typer.Option(min=1, help="Samples of each problem; the paper takes 200. Fewer: a wider guess."),
        ] = 200,
        temperature: Annotated[float, typer.Option(min=0, help="The paper's for pass@1.")] = 0.2,
        top_p: Annotated[float, typer.Option(min=0.01, max=1, help="The paper's.")] = 0.95,
        max_new_tokens: Annotated[int, typer.Option(min=1, help="At most half the model's context.")] = 512,
        seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
        limit: Limit = None,
        samples_file: Annotated[
            Path | None,
            typer.Option(
                help="Where the samples go; a stopped run goes on from it. Default: BENCHMARK-MODEL.jsonl.",
                show_default=False,
            ),
        ] = None,
        k: PassAt = "1,10,100",
        time_limit: Seconds = 3,
        workers: Workers = None,
        unsafe: Unsafe = False,
        json_output: JsonOutput = False,
    ) -> None:
        benchmark_command(
            name, model, problems, samples, temperature, top_p, max_new_tokens, seed, limit, samples_file,
            k, time_limit, workers, unsafe, json_output,
        )  # fmt: skip
