"""`starcoder-lsp check`: arguments to calls, results to text. (`index` is in `attribution.cli.index`.)

Exit codes: 0 without a match that `--fail-on` asks for, 1 with one, 2 an error.
Heavy modules are imported by the command that needs them: the language server's start must not pay for numpy.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attribution.cli.common import INDEX_VARIABLE, Fallback, index_url, reported_errors
from attribution.cli.index import ListedSets, index_app
from attribution.errors import IndexMissingError, SourceError
from attribution.match.report import CheckedFile, FileAnswer, to_json, to_sarif, to_text
from attribution.match.seen import SeenFile
from attribution.source import Match, MatchKind
from attribution.sources.spdx import is_copyleft, satisfies

__all__ = ["check", "index_app"]


class Format(StrEnum):
    """How `check` answers."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Files to check; `-` is the standard input.")],
    index: Annotated[
        str | None, typer.Option(envvar=INDEX_VARIABLE, help="Folder or URL of the index.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to answer.")] = Format.TEXT,
    min_tokens: Annotated[
        int, typer.Option(help="Shorter copies are not reported; below 32 some are missed.")
    ] = 32,
    kind: Annotated[list[MatchKind] | None, typer.Option(help="Only these kinds; may be repeated.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 on: any, copyleft, or an SPDX expression of licences.")
    ] = None,
) -> None:
    """Say which indexed files hold (parts of) these files, and under which licence.

    Where there is no index, the portrait of the local model's training set says what that has seen.
    """
    with reported_errors():
        fails = _condition(fail_on)
        wanted = _Wanted(files=files, min_tokens=min_tokens, kinds=kind, fail_on=fail_on)
        fallback = context.obj.fallback() if isinstance(context.obj, ListedSets) else Fallback()
        url = index_url(index or fallback.index)
        if index is None and fallback.portrait is not None and _is_missing(url):
            seen = _seen(wanted, fallback, fallback.portrait, url)
            failed = fail_on == "any" and any(one.copies for one in seen)
            typer.echo(_formatted(seen, output, [], seen_fails=failed))
        else:
            checked = _checked(wanted, url)
            failing = [match for one in checked for match in one.matches if fails(match)]
            failed = bool(failing)
            typer.echo(_formatted(checked, output, failing))
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the command line asks."""

    files: Sequence[str]
    min_tokens: int
    kinds: Sequence[MatchKind] | None
    fail_on: str | None


def _checked(wanted: _Wanted, url: str) -> list[CheckedFile]:
    from attribution.match.attribute import SearchOptions, attribute
    from attribution.store.open import open_index

    options = SearchOptions(min_tokens=wanted.min_tokens, kinds=frozenset(wanted.kinds or MatchKind))
    opened = open_index(url)
    try:
        return [
            CheckedFile(
                file=file,
                index=opened.url,
                documents=opened.document_count(),
                matches=attribute(_read(file), opened, options),
            )
            for file in wanted.files
        ]
    finally:
        opened.close()


def _is_missing(url: str) -> bool:
    from attribution.store.open import index_stamp, is_remote

    return not is_remote(url) and index_stamp(url) is None


def _seen(wanted: _Wanted, fallback: Fallback, portrait: Path, url: str) -> list[SeenFile]:
    """What the portrait recognises. Raises `IndexMissingError` for a question that it cannot answer."""
    from attribution.match.portrait import Portrait, trained_documents

    needs = f"there is no attribution index at {url}; to build one: `{fallback.build}`"
    if wanted.kinds or wanted.fail_on not in (None, "any"):
        option = "--kind" if wanted.kinds else f"--fail-on {wanted.fail_on}"
        raise IndexMissingError(f"{option} cannot be answered by the portrait of {fallback.model}: {needs}")
    typer.echo(f"{needs}\nsearched: the portrait of what {fallback.model} was trained on", err=True)
    loaded, documents = Portrait.load(portrait), trained_documents(portrait.parent)
    answers = []
    for file in wanted.files:
        seen = loaded.check(_read(file))
        copies = tuple(copy for copy in seen.copies if copy[1] >= wanted.min_tokens)
        answers.append(
            SeenFile(
                file=file,
                model=fallback.model,
                portrait=portrait,
                documents=documents,
                share=seen.share,
                copies=copies,
            )
        )
    return answers


def _formatted(
    checked: Sequence[FileAnswer], output: Format, failing: Sequence[Match], *, seen_fails: bool = False
) -> str:
    if output is Format.JSON:
        return to_json(checked)
    if output is Format.SARIF:
        version = importlib.metadata.version("starcoder-lsp")
        return to_sarif(checked, version=version, failing=failing, seen_fails=seen_fails)
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
