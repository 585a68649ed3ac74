"""`starcoder-lsp eval infilling`, `lines`, `perplexity` and `report`: options to calls, errors to exit
codes.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.errors import ModelError
from training.cli.evaluate import EvaluatedModel, JsonOutput, Limit, Seconds, Unsafe, Workers, numbers
from training.cli_common import fail
from training.errors import EvaluationError, TrainingError

HeldOutFolder = Annotated[
    Path, typer.Option(help="Documents of no training: *.jsonl(.gz) with text, repository, path, language.")
]
Languages = Annotated[list[str] | None, typer.Option("--language", help="Only this one; may be repeated.")]


def infilling_command(
    model: EvaluatedModel,
    problems: Annotated[
        str,
        typer.Option(
            help="HumanEval infilling problems, .jsonl(.gz): single-line, multi-line or random-span. "
            "HumanEval's own file stands for multi-line."
        ),
    ],
    order: Annotated[str, typer.Option(help="spm, psm or both.")] = "spm",
    limit: Limit = None,
    heal: Annotated[bool, typer.Option(help="Token healing at the hole, as in the editor.")] = True,
    pass_rate: Annotated[
        bool, typer.Option("--pass-rate", help="Run the programs in the sandbox too.")
    ] = False,
    time_limit: Seconds = 3,
    workers: Workers = None,
    unsafe: Unsafe = False,
    json_output: JsonOutput = False,
) -> None:
    """Infilling, greedy: the share of holes that are filled exactly, and of programs that pass."""
    from training.evaluate.benchmarks import Judging
    from training.evaluate.measure import measure_spans
    from training.evaluate.sandbox.pool import Limits

    orders = ("spm", "psm") if order == "both" else (order,)
    try:
        if order not in ("spm", "psm", "both"):
            raise EvaluationError(f"order = {order!r}: expected spm, psm or both")
        judging = Judging(limits=Limits(seconds=time_limit), unsafe=unsafe, workers=workers)
        found = measure_spans(model, problems, orders, limit, judging if pass_rate else None, heal=heal)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    if json_output:
        one = {**found["orders"][order], "order": order} if order != "both" else {"orders": found["orders"]}
        typer.echo(json.dumps({"model": model, "kind": found["kind"], "healed": heal, **one}))
        return
    for name, score in found["orders"].items():
        passed = f", pass rate {100 * score['pass_rate']:.1f} %" if "pass_rate" in score else ""
        typer.echo(
            f"exact match {100 * score['exact_match']:.1f} % of {score['n_problems']} ({name}){passed}"
        )


def lines_command(
    model: EvaluatedModel,
    held_out: HeldOutFolder,
    lines: Annotated[int, typer.Option(min=1, help="How many lines are drawn.")] = 500,
    language: Languages = None,
    json_output: JsonOutput = False,
) -> None:
    """Whole lines of held-out files, greedy: exact match and edit similarity."""
    from training.evaluate.measure import measure_lines

    try:
        found = measure_lines(model, held_out, lines, language or ())
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    if json_output:
        typer.echo(json.dumps(found))
        return
    for name, score in found["contexts"].items():
        exact, similar = 100 * score["exact_match"], 100 * score["edit_similarity"]
        typer.echo(
            f"{name:<8} exact match {exact:.1f} %, edit similarity {similar:.1f} % ({score['n_lines']})"
        )


def perplexity_command(
    model: EvaluatedModel,
    held_out: HeldOutFolder,
    contexts: Annotated[
        str | None,
        typer.Option(
            help="Lengths in tokens, commas between. Default: those of 512 to 8192 that the model has.",
            show_default=False,
        ),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, help="At most so many pieces of text.")] = 200,
    language: Languages = None,
    json_output: JsonOutput = False,
) -> None:
    """Perplexity of the same held-out tokens, with more and more of the repository before them."""
    from training.evaluate.measure import measure_perplexity

    try:
        lengths = numbers(contexts) if contexts else None
        found = measure_perplexity(model, held_out, lengths, windows, language or ())
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    if json_output:
        typer.echo(json.dumps(found))
        return
    for each in found["perplexity"]:
        typer.echo(f"{each['context_tokens']:>6} tokens of context   perplexity {each['perplexity']:.2f}")


def report_command(
    model: EvaluatedModel,
    data: Annotated[
        Path, typer.Option(help="Folder of human-eval, mbpp, humaneval-x and human-eval-infilling.")
    ],
    output: Annotated[Path, typer.Option(help="The report, .md; .json and .png go beside it.")],
    held_out: Annotated[
        Path | None, typer.Option(help="Documents of no training, for lines and perplexity.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of each problem; the paper takes 200.")] = 200,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="At most half the model's context.")] = 512,
    limit: Limit = None,
    spans: Annotated[
        int | None, typer.Option(min=1, help="So many holes of each kind, evenly spread.")
    ] = None,
    lines: Annotated[int, typer.Option(min=1, help="Lines of held-out files.")] = 500,
    windows: Annotated[int, typer.Option(min=1, help="Pieces of text for perplexity.")] = 100,
    samples_folder: Annotated[
        Path, typer.Option(help="Where samples go; a stopped run goes on from there.")
    ] = Path("samples"),
    time_limit: Seconds = 3,
    workers: Workers = None,
    unsafe: Unsafe = False,
) -> None:
    """Everything, in one report beside the paper's table: Markdown, JSON and a picture."""
    from training.evaluate.benchmarks import Judging
    from training.evaluate.measure import Effort, EvaluationData, measure_all
    from training.evaluate.report import write_report
    from training.evaluate.sandbox.pool import Limits

    effort = Effort(
        samples=samples,
        problems=limit,
        spans=spans,
        lines=lines,
        windows=windows,
        max_new_tokens=max_new_tokens,
    )
    try:
        judging = Judging(limits=Limits(seconds=time_limit), unsafe=unsafe, workers=workers)
        sources = EvaluationData(data=data, held_out=held_out, samples=samples_folder)
        result = measure_all(model, sources, effort, judging)
        arguments = sys.argv[sys.argv.index("eval") :] if "eval" in sys.argv else ["eval", "report"]
        write_report(result, output, shlex.join(["starcoder-lsp", *arguments]))
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    typer.echo(f"{output}")
