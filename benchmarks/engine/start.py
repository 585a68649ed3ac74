"""Cold start and memory: a fresh process from its first instruction to its first token.

`python -m benchmarks.engine.start CONTENDER FOLDER THREADS` is that process; it prints an object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import peak_mb


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds from the start of the process to the first token, and its largest resident set."""

    contender: str
    seconds: float
    peak_mb: float


def cold_starts(contenders: Sequence[str], folder: Path, *, threads: int, runs: int) -> list[Start]:
    """The median start of each, in turns; the files are in the page cache after the first."""
    starts: dict[str, list[Start]] = {name: [] for name in contenders}
    for run in range(runs + 1):
        for name in contenders:
            began = time.time()
            command = [sys.executable, "-m", __name__, name, str(folder), str(threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout.splitlines()[-1])
            if run:
                starts[name].append(
                    Start(contender=answer["name"], seconds=answer["at"] - began, peak_mb=answer["peak_mb"])
                )
    return [sorted(each, key=lambda start: start.seconds)[len(each) // 2] for each in starts.values()]


def main() -> None:
    """Load one contender, compute one short prompt, tell when that was."""
    name, folder, threads = sys.argv[1:]
    from benchmarks.engine.contenders import make

    contender = make(name, Path(folder), threads=int(threads), alone=True)
    contender.prefill(list(range(300, 364)))
    at = time.time()
    print(json.dumps({"name": contender.name, "at": at, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
