"""The demo in the terminal: types, shows what streams in, and how long it took.

python -I -m lsp.demo [--model NAME|FOLDER|FILE|HF_ID] [--keys-per-second N]
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

from lsp.demo.editor import DemoEditor, ServerFailedError, SuggestionProgress, open_editor
from lsp.demo.script import FILE_NAME, Scene, Script, shipped_script
from lsp.status import speed

CONTEXT_LINES = 4


@dataclass(kw_only=True)
class Figures:
    """One scene in numbers: the time from each later key to the first text, and two answers in full."""

    later_ms: list[float] = field(default_factory=list)
    to_first_key: SuggestionProgress | None = None
    to_last_key: SuggestionProgress | None = None


class Screen:
    """One scene in the terminal: some lines, the typed text, the suggestion."""

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


async def perform(scene: Scene, editor: DemoEditor, screen: Screen, key_pause_s: float) -> Figures:
    """Type a scene. Every key asks anew and, as in an editor, ends the request of the key before.

    Only the first key's answer, to a new place, and the last key's are awaited whole.
    """
    figures = Figures()
    n_keys = len(scene.typed)
    for n_typed, key in enumerate(scene.typed, start=1):
        editor.type(key)
        screen.typed += key
        screen.show()
        await asyncio.sleep(key_pause_s)
        answer = await follow(editor, screen, whole=n_typed in (1, n_keys))
        if n_typed == 1:
            figures.to_first_key = answer
        elif answer is not None and answer.first_ms is not None:
            figures.later_ms.append(answer.first_ms)
        figures.to_last_key = answer
    return figures


async def follow(editor: DemoEditor, screen: Screen, *, whole: bool) -> SuggestionProgress | None:
    """Show a suggestion while it comes, to its end or only its beginning."""
    progress = None
    async with aclosing(editor.suggest()) as suggestion:
        async for progress in suggestion:
            screen.show(progress.text)
            if progress.text and not whole:
                break
    return progress


def note_on(figures: Figures) -> str:
    """The lines under a scene."""
    first, last = figures.to_first_key, figures.to_last_key
    lines = []
    if first is not None and first is not last and first.timings:
        lines.append(f"first key  {speed.describe(first.first_ms, first.timings)}")
    if last is None or not last.text:
        lines.append("nothing to suggest after the last key")
    elif first is not None and first is not last and last.timings == first.timings:
        lines.append(
            f"last key   {speed.describe(last.first_ms, {})} · as suggested before, nothing computed"
        )
    else:
        lines.append(f"last key   {speed.describe(last.first_ms, last.timings)}")
    return "\n".join(lines)


async def play(script: Script, editor: DemoEditor, console: Console, key_pause_s: float) -> list[Figures]:
    """Play all scenes in order; each suggestion is accepted."""
    told = []
    editor.move_on(script.opening)
    for number, scene in enumerate(script.scenes, start=1):
        console.print(f"[dim]── {number} of {len(script.scenes)} " + "─" * 40)
        with Live(console=console, auto_refresh=False) as live:
            screen = Screen(live, editor.before)
            figures = await perform(scene, editor, screen, key_pause_s)
            text = figures.to_last_key.text if figures.to_last_key is not None else ""
            screen.show(text, note_on(figures))
        if not console.is_terminal:
            console.print()  # Live ends its last line in terminals only
        editor.type(text)
        editor.move_on(scene.until_next)
        told.append(figures)
    return told


def summary(told: list[Figures]) -> Table:
    """All scenes together."""
    arrivals = [each.to_first_key for each in told if each.to_first_key is not None]
    first_ms = [each.first_ms for each in arrivals if each.first_ms is not None]
    later_ms = [ms for each in told for ms in each.later_ms]
    speeds = [value for each in arrivals if (value := speed.tokens_per_second(each.timings)) is not None]
    table = Table.grid(padding=(0, 2))
    for name, values, unit, of in (
        ("first key at a place", first_ms, "ms to its text", "places"),
        ("every later key", later_ms, "ms to its text", "keys, many foreseen"),
        ("decoding", speeds, "tokens/s", "places"),
    ):
        if values:
            table.add_row(name, f"{statistics.median(values):.0f} {unit}", f"median of {len(values)} {of}")
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
    arguments.add_argument(
        "--model", metavar="NAME|FOLDER|FILE|HF_ID", help="instead of the model that is set"
    )
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
