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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution.cli.common import INDEX_VARIABLE, Fallback, index_url, reported_errors, say
from attribution.errors import SourceError
from attribution.source import GroupBy

if TYPE_CHECKING:
    from attribution.indexing.build import BuildProgress
    from attribution.indexing.listing import ListedSet
    from attribution.store.contract import Index, Writer
    from attribution.store.opt_outs import OptOut

index_app = typer.Typer(
    name="index", help="Build and tend an index of source code for attribution.", no_args_is_help=True
)

REMOVED_NOTHING = 3
_BUILD_AGAIN = (
    "damage cannot be mended: keep the opt-outs (`starcoder-lsp index opt-outs list > opt-outs.txt`), "
    "delete the index, build it again (`starcoder-lsp index build SOURCES… --opt-out-list opt-outs.txt`)"
)
_WAITS = "another process is writing to this index; it removes these documents at its next commit"

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
    repository: Annotated[
        list[str] | None, typer.Option(help="OWNER/NAME, or its address; may be repeated.")
    ] = None,
    owner: Annotated[list[str] | None, typer.Option(help="All repositories of an owner.")] = None,
    path: Annotated[str | None, typer.Option(help="Only paths like this shell pattern.")] = None,
    opt_out_list: Annotated[
        Path | None, typer.Option(help="One OWNER, OWNER/NAME or OWNER/NAME:PATH a line.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if a rule removes nothing.")] = False,
    into: Into = None,
) -> None:
    """Remove documents at once, and keep them out of later builds; also of one that is running."""
    with reported_errors():
        from attribution.store.open import remove_documents

        rules = _rules(repository, owner, path, opt_out_list)
        removed = remove_documents(index_url(into), rules, on_wait=partial(say, _WAITS, err=True))
    say(f"removed {removed.documents:,} documents")
    for rule in removed.idle:
        say(f"{rule.line}: removed nothing; it will be kept out of later builds", err=True)
    if strict and removed.idle:
        raise typer.Exit(REMOVED_NOTHING)


def _rules(
    repository: Sequence[str] | None,
    owner: Sequence[str] | None,
    path: str | None,
    opt_out_list: Path | None,
) -> list[OptOut]:
    from attribution.store.opt_outs import OptOut, read_opt_out_list

    rules = [OptOut.named(one, path=path) for one in (*(repository or ()), *(owner or ()))]
    rules += read_opt_out_list(opt_out_list) if opt_out_list else []
    return rules or [OptOut(path=path)]


opt_outs_app = typer.Typer(help="What was removed for good.", no_args_is_help=True)
index_app.add_typer(opt_outs_app, name="opt-outs")


@opt_outs_app.command("list")
def opt_outs_list(into: Into = None) -> None:
    """The rules, as an opt-out list: for `build --opt-out-list` of another index. Reads old indexes too."""
    with reported_errors():
        from attribution.store.open import read_opt_outs

        say("\n".join(read_opt_outs(index_url(into))) or "# nothing was removed")


@opt_outs_app.command("lift")
def opt_outs_lift(
    rules: Annotated[list[str], typer.Argument(help="As `list` shows them.")], into: Into = None
) -> None:
    """Forget rules, so that a later build takes the documents in again."""
    with reported_errors():
        from attribution.store.open import open_writer
        from attribution.store.opt_outs import OptOut

        wanted = [OptOut.from_line(rule) for rule in rules]
        with open_writer(index_url(into), create=False) as writer:
            lifted = writer.lift(wanted)
        if lifted < len(set(wanted)):
            raise SourceError(f"{lifted} of {len(set(wanted))} rules were there; see `index opt-outs list`")
    say(f"lifted {lifted:,} rules; build again to take the documents in")


@index_app.command("info")
def index_info(
    into: Into = None,
    by: Annotated[
        GroupBy | None, typer.Option(help="Count the documents by licence, repository or language.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What the index holds."""
    with reported_errors():
        from attribution.store.open import open_index

        index = open_index(index_url(into))
        info = index.info().to_dict() if by is None else _counted(index, by)
        index.close()
        if as_json:
            say(json.dumps(info, indent=2))
        else:
            width = max(map(len, info), default=0)
            names = {name: name.replace("_", " ") if by is None else name for name in info}
            say("\n".join(f"{names[name]:{width}} {_shown(value)}" for name, value in info.items()))


def _counted(index: Index, by: GroupBy) -> dict[str, object]:
    """The most frequent first."""
    return {name or "unknown": number for name, number in index.documents_by(by).most_common()}


@index_app.command("verify")
def index_verify(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="As of `build`: every document of theirs must be there, or opted out."),
    ] = None,
    into: Into = None,
    packages: Packages = None,
) -> None:
    """Read every byte of the index and say what is damaged, and what it lacks of its sources."""
    with reported_errors():
        from attribution.indexing.proof import lacking
        from attribution.sources.ingest import Sources
        from attribution.store.open import open_index

        given = Sources(names=tuple(sources or ()), packages=packages)
        given.check()
        index = open_index(index_url(into))
        damage = index.verify()
        lacks = [f"not held: {source.repository}: {source.path}" for source in lacking(given, index)]
        index.close()
        say("\n".join([*damage, *lacks]) or "the index is sound")
        if damage:
            say(_BUILD_AGAIN, err=True)
        if damage or lacks:
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
    say(
        f"{counts.added + counts.known:,} documents added ({counts.known:,} copies of known ones), "
        f"{counts.replaced:,} replaced, {counts.unchanged:,} unchanged, {counts.refused:,} opted out"
    )
    for reason, number in skipped.most_common():
        say(f"{number:,} left out: {reason}")
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
