"""The demo in the terminal: types, shows what streams in, and how long it took.

python -I -m lsp.demo [--model NAME|FOLDER|HF_ID] [--keys-per-second N]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from lsp import speed
from lsp.demo.editor import Editor, Progress, ServerFailedError, open_editor
from lsp.demo.script import FILE_NAME, Scene, Script, shipped_script

CONTEXT_LINES = 4


@dataclass
class Figures:
    """One scene in numbers: milliseconds from each key to the first text, and the last key's answer."""

    first_ms: list[float] = field(default_factory=list)
    answer: Progress | None = None


class Screen:
    """What stands in the terminal for one scene: some lines, what is typed, what is suggested."""

    def __init__(self, live: Live, before: str) -> None:
        self._live = live
        self._before = before
        self.typed = ""

    def show(self, suggestion: str = "", note: str = "") -> None:
        """Draw."""
        lines = self._before.split("\n")
        above = Syntax("\n".join(lines[-CONTEXT_LINES:-1]), "python", theme="ansi_dark")
        here = Text.assemble(
            (lines[-1], "dim"), (self.typed, "bold"), (suggestion, "italic green"), ("\n" + note, "cyan")
        )
        self._live.update(Group(above, here), refresh=True)


async def perform(scene: Scene, editor: Editor, screen: Screen, key_pause_s: float) -> Figures:
    """Type a scene; every key asks anew, as in an editor, and only the last answer is awaited whole."""
    figures = Figures()
    for n_typed, key in enumerate(scene.typed, start=1):
        editor.type(key)
        screen.typed += key
        screen.show()
        await asyncio.sleep(key_pause_s)
        is_last = n_typed == len(scene.typed)
        async with aclosing(editor.suggest()) as suggestion:
            is_first = True
            async for progress in suggestion:
                if is_first and progress.text:
                    figures.first_ms.append(progress.elapsed_ms)
                    is_first = False
                if is_last:
                    screen.show(progress.text)
                    figures.answer = progress
                elif not is_first:
                    break
    return figures


def note_on(figures: Figures) -> str:
    """The line under a scene."""
    answer = figures.answer
    if answer is None or not answer.text:
        return "nothing to suggest here"
    return speed.describe(figures.first_ms[-1] if figures.first_ms else None, answer.timings)


async def play(script: Script, editor: Editor, console: Console, key_pause_s: float) -> list[Figures]:
    """All scenes in order; what is suggested is accepted."""
    told = []
    editor.move_on(script.opening)
    for number, scene in enumerate(script.scenes, start=1):
        console.print(f"[dim]── {number} of {len(script.scenes)} " + "─" * 40)
        with Live(console=console, auto_refresh=False) as live:
            screen = Screen(live, editor.before)
            figures = await perform(scene, editor, screen, key_pause_s)
            text = figures.answer.text if figures.answer is not None else ""
            screen.show(text, note_on(figures))
        editor.type(text)
        editor.move_on(scene.until_next)
        told.append(figures)
    return told


def summary(told: list[Figures]) -> Table:
    """All scenes together."""
    keys = [ms for figures in told for ms in figures.first_ms]
    answers = [figures.answer for figures in told if figures.answer is not None]
    speeds = [value for each in answers if (value := speed.tokens_per_second(each.timings)) is not None]
    shares = [value for each in answers if (value := speed.reused_share(each.timings)) is not None]
    table = Table.grid(padding=(0, 2))
    if keys:
        table.add_row("key to first text", f"{statistics.median(keys):.0f} ms", f"median of {len(keys)} keys")
    if speeds:
        table.add_row("decoding", f"{statistics.median(speeds):.0f} tokens/s", "median of the scenes")
    if shares:
        table.add_row("KV reuse", f"{statistics.fmean(shares):.0%}", "mean of the scenes' last keys")
    return table


async def run(options: argparse.Namespace, console: Console) -> None:
    """Set the stage, play, sum up."""
    script = shipped_script()
    settings: dict[str, Any] = {"completion": {"maxNewTokens": 48}}
    if options.model is not None:
        settings["model"] = options.model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(script.text, encoding="utf-8")
        async with open_editor(path, settings) as editor:
            with console.status("Starting the engine; it stays for ten minutes and then ends by itself …"):
                model = await editor.ready()
            console.print(
                f"[bold]{FILE_NAME}[/bold], completed by [bold]{model}[/bold]. Typed, [italic green]suggested"
            )
            told = await play(
                script, editor, console, 1 / options.keys_per_second if console.is_terminal else 0.0
            )
    console.print()
    console.print(summary(told))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -I -m lsp.demo", description=__doc__.split("\n")[0])
    arguments.add_argument("--model", metavar="NAME|FOLDER|HF_ID", help="instead of the model that is set")
    arguments.add_argument(
        "--keys-per-second", type=float, default=20.0, help="how fast to type (default 20)"
    )
    return arguments


def main() -> int:
    """Run; a failure is one line and a remedy."""
    options = parser().parse_args()
    try:
        asyncio.run(run(options, Console(highlight=False)))
    except ServerFailedError as error:
        sys.stderr.write(f"{error}\n`starcoder-lsp doctor` tells more.\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
