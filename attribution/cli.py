"""`starcoder-lsp check`: arguments to calls, results to text. (`index` is in `index_cli`.)

Exit codes: 0 nothing to complain about, 1 a match that `--fail-on` speaks of, 2 an error.
What works is imported by the command that needs it: the language server's start must not pay for numpy.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attribution.cli_common import INDEX_VARIABLE, index_url, reported_errors
from attribution.errors import SourceError
from attribution.index_cli import index_app
from attribution.report import Checked, to_json, to_sarif, to_text
from attribution.source import Kind, Match
from attribution.spdx import is_copyleft, satisfies

__all__ = ["check", "index_app"]


class Format(StrEnum):
    """How `check` answers."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    files: Annotated[list[str], typer.Argument(help="Files to check; `-` is the standard input.")],
    index: Annotated[
        str | None, typer.Option(envvar=INDEX_VARIABLE, help="Folder or URL of the index.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to answer.")] = Format.TEXT,
    min_tokens: Annotated[
        int, typer.Option(help="Shorter copies are not reported; below 32 some are missed.")
    ] = 32,
    kind: Annotated[list[Kind] | None, typer.Option(help="Only these kinds; may be repeated.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 on: any, copyleft, or an SPDX expression of licences.")
    ] = None,
) -> None:
    """Say which indexed files hold (parts of) these files, and under which licence."""
    with reported_errors():
        from attribution.attribute import Question, attribute
        from attribution.index import open_index

        fails = _condition(fail_on)
        question = Question(min_tokens=min_tokens, kinds=frozenset(kind or Kind))
        opened = open_index(index_url(index))
        try:
            checked = [
                Checked(
                    file=file,
                    index=opened.url,
                    documents=opened.document_count(),
                    matches=attribute(_read(file), opened, question),
                )
                for file in files
            ]
        finally:
            opened.close()
        failing = [match for one in checked for match in one.matches if fails(match)]
        typer.echo(_formatted(checked, output, failing))
    if failing:
        raise typer.Exit(1)


def _formatted(checked: Sequence[Checked], output: Format, failing: Sequence[Match]) -> str:
    if output is Format.JSON:
        return to_json(checked)
    if output is Format.SARIF:
        return to_sarif(checked, version=importlib.metadata.version("starcoder-lsp"), failing=failing)
    return to_text(checked)


def _condition(fail_on: str | None) -> Callable[[Match], bool]:
    """What `--fail-on` asks of a match; raises `ExpressionError` before anything is searched."""
    if fail_on is None:
        return lambda match: False
    if fail_on == "any":
        return lambda match: True
    if fail_on == "copyleft":
        return lambda match: is_copyleft(match.source.license)
    satisfies(None, fail_on)
    return lambda match: satisfies(match.source.license, fail_on)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: cannot read this file: {error.strerror}") from error
