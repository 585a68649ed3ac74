"""What the command files share: errors to exit codes, `--set` to a recipe's changes. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from training.errors import RecipeError


def fail(error: Exception) -> typer.Exit:
    """Say what is wrong in one line; raise what this returns."""
    Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


def changes_of(overrides: Sequence[str]) -> dict[str, Any]:
    """`TABLE.KEY=JSON` each to a recipe's changes. Raises RecipeError."""
    changes: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"--set {text!r}: expected TABLE.KEY=JSON")
        try:
            changes[key] = json.loads(value)
        except ValueError as error:
            raise RecipeError(f"--set {text!r}: {value!r} is not JSON ({error})") from error
    return changes
