"""The command `starcoder-lsp`. Commands only translate: options → call → text, table or JSON.

What they call is imported when they run, so that `--help` and the shell's completion are quick. Only this
module names `training`, and only here exceptions become exit codes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attribution.cli.check import check, index_app
from attribution.cli.common import Fallback
from attribution.cli.index import ListedSets
from lsp.cli.ask_command import ask, complete
from lsp.cli.common import PROGRAM, JsonOption, ModelOption, effective_settings, run_until_interrupted
from lsp.cli.data_command import clean, where
from lsp.cli.model_command import model_app
from model.errors import EXTRA_EXIT_CODE, MODEL_EXIT_CODE
from model.local.redaction import without_credentials

if TYPE_CHECKING:
    from attribution.indexing.listing import ListedSet


class ExitCode(IntEnum):
    """The process's exit codes. 2 is typer's own, for a bad command line."""

    OK = 0
    PROBLEM = 1
    USAGE = 2
    MODEL = MODEL_EXIT_CODE
    ENGINE_UNAVAILABLE = 4
    EXTRA_MISSING = EXTRA_EXIT_CODE


def _starter_set(packages: Path | None, on_package: Callable[[str], None]) -> ListedSet:
    from training.corpus.index import starter_set

    return starter_set(packages, on_package)


def _attribution_fallback() -> Fallback:
    """Where `check` looks by default: where the editor looks, by the settings for this folder."""
    from lsp.sources.store import Where, build_command, portrait_of

    where = Where.of(effective_settings(Path.cwd(), None).settings)
    model = where.model
    return Fallback(
        index=where.index,
        model=model or "",
        portrait=portrait_of(model),
        build=build_command(model),
    )


# Attribution's commands import neither `training` nor the settings, so they get what they need of them.
_ATTRIBUTION = ListedSets(starter=_starter_set, fallback=_attribution_fallback)

app = typer.Typer(
    name=PROGRAM,
    help="Code completions from a StarCoder model on your own machine, for any editor that speaks LSP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # `index build --starter` indexes a set that only `training` knows.
    context_settings={"help_option_names": ["-h", "--help"], "obj": _ATTRIBUTION},
)


def main() -> int:
    """The console script: run, and turn an exception into one line and an exit code."""
    from model.errors import EngineUnavailableError, ExtraMissingError, ModelError

    try:
        app(prog_name=PROGRAM)  # leaves by SystemExit
    except EngineUnavailableError as error:
        return _say(str(error), ExitCode.ENGINE_UNAVAILABLE)
    except ExtraMissingError as error:
        return _say(str(error), ExitCode.EXTRA_MISSING)
    except ModelError as error:
        return _say(str(error), ExitCode.MODEL)
    return ExitCode.OK


def _say(message: str, code: ExitCode) -> ExitCode:
    sys.stderr.write(f"{PROGRAM}: {without_credentials(message)}\n")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        from model.version import package_version

        typer.echo(f"{PROGRAM} {package_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


Quantize = Literal["auto", "none", "int8", "int4"]


@app.command()
def serve(
    stdio: Annotated[
        bool, typer.Option("--stdio", help="On standard input and output (the default).")
    ] = False,
    tcp: Annotated[str | None, typer.Option("--tcp", metavar="HOST:PORT", help="On a TCP port.")] = None,
    ws: Annotated[str | None, typer.Option("--ws", metavar="HOST:PORT", help="On a WebSocket port.")] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let every user and program that reaches the port connect.")
    ] = False,
) -> None:
    """Run the language server (an editor does this: `python -I -m lsp` is the same on stdio)."""
    if stdio + (tcp is not None) + (ws is not None) > 1:
        raise typer.BadParameter("choose one of --stdio, --tcp and --ws")
    from lsp.server import transports
    from lsp.server.server import create_server

    if tcp is None and ws is None:
        raise typer.Exit(transports.serve_stdio(create_server))
    listen = transports.serve_tcp if ws is None else transports.serve_websocket
    host, port = _host_and_port(tcp or ws or "")
    make_server = partial(create_server, trusts_client=False)
    run_until_interrupted(listen(make_server, host, port, needs_token=not no_token))


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, for example 127.0.0.1:7777")
    return host.strip("[]"), int(port)


@app.command()
def engine(
    model: Annotated[str, typer.Option(metavar="NAME|FOLDER|FILE|HF_ID", help="What to load.")] = "auto",
    listen: Annotated[
        str | None,
        typer.Option(metavar="unix:PATH|HOST:PORT", help="Default: the socket where language servers look."),
    ] = None,
    quantize: Annotated[Quantize, typer.Option(help="Precision of the weights.")] = "auto",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all).")] = None,
    cache_mib: Annotated[
        int, typer.Option(min=16, help="Memory for computed prompts, in MiB; at least one context's.")
    ] = 512,
    token: Annotated[
        str | None,
        typer.Option(help="What clients must present; needed beyond this machine. [default: one is made]"),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let every user and program of this machine ask.")
    ] = False,
    idle_minutes: Annotated[float, typer.Option(min=0, help="End after so much rest; 0 is never.")] = 10.0,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing, whatever the model.")] = False,
    fim_text: Annotated[
        bool, typer.Option("--fim-text", help="Fill in the middle of prompts with the model's sentinels.")
    ] = False,
) -> None:
    """Serve a model by an OpenAI-compatible HTTP API (language servers start this by themselves)."""
    from model.process.engine_files import LaunchOptions
    from model.start.run import run_engine

    run_engine(
        LaunchOptions(model=model, quantize=quantize, device=device, threads=threads, cache_mib=cache_mib),
        listen=listen,
        token=token,
        no_token=no_token,
        idle_seconds=idle_minutes * 60 or None,
        offline=offline,
        fim_text=fim_text,
    )


app.command()(complete)
app.command()(ask)


@app.command()
def doctor(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Look at the installation, the device, the model and the engine; say what to mend."""
    from lsp.cli import terminal
    from lsp.cli.checks import Verdict
    from lsp.cli.doctor import examine

    checks = asyncio.run(examine(effective_settings(Path.cwd(), model, quiet=True), os.environ))
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        terminal.print_table(terminal.checks_table(checks))
    if any(check.verdict is Verdict.PROBLEM for check in checks):
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def config(
    folder: Annotated[Path | None, typer.Argument(help="A workspace folder (default: this one).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the settings in force (without an editor's) and where each comes from."""
    from lsp.cli import terminal
    from model.catalogue.here import settled

    effective = effective_settings((folder or Path.cwd()).absolute(), None, quiet=as_json)
    if as_json:
        document = {
            "settings": effective.settings.shown(),
            "origins": dict(effective.origins),
            "messages": list(effective.messages),
            "model": settled(effective.settings.model),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    terminal.print_table(terminal.settings_table(effective))


app.command()(where)
app.command()(clean)
app.add_typer(model_app)
app.add_typer(index_app)
app.command()(check)

_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_FORWARD)
def train(context: typer.Context) -> None:
    """Train a model: `train --help` tells more (needs the extra `training`)."""
    _run_training("train", context.args)


@app.command(name="eval", context_settings=_FORWARD)
def evaluate(context: typer.Context) -> None:
    """Measure a model: `eval --help` tells more (needs the extra `training`)."""
    _run_training("eval", context.args)


def _run_training(name: str, arguments: list[str]) -> None:
    from model.extras import extra_needed

    with extra_needed("training", f"`{PROGRAM} {name}`"):
        from training.cli.cli import eval_app, train_app

        {"train": train_app, "eval": eval_app}[name](args=arguments, prog_name=f"{PROGRAM} {name}")
