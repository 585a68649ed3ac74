"""Tables for the terminal: what `doctor` found, which settings are in force.

Knows how things look, not how they are found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lsp.cli.checks import Check, Verdict
from lsp.settings.settings import DEFAULT_SOURCE, Effective, setting_infos

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
        origin = effective.origins[info.key]
        style = "dim" if origin == DEFAULT_SOURCE else ""
        table.add_row(Text(info.key, style), Text(shown, style), Text(origin, style, overflow="fold"))
    return table
