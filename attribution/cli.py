"""`starcoder-lsp index` and `check`: arguments to calls, results to text, errors to exit codes.

Exit codes of `check`: 0 nothing to complain about, 1 a match that `--fail-on` speaks of, 2 an error.
What works is imported by the command that needs it: the language server's start must not pay for numpy.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution.errors import AttributionError, SourceError
from attribution.report import Checked, to_json, to_sarif, to_text
from attribution.source import Kind, Match
from attribution.spdx import is_copyleft, satisfies

if TYPE_CHECKING:
    from attribution.build import Progress
    from attribution.index import OptOut

INDEX_VARIABLE = "STARCODER_ATTRIBUTION_INDEX"
_FAILED = 2
# What only attribution needs.
_EXTRA = frozenset({"rapidfuzz", "zstandard"})

index_app = typer.Typer(
    name="index", help="Build and tend an index of source code for attribution.", no_args_is_help=True
)

Into = Annotated[
    str | None,
    typer.Option(
        "--into", "--index", envvar=INDEX_VARIABLE, help="Folder or Elasticsearch URL of the index."
    ),
]


class Format(StrEnum):
    """How `check` answers."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


@index_app.command("build")
def index_build(
    sources: Annotated[
        list[str], typer.Argument(help="Folders, archives, JSONL, Parquet, manifests, dataset ids.")
    ],
    into: Into = None,
    processes: Annotated[int, typer.Option(help="How many; 0 is one a core.")] = 0,
    renamed: Annotated[
        bool, typer.Option(help="A new index also finds copies with all names changed.")
    ] = False,
    packages: Annotated[Path | None, typer.Option(help="Where the archives of a manifest lie.")] = None,
    opt_out_list: Annotated[Path | None, typer.Option(help="Owners and repositories to leave out.")] = None,
) -> None:
    """Build an index, or bring one up to date. Interrupted, the same command goes on."""
    with _errors():
        from attribution.index import read_opt_out_list

        rules = read_opt_out_list(opt_out_list) if opt_out_list else []
        _build(sources, into, processes, packages, rules, create=True, renamed=renamed)


@index_app.command("add")
def index_add(
    sources: Annotated[list[str], typer.Argument(help="As of `build`.")],
    into: Into = None,
    processes: Annotated[int, typer.Option(help="How many; 0 is one a core.")] = 0,
    packages: Annotated[Path | None, typer.Option(help="Where the archives of a manifest lie.")] = None,
) -> None:
    """Add sources to an index that is there."""
    with _errors():
        _build(sources, into, processes, packages, [], create=False, renamed=False)


@index_app.command("remove")
def index_remove(
    repository: Annotated[list[str] | None, typer.Option(help="OWNER/NAME; may be repeated.")] = None,
    owner: Annotated[list[str] | None, typer.Option(help="All repositories of an owner.")] = None,
    path: Annotated[str | None, typer.Option(help="Only paths like this shell pattern.")] = None,
    opt_out_list: Annotated[
        Path | None, typer.Option(help="One OWNER, OWNER/NAME or OWNER/NAME:PATH a line.")
    ] = None,
    into: Into = None,
) -> None:
    """Remove documents at once, and keep them out of later builds."""
    with _errors():
        from attribution.index import OptOut, open_writer, read_opt_out_list

        rules = [OptOut(repository=one, path=path) for one in repository or ()]
        rules += [OptOut(owner=one, path=path) for one in owner or ()]
        rules += read_opt_out_list(opt_out_list) if opt_out_list else []
        with open_writer(_index(into), create=False) as writer:
            removed = writer.remove(rules or [OptOut(path=path)])
        typer.echo(f"removed {removed:,} documents")


@index_app.command("info")
def index_info(
    into: Into = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """What the index holds."""
    with _errors():
        from attribution.index import open_index

        index = open_index(_index(into))
        info = index.info().to_dict()
        index.close()
        if as_json:
            typer.echo(json.dumps(info, indent=2))
        else:
            width = max(map(len, info))
            typer.echo(
                "\n".join(f"{name.replace('_', ' '):{width}} {_shown(value)}" for name, value in info.items())
            )


@index_app.command("verify")
def index_verify(into: Into = None) -> None:
    """Read every byte of the index and say what is damaged."""
    with _errors():
        from attribution.index import open_index

        index = open_index(_index(into))
        problems = index.verify()
        index.close()
        typer.echo("\n".join(problems) or "the index is sound")
        if problems:
            raise typer.Exit(1)


@index_app.command("compact")
def index_compact(into: Into = None) -> None:
    """Give back the space of what was removed and join the pieces."""
    with _errors():
        from attribution.index import open_writer

        with open_writer(_index(into), create=False) as writer:
            writer.compact()


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
    with _errors():
        from attribution.attribute import Question, attribute
        from attribution.index import open_index

        fails = _condition(fail_on)
        question = Question(min_tokens=min_tokens, kinds=frozenset(kind or Kind))
        opened = open_index(_index(index))
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


def _index(given: str | None) -> str:
    from attribution.index import default_index_folder

    return given or str(default_index_folder())


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _build(
    names: Sequence[str],
    into: str | None,
    processes: int,
    packages: Path | None,
    rules: Sequence[OptOut],
    *,
    create: bool,
    renamed: bool,
) -> None:
    from attribution.build import build
    from attribution.index import open_writer
    from attribution.ingest import Sources

    skipped: Counter[str] = Counter()
    sources = Sources(names=names, packages=packages)
    with open_writer(_index(into), create=create, renamed=renamed) as writer:
        if rules:
            writer.remove(rules)
        with _progress(sources.total_bytes()) as on_progress:
            counts = build(sources.documents(skipped), writer, processes=processes, on_progress=on_progress)
    typer.echo(
        f"{counts.added:,} documents added, {counts.known:,} copies of known ones, "
        f"{counts.unchanged:,} unchanged, {counts.refused:,} opted out"
    )
    for reason, number in skipped.most_common():
        typer.echo(f"{number:,} left out: {reason}")


@contextmanager
def _progress(total_bytes: int | None) -> Iterator[Callable[[Progress], None]]:
    """A bar on the terminal with MB/s and the time left; nothing where there is none."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("index", total=total_bytes)
        yield lambda progress: bar.update(task, completed=progress.source_bytes)


@contextmanager
def _errors() -> Iterator[None]:
    """The one place where this package's errors become a message and an exit code."""
    try:
        yield
    except AttributionError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        typer.echo(f"error: {error.name} is missing: `pip install starcoder-lsp[attribution]`", err=True)
        raise typer.Exit(_FAILED) from error
    except KeyboardInterrupt:
        typer.echo("interrupted; what was committed stays, and the same command goes on", err=True)
        raise typer.Exit(130) from None
