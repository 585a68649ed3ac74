"""What curating costs: MB/s of one core stage by stage, and memory against the size of a corpus.

python -m benchmarks.corpus stages [FOLDER]              a folder of source code (this repository's)
python -m benchmarks.corpus memory --gigabytes 1 10      whole builds of synthetic corpora of these sizes
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution.ingest import read_tree
from attribution.trees import FolderTree
from training.corpus.decontaminate import Decontaminator
from training.corpus.document import Document
from training.corpus.intake import Intake
from training.corpus.languages import TableName
from training.corpus.licence_policy import permissive_policy
from training.corpus.minhash import signature
from training.corpus.near_duplicates import band_keys
from training.corpus.options import BuildOptions
from training.corpus.pii.addresses import find_emails, find_ips
from training.corpus.pii.keys import find_keys
from training.corpus.pii.passwords import find_passwords
from training.corpus.pii.redact import redact
from training.corpus.reading import FoundFile
from training.corpus.shards import ShardWriter

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = Path(sysconfig.get_path("purelib"))
_MAX_BYTES = 20_000_000
_BLOCKS = 4_000
_SHARD_BYTES = 200_000_000


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The time that one stage took for so much text."""

    stage: str
    megabytes: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the two benchmarks and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stages = commands.add_parser("stages")
    stages.add_argument("folder", type=Path, nargs="?", default=INSTALLED)
    stages.add_argument("--decontaminate", type=Path, nargs="*", default=[])
    stages.add_argument("--rounds", type=int, default=3)
    memory = commands.add_parser("memory")
    memory.add_argument("--gigabytes", type=float, nargs="+", default=[0.25, 1.0])
    memory.add_argument("--workers", type=int, default=2)
    memory.add_argument("--folder", type=Path, help="where the corpora are made; needs twice their size")
    options = parser.parse_args(arguments)
    if options.command == "stages":
        print_stages(options.folder, options.decontaminate, options.rounds)
    else:
        print_memory(options.gigabytes, options.workers, options.folder)


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
    documents: list[Document] = []
    started = time.perf_counter()
    for file in files:
        documents += [one for one, _ in intake.outcomes(file) if isinstance(one, Document)]
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


def _of_documents(documents: Sequence[Document], problems: Sequence[Path]) -> Iterator[Speed]:
    megabytes = sum(len(document.text.encode()) for document in documents) / 1e6
    decontaminator = Decontaminator.from_files(problems)
    policy = permissive_policy()
    stages: list[tuple[str, Callable[[Document], object]]] = [
        ("licence alone", lambda document: policy.why_not(document.license)),
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


def print_memory(sizes: Sequence[float], workers: int, place: Path | None) -> None:
    """A table of peak memory by size, of all processes of a build together."""
    print("| corpus | documents | time | peak memory, all processes | kept |\n|--:|--:|--:|--:|--:|")
    for gigabytes in sizes:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            count = write_synthetic(Path(folder) / "source", int(gigabytes * 1e9))
            started = time.perf_counter()
            peak = peak_of_build(Path(folder) / "source", Path(folder) / "corpus", workers)
            took = time.perf_counter() - started
            report = json.loads((Path(folder) / "corpus" / "report.json").read_text())
            kept = sum(language["files"] for language in report["kept"]["train"].values())
        print(
            f"| {gigabytes:g} GB | {count:,} | {took:,.0f} s | {peak / 1e6:,.0f} MB | {kept:,} |", flush=True
        )


def write_synthetic(folder: Path, size_bytes: int) -> int:
    """Tables of made-up Python: every fifth document resembles the one before, every tenth equals it."""
    folder.mkdir(parents=True)
    chance = random.Random(1)
    blocks = [_block(chance, number) for number in range(_BLOCKS)]
    written = count = 0
    text = ""
    while written < size_bytes:
        path = folder / f"{written // _SHARD_BYTES:04d}.jsonl"
        with path.open("a", encoding="utf-8") as stream:
            for _ in range(256):
                if count % 10 != 9 or not text:
                    text = (
                        text + f"\nlast_{count} = {count}\n"
                        if count % 5 == 4
                        else _document(chance, blocks, count)
                    )
                row = {"content": text, "repo_name": f"owner{count % 997}/repo{count}", "license": "MIT"}
                line = json.dumps({**row, "path": f"src/module_{count}.py"}) + "\n"
                stream.write(line)
                written += len(line)
                count += 1
    return count


def _document(chance: random.Random, blocks: Sequence[str], number: int) -> str:
    return (
        f'"""Module {number}."""\n\n'
        + "\n\n".join(chance.choices(blocks, k=12))
        + f"\n\nid_{number} = {number}\n"
    )


def _block(chance: random.Random, number: int) -> str:
    words = [
        f"{chance.choice(('get', 'set', 'make', 'find', 'read'))}_{chance.randrange(10**6)}"
        for _ in range(12)
    ]
    lines = [f"    {words[i]} = {words[i + 1]}({words[i + 2]}, {chance.randrange(999)})" for i in range(10)]
    if number % 50 == 0:
        lines.append(f"    mail = 'person{number}@company-{number}.net'")
    return f"def {words[0]}({words[1]}, {words[2]}):\n" + "\n".join(lines) + f"\n    return {words[9]}"


def peak_of_build(source: Path, into: Path, workers: int, *more: str) -> int:
    """The peak of the memory that a build and all its processes hold together, in bytes."""
    command = [sys.executable, "-m", "lsp", "train", "corpus", str(source), "--into", str(into)]
    with subprocess.Popen(
        [*command, "--workers", str(workers), *more], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as build:
        peak = 0
        is_over = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not is_over.wait(0.1):
                peak = max(peak, memory_of_tree(build.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = build.wait()
        is_over.set()
        watcher.join()
    if code != 0:
        raise SystemExit(f"the build ended with exit code {code}")
    return peak


def memory_of_tree(pid: int) -> int:
    """Proportional set size of a process and all below it, in bytes (Linux): shared pages count once."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    waiting, total = [pid], 0
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        total += _proportional_bytes(one)
    return total


def _parent(pid: str) -> int | None:
    try:
        return int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
