"""`starcoder-lsp index`: arguments to calls, results to text. Build and tend an index.

Heavy modules are imported by the command that needs them. The bundled model's training set is known to
`training/`, which this package does not import: the program that mounts the commands passes the set as
the context's `obj` (see `ListedSets`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution.cli.common import INDEX_VARIABLE, Fallback, index_url, reported_errors
from attribution.errors import SourceError

if TYPE_CHECKING:
    from attribution.indexing.build import BuildProgress
    from attribution.indexing.listing import ListedSet
    from attribution.store.contract import Writer
    from attribution.store.opt_outs import OptOut

index_app = typer.Typer(
    name="index", help="Build and tend an index of source code for attribution.", no_args_is_help=True
)

Into = Annotated[
    str | None,
    typer.Option(
        "--into",
        "--index",
        envvar=INDEX_VARIABLE,
        help="Folder of the index, or on Elasticsearch http(s)://HOST:PORT/NAME or elasticsearch:NAME.",
    ),
]
Processes = Annotated[int, typer.Option(min=0, help="How many; 0 is one a core.")]
Packages = Annotated[
    Path | None, typer.Option(help="Folder of the packages of a manifest or of --starter; keeps them.")
]


@dataclass(frozen=True, kw_only=True)
class ListedSets:
    """What the program that mounts the commands passes to them.

    `starter(packages, on_package)` is the bundled model's training set; `on_package` is called with each
    package that is read. `fallback()` is where the user's settings look without `--index`.
    """

    starter: Callable[[Path | None, Callable[[str], None]], ListedSet]
    fallback: Callable[[], Fallback] = Fallback


@index_app.command("build")
def index_build(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Folders, archives, JSONL, Parquet, corpus manifests, ids of datasets."),
    ] = None,
    starter: Annotated[
        bool, typer.Option("--starter", help="What the bundled model was trained on; fetches its packages.")
    ] = False,
    into: Into = None,
    processes: Processes = 0,
    renamed: Annotated[
        bool, typer.Option(help="A new index also finds copies with all names changed.")
    ] = False,
    packages: Packages = None,
    opt_out_list: Annotated[Path | None, typer.Option(help="Owners and repositories to leave out.")] = None,
) -> None:
    """Build an index, or bring one up to date. Interrupted, the same command goes on."""
    with reported_errors():
        from attribution.store.opt_outs import read_opt_out_list

        rules = read_opt_out_list(opt_out_list) if opt_out_list else []
        _build(
            _Work(sources=tuple(sources or ()), starter=starter, packages=packages, sets=context.obj),
            _Target(url=index_url(into), create=True, renamed=renamed, processes=processes),
            rules,
        )


@index_app.command("add")
def index_add(
    sources: Annotated[list[str], typer.Argument(help="As of `build`.")],
    into: Into = None,
    processes: Processes = 0,
    packages: Packages = None,
) -> None:
    """Add sources to an index that is there."""
    with reported_errors():
        _build(
            _Work(sources=tuple(sources), packages=packages),
            _Target(url=index_url(into), create=False, processes=processes),
            [],
        )


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
    with reported_errors():
        from attribution.store.open import open_writer
        from attribution.store.opt_outs import OptOut, read_opt_out_list

        rules = [OptOut(repository=one, path=path) for one in repository or ()]
        rules += [OptOut(owner=one, path=path) for one in owner or ()]
        rules += read_opt_out_list(opt_out_list) if opt_out_list else []
        with open_writer(index_url(into), create=False) as writer:
            removed = writer.remove(rules or [OptOut(path=path)])
        typer.echo(f"removed {removed:,} documents")


@index_app.command("opt-outs")
def index_opt_outs(into: Into = None) -> None:
    """What was removed for good, as an opt-out list: for `build --opt-out-list` of another index."""
    with reported_errors():
        from attribution.store.open import open_index

        index = open_index(index_url(into))
        typer.echo("\n".join(index.opt_outs()) or "# nothing was removed")
        index.close()


@index_app.command("info")
def index_info(
    into: Into = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """What the index holds."""
    with reported_errors():
        from attribution.store.open import open_index

        index = open_index(index_url(into))
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
    with reported_errors():
        from attribution.store.open import open_index

        index = open_index(index_url(into))
        problems = index.verify()
        index.close()
        typer.echo("\n".join(problems) or "the index is sound")
        if problems:
            raise typer.Exit(1)


@index_app.command("compact")
def index_compact(into: Into = None) -> None:
    """Give back the space of what was removed and join the pieces."""
    with reported_errors():
        from attribution.store.open import open_writer

        with open_writer(index_url(into), create=False) as writer:
            writer.compact()


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be indexed."""

    sources: Sequence[str]
    starter: bool = False
    packages: Path | None = None
    sets: object = None

    def __post_init__(self) -> None:
        if not self.sources and not self.starter:
            raise SourceError("nothing to index: name folders, archives or tables, or give --starter")

    def starter_set(self, on_package: Callable[[str], None]) -> ListedSet:
        """What the bundled model was trained on."""
        if not isinstance(self.sets, ListedSets):
            raise SourceError(
                "--starter: this program does not know the set; use `starcoder-lsp index build`"
            )
        return self.sets.starter(self.packages, on_package)


@dataclass(frozen=True, kw_only=True)
class _Target:
    """Where it goes, and how."""

    url: str
    create: bool
    renamed: bool = False
    processes: int = 0


def _build(work: _Work, target: _Target, rules: Sequence[OptOut]) -> None:
    from attribution.indexing.build import build
    from attribution.sources.ingest import Sources
    from attribution.store.open import open_writer

    skipped: Counter[str] = Counter()
    sources = Sources(names=work.sources, packages=work.packages)
    sources.check()
    with open_writer(target.url, create=target.create, renamed=target.renamed) as writer:
        if rules:
            writer.remove(rules)
        if work.starter:
            _build_starter(work, target, writer, skipped)
        incomplete = bool(skipped)
        if work.sources:
            bar = _Bar()
            with bar.shown(sources.total_bytes()):
                documents = sources.documents(skipped)
                build(documents, writer, processes=target.processes, on_progress=bar.update)
        counts = writer.counts
    typer.echo(
        f"{counts.added:,} documents added, {counts.known:,} copies of known ones, "
        f"{counts.unchanged:,} unchanged, {counts.refused:,} opted out"
    )
    for reason, number in skipped.most_common():
        typer.echo(f"{number:,} left out: {reason}")
    if incomplete:
        raise typer.Exit(1)


def _build_starter(work: _Work, target: _Target, writer: Writer, skipped: Counter[str]) -> None:
    from attribution.indexing.listing import build_listed, missing_from

    bar = _Bar()
    wanted = work.starter_set(bar.describe)
    missing = missing_from(wanted.listed(), writer)
    with bar.shown(sum(one.text_bytes for one in missing)):
        build_listed(wanted, missing, writer, skipped, processes=target.processes, on_progress=bar.update)


class _Bar:
    """A bar on the terminal with MB/s and the time left; nothing where there is none."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))
        self._task = self._bar.add_task("", total=None)

    @contextmanager
    def shown(self, total_bytes: int | None) -> Iterator[None]:
        """On the screen for as long as the context lasts."""
        self._bar.update(self._task, total=total_bytes)
        with self._bar:
            yield
            # The total may have been an estimate.
            self._bar.update(self._task, total=self._bar.tasks[0].completed)

    def update(self, progress: BuildProgress) -> None:
        """So much has been read."""
        self._bar.update(self._task, completed=progress.source_bytes)

    def describe(self, what: str) -> None:
        """What is being read."""
        self._bar.update(self._task, description=what)
