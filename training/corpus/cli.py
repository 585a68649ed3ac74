"""`starcoder-lsp train corpus`: options to a build, errors to exit codes, progress to a bar.

Loads nothing of the pipeline until it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.cli_common import fail
from training.corpus.errors import CorpusError

if TYPE_CHECKING:
    from attribution.sources.manifest import Package
    from training.corpus.filters.options import BuildOptions
    from training.corpus.records.report import CorpusReport
    from training.corpus.stages.executors import Execution
    from training.corpus.stages.workspace import Stage

_LABELS = {
    "filter": "reading and filtering",
    "match": "comparing",
    "cluster": "grouping duplicates",
    "write": "cleaning and writing",
    "finish": "putting together",
}
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def corpus_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Manifests (.toml), folders, git checkouts, archives, JSONL, Parquet, hf:OWNER/NAME/FOLDER."
        ),
    ],
    into: Annotated[
        Path, typer.Option(help="The corpus folder to write; an older corpus there is replaced.")
    ],
    held_out: Annotated[
        list[str] | None, typer.Option(help="Sources that are held out from training.")
    ] = None,
    held_out_share: Annotated[
        float, typer.Option(help="Share of repositories that is held out, whole.")
    ] = 0.0,
    table: Annotated[
        str | None, typer.Option(help="Languages and filters: starcoder (the paper's) or starter (and ours).")
    ] = None,
    licences: Annotated[
        list[Path] | None,
        typer.Option(help="Lists of SPDX ids that are allowed, instead of the permissive list."),
    ] = None,
    unlicensed: Annotated[bool, typer.Option(help="Keep code whose licence nobody knows.")] = False,
    opt_out: Annotated[
        list[Path] | None, typer.Option(help="Lists of owners and OWNER/NAME to leave out.")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None, typer.Option(help="JSONL files of evaluation problems to keep out.")
    ] = None,
    near_dedup: Annotated[bool, typer.Option(help="Drop near duplicates.")] = True,
    pii: Annotated[bool, typer.Option(help="Replace e-mail and IP addresses, keys and passwords.")] = True,
    ner: Annotated[
        str | None, typer.Option(help="A token classification model that also finds names.")
    ] = None,
    notebooks: Annotated[str, typer.Option(help="scripts, structured, both with a comma, or none.")] = (
        "scripts,structured"
    ),
    weight: Annotated[
        list[str] | None,
        typer.Option(help="LANGUAGE=SIZE: at most so much of a language, for example CSS=3GB."),
    ] = None,
    max_file_bytes: Annotated[int, typer.Option(help="Larger files are left out.")] = 1_000_000,
    packages: Annotated[
        Path | None, typer.Option(help="Where packages of manifests are kept; missing ones are fetched.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The corpus' name, if not the folder's.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Whose tokens the datasheet counts; the bundled model's if not given.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Tasks at once; as many as there are cores.")] = None,
    tasks: Annotated[
        int | None, typer.Option(min=1, help="Cut the sources into about so many tasks.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE for Slurm: partition, time, qos, venv_path or sbatch's."),
    ] = None,
) -> None:
    """Curate a corpus: licences, opt-outs, quality, duplicates, evaluation problems, personal data.

    Killed at any moment, the same command goes on where it was. The result has a datasheet
    (DATASHEET.md), a manifest with hashes (corpus.json) and the licences' texts.
    """
    from training.corpus.build import build_corpus
    from training.corpus.filters.options import file_names

    names = [*sources, *(held_out or [])]
    console = Console(stderr=True)
    try:
        options = _options(
            names,
            table=table,
            licences=file_names(licences),
            unlicensed_kept=unlicensed,
            opt_out=file_names(opt_out),
            decontaminate=file_names(decontaminate),
            near_dedup=near_dedup,
            redact_pii=pii,
            ner=ner,
            notebooks=() if notebooks == "none" else tuple(notebooks.split(",")),
            max_file_bytes=max_file_bytes,
            held_out_share=held_out_share,
            weights=weight or [],
        )
        execution = _execution(executor, workers, slurm or [])
        fetch_missing(names, packages, console)
        with stage_bar(console) as progress:
            report = build_corpus(
                sources,
                into,
                name=name or into.name,
                options=options,
                held_out=held_out or (),
                packages=packages,
                tasks=tasks,
                tokenizer=tokenizer,
                execution=execution,
                progress=progress,
            )
    except CorpusError as error:
        raise fail(error) from error
    except KeyboardInterrupt:
        console.print("interrupted: the same command goes on from here", highlight=False)
        raise typer.Exit(130) from None
    print_summary(report, into)


def fetch_missing(names: list[str], packages: Path | None, console: Console) -> None:
    """Fetch the packages of the manifests among the sources that are not there yet."""
    from training.corpus.records.fetch import default_cache_dir, fetch_manifest
    from training.corpus.records.manifest import load_manifest

    manifests = [load_manifest(Path(name)) for name in names if name.endswith(".toml")]
    with _bar(console) as bar:
        for manifest in manifests:
            task = bar.add_task(f"fetching {manifest.name}", total=len(manifest.packages))

            def show(_: Package, done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done)

            fetch_manifest(manifest, packages or default_cache_dir(), show)


@contextmanager
def stage_bar(console: Console) -> Iterator[Callable[[Stage, int, int], None]]:
    """A bar for each stage, on a terminal; one line for each stage elsewhere."""
    with _bar(console) as bar:
        rows: dict[Stage, TaskID] = {}

        def show(stage: Stage, done: int, total: int) -> None:
            label = _LABELS[stage.value]
            if stage not in rows:
                rows[stage] = bar.add_task(label, total=total or None)
                if not console.is_terminal:
                    console.print(f"{label} …", highlight=False)
            bar.update(rows[stage], completed=done)

        yield show


def print_summary(report: CorpusReport | None, into: Path) -> None:
    """What a build did, in a few lines."""
    from attribution.sources.manifest import Split

    if report is None:
        typer.echo(f"submitted to Slurm; {into} appears when the last job is done")
        return
    for split in Split:
        typer.echo(f"{split}: {report.total_bytes(split) / 1e6:.1f} MB of text")
    for reason, files in report.dropped_files.most_common():
        typer.echo(f"  dropped {files:>8,} files, {report.dropped_bytes[reason] / 1e6:10.1f} MB: {reason}")
    typer.echo(f"{into / 'DATASHEET.md'}")


def _options(names: list[str], *, table: str | None, weights: list[str], **values: object) -> BuildOptions:
    from training.corpus.filters.options import PAPER_WEIGHTS, BuildOptions
    from training.corpus.records.languages import TableName
    from training.corpus.records.manifest import load_manifest

    if table is not None and table not in list(TableName):
        raise CorpusError(f"--table {table!r}: expected {' or '.join(TableName)}")
    of_manifests = [load_manifest(Path(name)).table for name in names if name.endswith(".toml")]
    chosen = TableName(table or next(iter(of_manifests), TableName.STARCODER))
    known = {**PAPER_WEIGHTS, **dict(map(_weight, weights))}
    return BuildOptions(table=chosen, weights=known, **values)  # type: ignore[arg-type] # checked by their names


def _weight(text: str) -> tuple[str, int]:
    language, _, size = text.partition("=")
    unit = next((unit for unit in _UNITS if size.endswith(unit)), "")
    try:
        return language, int(float(size.removesuffix(unit)) * _UNITS.get(unit, 1))
    except ValueError:
        raise CorpusError(f"--weight {text!r}: expected LANGUAGE=SIZE, for example CSS=3GB") from None


def _execution(executor: str, workers: int | None, slurm: list[str]) -> Execution:
    from training.corpus.stages.executors import Execution, ExecutorKind

    if executor not in list(ExecutorKind):
        raise CorpusError(f"--executor {executor!r}: expected {', '.join(ExecutorKind)}")
    if wrong := [text for text in slurm if "=" not in text]:
        raise CorpusError(f"--slurm {wrong[0]!r}: expected KEY=VALUE")
    settings = {key: value for key, _, value in (text.partition("=") for text in slurm)}
    return Execution(kind=ExecutorKind(executor), workers=workers or os.cpu_count() or 1, settings=settings)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
