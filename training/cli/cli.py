"""`starcoder-lsp train` and `starcoder-lsp eval`: options to calls, errors to exit codes, nothing more.

`lsp.cli.cli` mounts the two typer applications lazily; importing this module loads no torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from model.errors import ModelError
from training.cli import tokenizer as tokenizer_cli
from training.cli.evaluate import add_benchmark, score_command
from training.cli.evaluate_text import infilling_command, lines_command, perplexity_command, report_command
from training.cli.finetune import finetune_command
from training.cli.plan import plan_command
from training.cli_common import changes_of, fail
from training.corpus.cli import corpus_command
from training.errors import TrainingError

train_app = typer.Typer(help="Train a model from a corpus.", no_args_is_help=True)
eval_app = typer.Typer(help="Measure a model.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Option("--run", help="Folder of checkpoints, log and picture.")]

train_app.command("corpus")(corpus_command)
train_app.command("tokenizer")(tokenizer_cli.train_command)
eval_app.command("tokenizer")(tokenizer_cli.eval_command)
train_app.command("plan")(plan_command)
train_app.command("finetune")(finetune_command)
eval_app.command("score")(score_command)
eval_app.command("infilling")(infilling_command)
eval_app.command("lines")(lines_command)
eval_app.command("perplexity")(perplexity_command)
eval_app.command("report")(report_command)
add_benchmark(eval_app, "humaneval", "HumanEval")
add_benchmark(eval_app, "mbpp", "MBPP's test set")
add_benchmark(eval_app, "humaneval-x", "HumanEval-X in Python, JavaScript or Java (--problems is needed)")


@train_app.command("pack")
def pack_command(
    source: Annotated[Path, typer.Argument(help="Folder of *.jsonl(.gz) documents.")],
    target: Annotated[Path, typer.Argument(help="Folder for the packed shards.")],
    tokenizer: Annotated[Path, typer.Option(help="tokenizer.json or its folder.")],
    processes: Annotated[int, typer.Option(min=1, help="How many files are tokenised at once.")] = 2,
) -> None:
    """Tokenise documents into memory-mapped shards."""
    from training.jobs.runs import pack_with_progress

    try:
        shards = pack_with_progress(source, target, tokenizer, processes)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    n_tokens = sum(shard.n_tokens for shard in shards)
    typer.echo(f"{n_tokens:,} tokens in {sum(shard.n_documents for shard in shards):,} documents: {target}")


@train_app.command("pretrain")
def pretrain_command(
    recipe: Annotated[str, typer.Option(help="A bundled recipe's name or a TOML file.")],
    run: RunFolder,
    minutes: Annotated[float | None, typer.Option(help="Box the schedule by time.")] = None,
    steps: Annotated[int | None, typer.Option(help="Box the schedule by steps.")] = None,
    train: Annotated[Path | None, typer.Option(help="Folder of training documents.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Folder of held-out documents.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of tokenizer.json.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="TABLE.KEY=JSON, replaces a value.")
    ] = None,
) -> None:
    """Train from nothing, or continue the run folder's newest checkpoint. Ctrl+C saves and stops."""
    from training.jobs.runs import start_pretraining

    places = {"train": train, "held_out": held_out, "tokenizer": tokenizer}
    try:
        changes = _changes(override or [], minutes, steps)
        changes.update({f"data.{key}": str(path) for key, path in places.items() if path is not None})
        start_pretraining(recipe, run, changes)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error


@train_app.command("export")
def export_command(
    run: RunFolder,
    target: Annotated[Path, typer.Argument(help="Model folder to write.")],
    tokenizer: Annotated[Path, typer.Option(help="Folder of tokenizer.json.")],
    quantize: Annotated[str, typer.Option(help="bf16 or int8.")] = "bf16",
) -> None:
    """Turn a run's newest checkpoint into a folder that the engine and transformers load."""
    from training.jobs.runs import export_run

    try:
        export_run(run, target, tokenizer, quantize)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    typer.echo(f"{target}")


@train_app.command("publish")
def publish_command(
    run: RunFolder,
    target: Annotated[Path, typer.Argument(help="Model folder to write; its name is the model's.")],
    packed: Annotated[Path, typer.Option(help="Folder of the packed shards, train and held_out.")],
    notices: Annotated[Path, typer.Option(help="Corpus folder with NOTICE.md and LICENSES.txt.")],
    problems: Annotated[Path, typer.Option(help="HumanEval infilling problems, .jsonl or .jsonl.gz.")],
    tokenizer: Annotated[Path, typer.Option(help="Folder of tokenizer.json.")],
    documents: Annotated[
        Path | None, typer.Option(help="What the shards were packed from, if the run's folder has moved.")
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="The same for the held-out shards.")] = None,
    previous: Annotated[
        str, typer.Option(help="The model that this one must not fall behind, or none.")
    ] = "starter",
    quantize: Annotated[str, typer.Option(help="bf16 or int8.")] = "bf16",
) -> None:
    """Export, measure, and write the model card, the corpus's papers and the portrait of the training set.

    A model that is worse than the previous one, by held-out loss or infilling, is not written.
    """
    from training.jobs.publish import Publication, publish_run

    source = Publication(
        run=run,
        packed=packed,
        notices=notices,
        problems=problems,
        tokenizer=tokenizer,
        previous=None if previous == "none" else previous,
        documents=documents,
        held_out=held_out,
        number_format=quantize,
    )
    try:
        comparison = publish_run(source, target)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    for line in comparison.table() if comparison is not None else ():
        typer.echo(line)
    typer.echo(f"{target}")


@eval_app.command("loss")
def loss_command(
    model: Annotated[str, typer.Option(help="A bundled name or a model folder.")],
    held_out: Annotated[Path, typer.Option(help="Packed held-out shards.")],
    tokens: Annotated[int, typer.Option(min=1_024, help="At most so many in each language.")] = 200_000,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Held-out loss in each language: nats a token and bits a byte."""
    from training.jobs.runs import evaluate_loss

    try:
        losses = evaluate_loss(model, held_out, tokens=tokens)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    if json_output:
        typer.echo(json.dumps(losses))
        return
    for language, loss in losses.items():
        per_byte, per_token = loss["bits_per_byte"], loss["nats_per_token"]
        typer.echo(f"{language:<20} {per_byte:.3f} bits a byte  {per_token:.3f} nats a token")


def _changes(overrides: list[str], minutes: float | None, steps: int | None) -> dict[str, Any]:
    changes = changes_of(overrides)
    if minutes is not None:
        changes.update({"schedule.minutes": minutes, "schedule.steps": None})
    if steps is not None:
        changes.update({"schedule.steps": steps, "schedule.minutes": None})
    return changes
