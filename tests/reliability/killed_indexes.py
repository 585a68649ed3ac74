"""`index build`, `remove` and `compact` killed at random moments: the same command goes on.

Nothing is lost, and nothing is there twice.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attribution.store.open import open_index
from tests.attribution.samples import code
from tests.reliability.outcome import Outcome

_FILES = 120
_END_S = 300


def _sources(folder: Path) -> None:
    for number in range(_FILES):
        path = folder / f"part{number % 4}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code(number))


def _documents(index: Path) -> int:
    opened = open_index(index)
    try:
        problems = opened.verify()
        return -1 if problems else opened.document_count()
    finally:
        opened.close()


def _killed(command: list[str], after_s: float) -> bool:
    """Run a command and kill it; whether it was still running."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
        return False


def run(*, seed: int, is_long: bool) -> Outcome:
    """Kills spread over the time that each command takes when it is left alone."""
    dice, kills = random.Random(seed), 0
    failures: list[str] = []
    wanted_kills = 200 if is_long else 20
    program = [sys.executable, "-I", "-m", "lsp", "index"]
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        top = Path(name)
        _sources(top / "code")
        build = ["build", str(top / "code"), "--into", "INDEX", "--processes", "2"]
        remove = ["remove", "--path", "part1/*", "--into", "INDEX"]
        compact = ["compact", "--into", "INDEX"]
        steps: list[tuple[list[str], Callable[[int], bool]]] = [
            (build, lambda count: count == _FILES),
            (remove, lambda count: count == _FILES - _FILES // 4),
            (compact, lambda count: count == _FILES - _FILES // 4),
        ]
        seconds: dict[str, float] = {}
        round_number = 0
        while kills < wanted_kills and not failures:
            index = top / f"index{round_number}"
            for arguments, holds in steps:
                command = [*program, *(str(index) if each == "INDEX" else each for each in arguments)]
                for _ in range(dice.randint(1, 3) if arguments[0] in seconds else 0):
                    kills += _killed(command, dice.uniform(0.1, 1.0) * seconds[arguments[0]])
                started = time.monotonic()
                done = subprocess.run(command, capture_output=True, timeout=_END_S, check=False)
                seconds.setdefault(arguments[0], time.monotonic() - started)
                found = _documents(index)
                if done.returncode or not holds(found):
                    said = done.stderr.decode()[-200:]
                    failures.append(f"{arguments[0]}, round {round_number}: {found} documents, {said}")
            round_number += 1
    return Outcome(
        figure=f"{kills} kills of build, remove and compact: {len(failures)} lost, doubled or stuck",
        failures=failures,
    )
