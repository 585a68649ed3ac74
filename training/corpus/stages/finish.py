"""Stage FINISH: parts to shards, reports to one, and what must lie beside them.

    train/ held_out/ documents.jsonl.gz report.json corpus.json NOTICE.md LICENSES.txt DATASHEET.md datasheet/

The folder takes the place of an older corpus at the very end, whole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.local.own_folder import first_not_of
from training.corpus.errors import CorpusError
from training.corpus.records.fetch import sha256_of
from training.corpus.records.licences import licence_texts, notice_markdown
from training.corpus.records.reading import LicenceTexts
from training.corpus.records.report import CorpusReport
from training.corpus.records.shards import ShardInfo, ShardMerger
from training.corpus.stages.datasheet import DATASHEET_FILE, PICTURES, write_datasheet
from training.corpus.stages.filter import TEXTS_FILE
from training.corpus.stages.workspace import REPORT_FILE, Stage, TaskProgress, Workspace
from training.corpus.stages.write import FOLDER_OF_SPLIT, INDEX_FILE, PARTS_FILE

MANIFEST_FILE = "corpus.json"
MANIFEST_VERSION = 1
NOTICE_FILE, LICENCES_FILE = "NOTICE.md", "LICENSES.txt"
_FILES = (REPORT_FILE, f"{INDEX_FILE}.gz", MANIFEST_FILE, NOTICE_FILE, LICENCES_FILE, DATASHEET_FILE)
# All that a corpus' folder holds, and its folders.
_NAMES = (
    dict.fromkeys(_FILES, ())
    | dict.fromkeys(FOLDER_OF_SPLIT.values(), ("*.jsonl.gz",))
    | {PICTURES: ("*.png",)}
)


def finish_task(workspace: Workspace, rank: int, progress: TaskProgress) -> None:
    """Put the corpus together and in its place."""
    plan = workspace.plan
    finished = workspace.folder / "corpus"
    with workspace.replacing(finished) as scratch:
        scratch.mkdir()
        shards = {name: _merged(workspace, scratch, name) for name in FOLDER_OF_SPLIT.values()}
        report = total_report(workspace)
        (scratch / REPORT_FILE).write_text(report.to_json(), encoding="utf-8")
        _write_index(workspace, scratch / f"{INDEX_FILE}.gz")
        _write_notices(workspace, scratch)
        manifest = _manifest(workspace, scratch, shards)
        (scratch / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        write_datasheet(scratch, plan, report)
        progress(1)
    swap(finished, plan.out_dir)


def total_report(workspace: Workspace) -> CorpusReport:
    """The reports of all tasks together."""
    total = CorpusReport(name=workspace.plan.name)
    for rank in range(workspace.tasks(Stage.WRITE)):
        for folder in (workspace.filtered(rank), workspace.written(rank)):
            total.add(CorpusReport.from_json((folder / REPORT_FILE).read_text(encoding="utf-8")))
    sizes = json.loads(workspace.clusters.read_text(encoding="utf-8"))
    total.clusters.update({int(size): count for size, count in sizes.items()})
    return total


def check_replaceable(out_dir: Path) -> None:
    """Raise CorpusError unless the folder is a corpus and nothing else, or empty, or not there."""
    if (foreign := first_not_of(out_dir, _NAMES, mark=REPORT_FILE)) is not None:
        raise CorpusError(
            f"{out_dir} holds {foreign.relative_to(out_dir)} and is no corpus; choose another folder"
        )


def swap(finished: Path, out_dir: Path) -> None:
    """Put the finished folder in place; the old one is gone only after the new one stands there."""
    check_replaceable(out_dir)
    old = finished.with_name("replaced")
    if out_dir.exists():
        shutil.rmtree(old, ignore_errors=True)  # of a run that was killed right here
        os.replace(out_dir, old)
    os.replace(finished, out_dir)
    shutil.rmtree(old, ignore_errors=True)


def _merged(workspace: Workspace, scratch: Path, split: str) -> list[ShardInfo]:
    merger = ShardMerger(scratch / split)
    for rank in range(workspace.tasks(Stage.WRITE)):
        folder = workspace.written(rank)
        parts = json.loads((folder / PARTS_FILE).read_text(encoding="utf-8"))[split]
        for part in (ShardInfo(**raw) for raws in parts.values() for raw in raws):
            merger.add(folder / split, part)
    return merger.shards()


def _write_index(workspace: Workspace, path: Path) -> None:
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        for rank in range(workspace.tasks(Stage.WRITE)):
            with (workspace.written(rank) / INDEX_FILE).open("rb") as lines:
                shutil.copyfileobj(lines, packed, 1 << 20)


def _write_notices(workspace: Workspace, scratch: Path) -> None:
    plan = workspace.plan
    packages = [unit.package for unit in plan.units if unit.package is not None]
    notice = notice_markdown(packages, title=f"Packages of the corpus '{plan.name}'")
    (scratch / NOTICE_FILE).write_text(notice, encoding="utf-8")
    texts = LicenceTexts()
    for rank in range(workspace.tasks(Stage.FILTER)):
        raw = json.loads((workspace.filtered(rank) / TEXTS_FILE).read_text(encoding="utf-8"))
        texts.without += raw["without"]
        for text, owners in raw["owners"].items():
            texts.owners.setdefault(text, []).extend(owners)
    (scratch / LICENCES_FILE).write_text(licence_texts(texts.owners, texts.without), encoding="utf-8")


def _manifest(
    workspace: Workspace, scratch: Path, shards: Mapping[str, Sequence[ShardInfo]]
) -> dict[str, Any]:
    """What the corpus is made of, with hashes: equal manifests mean equal corpora."""
    plan = workspace.plan
    files = [
        {"split": split, **asdict(shard), "sha256": sha256_of(scratch / split / shard.file)}
        for split, infos in shards.items()
        for shard in infos
    ]
    options = plan.options.to_plain()
    for lists in ("licences", "opt_out", "decontaminate"):
        options[lists] = [
            {"file": Path(name).name, "sha256": sha256_of(Path(name))} for name in options[lists]
        ]
    sources = [
        {"kind": unit.kind.value, "name": unit.package.identity, "sha256": unit.package.sha256}
        if unit.package is not None
        else {"kind": unit.kind.value, "name": Path(unit.name).name}
        for unit in plan.units
    ]
    documents = sha256_of(scratch / f"{INDEX_FILE}.gz")
    identity = hashlib.sha256("".join(file["sha256"] for file in files).encode()).hexdigest()
    return {
        "version": MANIFEST_VERSION,
        "name": plan.name,
        "sha256": identity,
        "documents_sha256": documents,
        "options": options,
        "sources": sources,
        "shards": files,
    }
