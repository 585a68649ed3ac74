"""The commands that ask the model: `complete` and `ask`."""

from __future__ import annotations

import json
import sys
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsp.cli.common import (
    JsonOption,
    ModelOption,
    effective_settings,
    parts_here,
    run_until_interrupted,
    visible,
)

if TYPE_CHECKING:
    from lsp.cli.ask import About
    from lsp.settings.settings import Settings


def complete(
    position: Annotated[str, typer.Argument(metavar="FILE:LINE:COL", help="The cursor; both count from 1.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Complete at a place in a file, streaming to the terminal."""
    from lsp.cli import terminal
    from lsp.cli.file_completion import FileCompletion, FilePosition
    from lsp.cli.file_completion import complete as stream
    from lsp.status import speed

    try:
        where = FilePosition.parse(position)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = effective_settings(where.path.absolute().parent, model).settings
    outcome = FileCompletion()

    async def show() -> None:
        async with aclosing(stream(where, settings, outcome)) as pieces:
            async for piece in pieces:
                if not as_json:
                    sys.stdout.write(visible(piece))
                    sys.stdout.flush()

    try:
        run_until_interrupted(show())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        derived = {
            "tokens_per_second": speed.tokens_per_second(outcome.timings),
            "reused": speed.reused_share(outcome.timings),
        }
        typer.echo(json.dumps(asdict(outcome) | derived))
        return
    sys.stdout.write("\n")
    sys.stdout.flush()
    described = speed.describe(outcome.first_token_ms, outcome.timings)
    terminal.print_aside(described if outcome.text else "nothing to suggest here")


def ask(
    question: Annotated[
        str | None, typer.Argument(help="What you want to know; without it, what is piped in or typed.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="What the question is about.")] = None,
    lines: Annotated[
        str | None, typer.Option("--lines", metavar="A:B", help="These lines of the file, from 1.")
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the model about code: one question, or on a terminal a conversation.

    What is piped in belongs to the question: `git diff | starcoder-lsp ask "What changes?"`.
    """
    from lsp.cli import ask as asking

    piped = asking.piped_text(sys.stdin)
    if question is None and piped.strip():
        question, piped = piped, ""
    if lines is not None and file is None:
        raise typer.BadParameter("--lines needs --file")
    settings = effective_settings((file.absolute().parent if file else Path.cwd()), model).settings
    try:
        chosen = None if lines is None else asking.parse_lines(lines)
        about = asking.About(file=file, lines=chosen, piped=piped)
        if question is None:
            _converse(settings, about, is_possible=sys.stdin.isatty() and not as_json)
        else:
            run_until_interrupted(_ask_once(settings, question, about, as_json=as_json))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _converse(settings: Settings, about: About, *, is_possible: bool) -> None:
    from lsp.cli import ask as asking
    from lsp.cli import terminal

    if not is_possible:
        raise typer.BadParameter("there is no question: give it as an argument, or pipe it in")
    asking.converse(settings, about, aside=terminal.print_aside)


async def _ask_once(settings: Settings, question: str, about: About, *, as_json: bool) -> None:
    from lsp.cli import ask as asking
    from lsp.cli import terminal

    def discard(piece: str) -> None:
        """JSON is printed whole, at the end."""

    async with aclosing(parts_here(settings)) as parts:
        answered = await asking.answer(parts, question, about, None, show=discard if as_json else asking.say)
        if as_json:
            typer.echo(json.dumps(asking.to_json(answered, parts.caution)))
            return
        asking.say("\n")
        for line in asking.asides(answered, parts.caution):
            terminal.print_aside(line)
