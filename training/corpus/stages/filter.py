"""Stage FILTER: sources to documents, their facts and their signatures, unit after unit.

Nothing is kept in memory: documents go to compressed JSONL, facts and signatures to flat files
with a fixed number of bytes a document.
"""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import zstandard

from attribution.sources.manifest import Split
from training.corpus.filters.intake import Intake
from training.corpus.filters.minhash import PERMUTATIONS, signature
from training.corpus.filters.near_duplicates import BANDS, band_keys
from training.corpus.filters.options import NEAR_COMPARED_EXCEPT, BuildOptions
from training.corpus.records.document import CorpusDocument, Reason
from training.corpus.records.reading import LicenceTexts, Skipped, read_unit
from training.corpus.records.report import CorpusReport
from training.corpus.records.units import Unit
from training.corpus.stages.workspace import FACTS, REPORT_FILE, TaskProgress, Workspace

DOCUMENTS_FILE = "documents.jsonl.zst"
SIGNATURES_FILE = "signatures.u32"
BANDS_FILE = "bands.u64"
TEXTS_FILE = "licence_texts.json"
_NO_SIGNATURE = np.zeros(PERMUTATIONS, dtype="<u4").tobytes()
_NO_KEYS = np.zeros(BANDS, dtype="<u8").tobytes()


def filter_task(workspace: Workspace, rank: int, progress: TaskProgress) -> None:
    """Read the units of one task."""
    plan = workspace.plan
    with workspace.replacing(workspace.filtered(rank)) as scratch:
        scratch.mkdir()
        with FilterRun(plan.name, scratch, plan.options, list(workspace.languages)) as run:
            for number in plan.tasks[rank]:
                run.add_unit(plan.units[number], progress)


class FilterRun:
    """The open files and the counters of one task."""

    def __init__(self, name: str, folder: Path, options: BuildOptions, languages: list[str]) -> None:
        self.report = CorpusReport(name=name)
        self._folder, self._options = folder, options
        self._codes = {language: code for code, language in enumerate(languages)}
        self._intake = Intake(options)
        self._texts = LicenceTexts()
        self._closing = ExitStack()

    def __enter__(self) -> FilterRun:
        packed = self._closing.enter_context((self._folder / DOCUMENTS_FILE).open("wb"))
        stream = self._closing.enter_context(zstandard.ZstdCompressor(level=1).stream_writer(packed))
        self._documents = self._closing.enter_context(io.TextIOWrapper(stream, encoding="utf-8"))
        self._facts = self._closing.enter_context((self._folder / "facts.bin").open("wb"))
        self._signatures = self._closing.enter_context((self._folder / SIGNATURES_FILE).open("wb"))
        self._bands = self._closing.enter_context((self._folder / BANDS_FILE).open("wb"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._closing.close()
        if error is None:
            (self._folder / REPORT_FILE).write_text(self.report.to_json(), encoding="utf-8")
            texts = {"owners": self._texts.owners, "without": self._texts.without}
            (self._folder / TEXTS_FILE).write_text(json.dumps(texts), encoding="utf-8")

    def add_unit(self, unit: Unit, progress: TaskProgress) -> None:
        """Put everything of one unit through the intake."""
        for found in read_unit(unit, self._texts, max_file_bytes=self._options.max_file_bytes):
            if isinstance(found, Skipped):
                self.report.read(0, found.files)
                self.report.drop(found.reason, 0, found.files)
                continue
            # A notebook can become two documents: each outcome counts as read.
            for outcome, key in self._intake.outcomes(found):
                self.report.read(found.size_bytes)
                if isinstance(outcome, Reason):
                    self.report.drop(outcome, found.size_bytes)
                else:
                    self._add(outcome, key, self._is_held_out(unit, outcome))
            progress(found.size_bytes)

    def _add(self, document: CorpusDocument, key: bytes | None, is_held_out: bool) -> None:
        data = document.text.encode("utf-8", errors="surrogatepass")
        self._documents.write(document.to_json() + "\n")
        compared = self._sign(document)
        digest = (key or hashlib.sha256(data).digest())[:16]
        code = self._codes[document.language]
        fact = np.array([(np.frombuffer(digest, "<u8"), len(data), code, is_held_out, compared)], dtype=FACTS)
        self._facts.write(fact.tobytes())

    def _sign(self, document: CorpusDocument) -> bool:
        """Write the signature; whether there is one."""
        wanted = self._options.near_dedup and document.language not in NEAR_COMPARED_EXCEPT
        signed = signature(document.text) if wanted else None
        self._signatures.write(_NO_SIGNATURE if signed is None else signed.astype("<u4").tobytes())
        self._bands.write(_NO_KEYS if signed is None else band_keys(signed).astype("<u8").tobytes())
        return signed is not None

    def _is_held_out(self, unit: Unit, document: CorpusDocument) -> bool:
        if unit.split is not None:
            return unit.split is Split.HELD_OUT
        share = int.from_bytes(hashlib.sha256(document.repository.lower().encode()).digest()[:8]) / 2**64
        return share < self._options.held_out_share
