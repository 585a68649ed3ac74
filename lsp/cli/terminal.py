"""Tables and progress in the terminal: what `doctor` found, settings in force, models, a download.

Knows how things look, not how they are found out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lsp.cli.checks import Check, Verdict
from lsp.settings.settings import DEFAULT_SOURCE, Effective, setting_infos
from model.catalogue.here import settled
from model.catalogue.listing import ListedModel
from model.catalogue.published import AUTO

_SIGNS = {Verdict.GOOD: ("✓", "green"), Verdict.NOTE: ("•", "yellow"), Verdict.PROBLEM: ("✗", "red")}
# Longer lists are shown by their number of entries.
_MAX_ENTRIES = 6


def print_table(table: Table) -> None:
    """Show a table on standard output."""
    Console(highlight=False).print(table)


def print_aside(text: str) -> None:
    """Show a remark on standard error, out of the way of what may be piped on."""
    Console(stderr=True, highlight=False).print(text, style="dim")


def checks_table(checks: Iterable[Check]) -> Table:
    """One row a check: sign, name, finding and, below it, the remedy."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        finding = Text(check.finding, overflow="fold")  # paths are long words
        if check.remedy:
            finding.append(f"\n→ {check.remedy}", "cyan")
        table.add_row(Text(*_SIGNS[check.verdict]), Text(check.name, "bold"), finding)
    return table


def settings_table(effective: Effective) -> Table:
    """One row a setting: name, value, where it comes from. Defaults are dim."""
    mapping = effective.settings.shown()
    table = Table("setting", "value", "from", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for info in setting_infos():
        section, _, name = info.key.rpartition(".")
        value = (mapping[section] if section else mapping)[name]
        is_long = isinstance(value, list) and len(value) > _MAX_ENTRIES
        shown = f"{len(value)} entries" if is_long else json.dumps(value, ensure_ascii=False)
        if value == AUTO and info.key == "model":
            shown += f" ({settled(AUTO)})"
        origin = effective.origins[info.key]
        style = "dim" if origin == DEFAULT_SOURCE else ""
        table.add_row(Text(info.key, style), Text(shown, style), Text(origin, style, overflow="fold"))
    return table


def models_table(models: Iterable[ListedModel], in_use: str) -> Table:
    """One row a model: name, size, licence, what it can, and where it lies. The one in use has a mark."""
    columns = ("", "model", "size", "licence", "fills in", "memory", "where")
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.columns[1].no_wrap = True
    for model in models:
        known = model.published
        size = "" if model.n_bytes is None else f"{model.n_bytes / 1e6:,.0f} MB"
        where = model.place if model.path is None else _shortened(model.path)
        table.add_row(
            "*" if model.name == in_use else "",
            Text(model.name, "" if where else "dim"),
            size,
            known.licence if known else model.what,
            f"{known.infilling:.0%}" if known and known.infilling is not None else "",
            f"{known.memory_bytes / 1e9:.1f} GB" if known else "",
            Text(where or f"starcoder-lsp model get {model.name}", "" if where else "dim", overflow="fold"),
        )
    return table


def sizes_table(kept: Iterable[tuple[str, Path, int]]) -> Table:
    """One row for what is kept: what it is, where it lies, its size in bytes."""
    table = Table.grid(padding=(0, 2))
    for what, path, n_bytes in kept:
        size = Text(f"{n_bytes / 1e6:,.1f} MB", justify="right")
        table.add_row(Text(what, "bold"), size, Text(_shortened(path), overflow="fold"))
    return table


@contextmanager
def progress_bar(name: str, n_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a download on standard error while the block runs; gives what hears how far it is."""
    from rich import progress as bars  # which few commands show, and which takes long to import

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=n_bytes)

        def tell(done_bytes: int) -> None:
            progress.update(task, completed=done_bytes)

        yield tell


def _shortened(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
