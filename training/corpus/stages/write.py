"""Stage WRITE: documents that are kept, decontaminated and without personal data, as parts of shards."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from attribution.sources.manifest import Split
from training.corpus.filters.decontaminate import Decontaminator
from training.corpus.filters.options import BuildOptions, paths
from training.corpus.pii.finding import Finder
from training.corpus.pii.names import ModelFinder
from training.corpus.pii.redact import FINDERS, Replaced, redact
from training.corpus.records.document import CorpusDocument, Reason
from training.corpus.records.report import CorpusReport
from training.corpus.records.shards import ShardWriter
from training.corpus.stages.filter import DOCUMENTS_FILE
from training.corpus.stages.workspace import REPORT_FILE, Fate, TaskProgress, Workspace

FOLDER_OF_SPLIT = {Split.TRAIN: "train", Split.HELD_OUT: "held_out"}
INDEX_FILE = "documents.jsonl"
PARTS_FILE = "parts.json"
_REASONS = {
    Fate.DUPLICATE: Reason.DUPLICATE,
    Fate.NEAR_DUPLICATE: Reason.NEAR_DUPLICATE,
    Fate.OVER_WEIGHT: Reason.OVER_WEIGHT,
}


def write_task(workspace: Workspace, rank: int, progress: TaskProgress) -> None:
    """Write what is kept of one filter task's documents."""
    plan = workspace.plan
    report = CorpusReport(name=plan.name)
    cleaner = Cleaner(plan.options, report)
    facts = workspace.facts(rank)
    fates = np.load(workspace.fates(rank))
    with workspace.replacing(workspace.written(rank)) as scratch:
        scratch.mkdir()
        writers = {split: ShardWriter(scratch / name) for split, name in FOLDER_OF_SPLIT.items()}
        with (
            writers[Split.TRAIN],
            writers[Split.HELD_OUT],
            (scratch / INDEX_FILE).open("w", encoding="utf-8") as index,
        ):
            rows = zip(facts["bytes"].tolist(), facts["is_held_out"].tolist(), fates.tolist(), strict=True)
            for document, (size, is_held_out, fate) in zip(_documents(workspace, rank), rows, strict=True):
                outcome = cleaner.outcome(document) if fate == Fate.KEPT else _REASONS[Fate(fate)]
                if isinstance(outcome, Reason):
                    report.drop(outcome, size)
                else:
                    split = Split.HELD_OUT if is_held_out else Split.TRAIN
                    size_bytes = writers[split].write(outcome)
                    report.keep(outcome, split, size_bytes)
                    index.write(_index_entry(outcome, split, size_bytes, cleaner.replaced))
                progress(size)
        parts = {name: writers[split].shards() for split, name in FOLDER_OF_SPLIT.items()}
        (scratch / PARTS_FILE).write_text(json.dumps(parts), encoding="utf-8")
        (scratch / REPORT_FILE).write_text(report.to_json(), encoding="utf-8")


class Cleaner:
    """Decontamination, then personal data; counts both. `replaced` is of the last document."""

    def __init__(self, options: BuildOptions, report: CorpusReport) -> None:
        self.replaced: list[Replaced] = []
        self._report = report
        self._decontaminator = Decontaminator.from_files(paths(options.decontaminate))
        self._finders: tuple[Finder, ...] = FINDERS if options.redact_pii else ()
        if options.ner is not None:
            self._finders += (ModelFinder(options.ner),)

    def outcome(self, document: CorpusDocument) -> CorpusDocument | Reason:
        """The document as it is written, or the reason why it is not."""
        needle = self._decontaminator.find(document.text)
        if needle is not None:
            self._report.contaminants[needle[:80]] += 1
            return Reason.CONTAMINATED
        document, self.replaced = redact(document, self._finders)
        self._report.redact(Counter(one.kind.value for one in self.replaced))
        return document


def _documents(workspace: Workspace, rank: int) -> Iterator[CorpusDocument]:
    path: Path = workspace.filtered(rank) / DOCUMENTS_FILE
    with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
            yield CorpusDocument.from_json(line)


def _index_entry(
    document: CorpusDocument, split: Split, size_bytes: int, replaced: Sequence[Replaced]
) -> str:
    """One line of the index; by `replaced` its text can be made again from the file it came from."""
    entry: dict[str, Any] = {"sha256": document.sha256, "package": document.package, "path": document.path}
    if not document.package.startswith(("pypi:", "npm:")):
        entry["repository"] = document.repository
    entry |= {"language": document.language, "license": document.license, "split": split.value}
    entry["bytes"] = size_bytes
    if replaced:
        entry["replaced"] = [(one.start, one.end, one.instead) for one in replaced]
    return json.dumps(entry, ensure_ascii=False) + "\n"
