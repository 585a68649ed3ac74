"""MB/s of one core, stage by stage over the same text, in one process."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution.sources.ingest import read_tree
from attribution.sources.trees import FolderTree
from training.corpus.filters.decontaminate import Decontaminator
from training.corpus.filters.intake import Intake
from training.corpus.filters.minhash import signature
from training.corpus.filters.near_duplicates import band_keys
from training.corpus.filters.options import BuildOptions
from training.corpus.pii.addresses import find_emails, find_ips
from training.corpus.pii.keys import find_keys
from training.corpus.pii.passwords import find_passwords
from training.corpus.pii.redact import redact
from training.corpus.records.document import CorpusDocument
from training.corpus.records.languages import TableName
from training.corpus.records.reading import FoundFile
from training.corpus.records.shards import ShardWriter

_MAX_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The time that one stage took for so much text."""

    stage: str
    megabytes: float
    seconds: float


def print_stages(folder: Path, problems: Sequence[Path], rounds: int) -> None:
    """A table of MB/s, the best of some rounds each."""
    best: dict[str, Speed] = {}
    for _ in range(rounds):
        for speed in measured_stages(folder, problems):
            known = best.get(speed.stage)
            if known is None or speed.seconds < known.seconds:
                best[speed.stage] = speed
    print("| stage | text | MB/s a core |\n|---|--:|--:|")
    for speed in best.values():
        print(f"| {speed.stage} | {speed.megabytes:.1f} MB | {speed.megabytes / speed.seconds:.1f} |")


def measured_stages(folder: Path, problems: Sequence[Path]) -> Iterator[Speed]:
    """Each stage over the same text, one after the other, in this process."""
    started = time.perf_counter()
    files = list(_files(folder))
    megabytes = sum(file.size_bytes for file in files) / 1e6
    yield Speed(
        stage="reading a folder, provenance", megabytes=megabytes, seconds=time.perf_counter() - started
    )
    intake = Intake(BuildOptions(table=TableName.STARTER, unlicensed_kept=True, notebooks=()))
    documents: list[CorpusDocument] = []
    started = time.perf_counter()
    for file in files:
        documents += [one for one, _ in intake.outcomes(file) if isinstance(one, CorpusDocument)]
    took = time.perf_counter() - started
    yield Speed(stage="language, licence, opt-out, quality", megabytes=megabytes, seconds=took)
    yield from _of_documents(documents, problems)


def _files(folder: Path) -> Iterator[FoundFile]:
    size = 0
    for document in read_tree(FolderTree(folder), Counter()):
        size += len(document.text)
        yield FoundFile(
            path=document.source.path,
            repository=document.source.repository,
            data=document.text,
            size_bytes=len(document.text),
            license=document.source.license or "MIT",
        )
        if size > _MAX_BYTES:
            return


def _of_documents(documents: Sequence[CorpusDocument], problems: Sequence[Path]) -> Iterator[Speed]:
    megabytes = sum(len(document.text.encode()) for document in documents) / 1e6
    decontaminator = Decontaminator.from_files(problems)
    stages: list[tuple[str, Callable[[CorpusDocument], object]]] = [
        ("MinHash signature and bands", lambda document: _signed(document.text)),
        ("decontamination", lambda document: decontaminator.find(document.text)),
        ("personal data: keys", lambda document: list(find_keys(document.text))),
        ("personal data: e-mail addresses", lambda document: list(find_emails(document.text))),
        ("personal data: IP addresses", lambda document: list(find_ips(document.text))),
        ("personal data: passwords", lambda document: list(find_passwords(document.text))),
        ("personal data, all with replacing", redact),
    ]
    for stage, work in stages:
        started = time.perf_counter()
        for document in documents:
            work(document)
        yield Speed(stage=stage, megabytes=megabytes, seconds=time.perf_counter() - started)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with ShardWriter(Path(folder)) as writer:
            for document in documents:
                writer.write(document)
        yield Speed(stage="writing shards", megabytes=megabytes, seconds=time.perf_counter() - started)


def _signed(text: str) -> object:
    signed = signature(text)
    return None if signed is None else band_keys(signed)
