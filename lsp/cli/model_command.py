"""The commands `starcoder-lsp model`: which models there are, and one fetched, set or removed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsp.cli.common import PROGRAM, JsonOption, effective_settings

if TYPE_CHECKING:
    from model.catalogue.published import PublishedModel

model_app = typer.Typer(
    name="model", help="The models that are here, and published ones to fetch.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name of `model list`.")]


@model_app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the published models that are known, and all that lie on this machine."""
    from lsp.cli import terminal
    from model.catalogue.here import settled
    from model.catalogue.listing import list_models

    models = list_models()
    in_use = settled(effective_settings(Path.cwd(), None, quiet=True).settings.model)
    if as_json:
        typer.echo(json.dumps([model.to_json(in_use) for model in models], indent=2))
        return
    terminal.print_table(terminal.models_table(models, in_use))


@model_app.command()
def get(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A name of `model list`; without it, one is proposed."),
    ] = None,
    given: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take it from this file, not the network.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a published model; what arrives is checked by its hash. An attempt that broke off goes on."""
    from lsp.cli import terminal
    from model.catalogue.fetch import get as fetch

    model = _published(name) if name is not None else _proposed()
    if model is None:
        return
    terminal.print_aside(f"{model.name}: {model.n_bytes / 1e6:,.0f} MB, {model.licence}, from {model.origin}")
    with _json_lines() if as_json else terminal.progress_bar(model.name, model.n_bytes) as tell:
        try:
            path = fetch(model, given=given, tell=tell, note=terminal.print_aside)
        except KeyboardInterrupt:
            terminal.print_aside(f"stopped; `{PROGRAM} model get {model.name}` goes on from here")
            raise typer.Exit(130) from None
    if not as_json:
        typer.echo(path)


@model_app.command()
def use(name: NameArgument) -> None:
    """Set the model for all editors, in your settings file: by any name that --model takes."""
    from lsp.settings.config_sources import default_user_file
    from lsp.settings.user_file import set_model
    from model.process.engine_files import LaunchOptions
    from model.weights.hub import resolve

    if "/" not in name or Path(name).expanduser().exists():
        resolve(name, offline=True)  # a misspelt name should fail here and not in an editor
    told = name if name == "auto" else LaunchOptions(model=name).settled().model
    try:
        set_model(default_user_file(), told)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"model = {told} in {default_user_file()}")


@model_app.command()
def remove(name: NameArgument) -> None:
    """Remove what `model get` has fetched. Other programs' files stay."""
    from model.catalogue.fetch import remove as remove_files

    if not remove_files(_published(name)):
        raise typer.BadParameter(f"{name} was not fetched by `{PROGRAM} model get`")


@model_app.command()
def where(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Any name that --model takes.")] = "auto",
) -> None:
    """Print where a model lies; without a name, the one that `auto` is."""
    from model.weights.hub import resolve

    typer.echo(resolve(name, offline=True).folder)


def _published(name: str) -> PublishedModel:
    from model.catalogue.published import PUBLISHED, published

    model = published(name)
    if model is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(each.name for each in PUBLISHED)}")
    return model


def _proposed() -> PublishedModel | None:
    """The model for this machine, if whoever sits there agrees."""
    from model.catalogue.machine import Machine, propose

    proposal = propose(Machine.this())
    typer.echo(f"For this machine: {proposal.name} ({proposal.reason}).", err=True)
    if proposal.model is None:
        return None
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody is there to be asked; say which: model get {proposal.name}")
    return proposal.model if typer.confirm("Fetch it?", default=True, err=True) else None


@contextlib.contextmanager
def _json_lines() -> Iterator[Callable[[int], None]]:
    def tell(n_bytes: int) -> None:
        typer.echo(json.dumps({"bytes": n_bytes}))

    yield tell
