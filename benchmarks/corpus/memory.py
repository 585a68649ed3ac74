"""Peak memory of whole builds of synthetic corpora, of all their processes together (Linux)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCKS = 4_000
_SHARD_BYTES = 200_000_000


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
