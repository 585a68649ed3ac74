"""`starcoder-lsp train finetune`: options to one call, the outcome to a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from model.errors import ModelError
from training.cli_common import changes_of, fail
from training.errors import RecipeError, TrainingError

if TYPE_CHECKING:
    from training.jobs.finetune import Finetuned

DEFAULT_EPOCHS = 3.0


def finetune_command(
    to: Annotated[Path, typer.Option("--to", help="Model folder to write; `--model FOLDER` then uses it.")],
    on: Annotated[
        Path | None,
        typer.Option("--on", help="Folder of your own code; .gitignore and secrets are kept out."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER|HF_ID", help="What to start from (default: the recipe's)."),
    ] = None,
    lora: Annotated[
        bool, typer.Option("--lora", help="Train adapters only: a quarter of the memory.")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Default: finetune, or with --lora finetune-lora.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="How often all of the code is seen (with --on, 3).")
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Instead of --on: folder of training documents.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="With --train: folder of held-out documents.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Folder of checkpoints and log (default: TO-run).")
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="Attribution index to add the code to (default: the usual one).")
    ] = None,
    no_index: Annotated[bool, typer.Option("--no-index", help="Add the code to no index.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Begin even if it will take days.")] = False,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="TABLE.KEY=JSON, replaces a value.")
    ] = None,
) -> None:
    """Fine-tune a model on your own code (--on) or on a corpus (--train, --held-out).

    Files are left out and scored before and after; Ctrl+C saves, and the same command goes on.
    """
    from training.jobs.finetune import Finetuning, finetune
    from training.recipe.recipe import load_recipe

    try:
        changes = changes_of(override or []) | _places(on, train, held_out)
        name = recipe or ("finetune-lora" if lora else "finetune")
        if lora and load_recipe(name).lora is None:
            raise RecipeError(f"--lora with the recipe {name!r}, which has no [lora]: leave one of them out")
        wanted = Finetuning(
            recipe=name,
            base=model or load_recipe(name).base or "starter",
            to=to,
            run=run or to.with_name(f"{to.name}-run"),
            on=on,
            epochs=DEFAULT_EPOCHS if epochs is None and on is not None else epochs,
            changes=changes,
            index=None if no_index or on is None else index or "",
            force=force,
        )
        outcome = finetune(wanted)
    except (TrainingError, ModelError) as error:
        raise fail(error) from error
    _tell(outcome, to)


def _places(on: Path | None, train: Path | None, held_out: Path | None) -> dict[str, Any]:
    if (on is None) == (train is None and held_out is None):
        raise RecipeError("name what to train on: either --on FOLDER, or --train and --held-out")
    if on is None and (train is None or held_out is None):
        raise RecipeError("--train and --held-out go together")
    places = {"data.train": train, "data.held_out": held_out}
    return {key: str(path) for key, path in places.items() if path is not None}


def _tell(outcome: Finetuned, to: Path) -> None:
    console = Console()
    if not outcome.complete:
        console.print("Saved. The same command goes on from here.")
        return
    if outcome.code is not None:
        _tell_code(outcome, console)
    if not outcome.losses:  # of torchrun's processes, one tells
        return
    table = Table("held-out files", "tokens", "before", "after", "change", title="loss, nats a token")
    for one in outcome.losses:
        change = f"{100 * (one.after / one.before - 1):+.1f} %"
        table.add_row(one.language, f"{one.n_tokens:,}", f"{one.before:.3f}", f"{one.after:.3f}", change)
    console.print(table)
    if outcome.indexed is not None:
        console.print(outcome.indexed, soft_wrap=True, highlight=False)
    shown = to if to.is_absolute() else f"./{to}"  # `a/b` alone would be a Hugging Face id
    console.print(
        f"Made {to}. Use it: starcoder-lsp complete FILE:LINE:COL --model {shown}, or the setting "
        f'model = "{to.absolute()}"',
        soft_wrap=True,
        highlight=False,
    )


def _tell_code(outcome: Finetuned, console: Console) -> None:
    code = outcome.code
    assert code is not None
    characters = sum(len(document.text) for document in code.documents)
    console.print(f"{len(code.documents):,} files, {characters / 1e6:.2f}M characters of {code.folder}")
    for reason, count in code.left_out.most_common():
        console.print(f"  left out: {count:,} × {reason}", highlight=False)
    if code.replaced:
        replaced = ", ".join(f"{count:,} × {kind}" for kind, count in code.replaced.most_common())
        console.print(f"  replaced: {replaced}", highlight=False)
