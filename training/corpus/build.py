"""A corpus from its sources: plan, stages, and the folder in its place.

    sources -> FILTER (language, licence, opt-out, quality, format) -> MATCH and CLUSTER (duplicates)
            -> WRITE (evaluation problems, personal data) -> FINISH (shards, report, datasheet)

Held-out documents come first, so that of copies in both splits training loses its own. What the
stages hand over lies in a work folder beside the result: killed at any moment, the same command
goes on. The corpus appears whole or not at all, and is the same for the same sources and options.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from training.corpus.errors import CorpusError
from training.corpus.filters.options import BuildOptions
from training.corpus.records.fetch import default_cache_dir
from training.corpus.records.manifest import load_manifest
from training.corpus.records.report import CorpusReport
from training.corpus.records.units import tasks_of, units_of
from training.corpus.stages.executors import Execution, StageProgress, run_stages
from training.corpus.stages.finish import check_replaceable
from training.corpus.stages.workspace import REPORT_FILE, CorpusPlan, Workspace


def build_corpus(
    sources: Sequence[str],
    out_dir: Path,
    *,
    name: str,
    options: BuildOptions,
    held_out: Sequence[str] = (),
    packages: Path | None = None,
    tasks: int | None = None,
    tokenizer: Path | None = None,
    execution: Execution | None = None,
    progress: StageProgress = lambda stage, done, total: None,
) -> CorpusReport | None:
    """Build `out_dir` from sources; None when the work was only submitted (Slurm).

    `packages` is the folder of fetched archives that manifests among the sources name, `tasks`
    into how many parts the work is cut, `tokenizer` whose tokens the datasheet counts. An
    `out_dir` that an earlier build made is replaced; one with anything else in it is refused with
    CorpusError. Raises IntegrityError when an archive is not the pinned one.
    """
    out_dir = out_dir.absolute()
    check_replaceable(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    manifests = {
        source: load_manifest(Path(source)) for source in (*sources, *held_out) if _is_manifest(source)
    }
    places = packages or default_cache_dir()
    units = units_of(sources, packages=places, held_out=held_out, manifests=manifests)
    if not units:
        raise CorpusError("there are no sources; name folders, archives, tables, manifests or data sets")
    plan = CorpusPlan(
        name=name,
        out_dir=out_dir,
        sources=(*sources, *held_out),
        options=options,
        units=tuple(units),
        tasks=tuple(map(tuple, tasks_of(units, tasks))),
        tokenizer=tokenizer,
    )
    workspace = Workspace.begun(work_folder(out_dir), plan)
    if not run_stages(workspace, execution or Execution(), progress):
        return None
    shutil.rmtree(workspace.folder, ignore_errors=True)
    return CorpusReport.from_json((out_dir / REPORT_FILE).read_text(encoding="utf-8"))


def work_folder(out_dir: Path) -> Path:
    """Where the unfinished work for a corpus folder lies."""
    return out_dir.with_name(f".{out_dir.name}.work")


def _is_manifest(source: str) -> bool:
    return source.endswith(".toml")
