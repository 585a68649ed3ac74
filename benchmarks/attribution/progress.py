"""Progress bars, on the error output: the report can be piped away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_Item = TypeVar("_Item")
CONSOLE = Console(stderr=True)


def steps(items: Sequence[_Item], what: str) -> Iterator[_Item]:
    """The items, with a bar that says how many are done."""
    yield from track(
        items, description=what, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal
    )


def say(line: str) -> None:
    """One line that stays."""
    CONSOLE.print(line, highlight=False, markup=False, soft_wrap=True)
