"""A disk that is full, read-only or broken from some moment on: an error of one line, the old state intact.

A library that is loaded before the C library's (`disk_shim.c`, compiled here) has writing fail. Linux alone.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attribution.store.open import open_index
from tests.attribution.samples import code, document, index_of
from tests.reliability.outcome import Outcome

_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT)
_BEFORE, _ADDED = 20, 30
_COMMAND_S = 120


def _shim(folder: Path) -> Path:
    library = folder / "shim.so"
    source = Path(__file__).with_name("disk_shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def _held(index: Path) -> int:
    """How many documents an index holds; -1 if it is damaged."""
    opened = open_index(index)
    try:
        return -1 if opened.verify() else opened.document_count()
    finally:
        opened.close()


def _run(
    command: list[str], shim: Path, below: Path, at: int, error: int
) -> subprocess.CompletedProcess[str]:
    faults = {"DISK_FAULT_BELOW": str(below), "DISK_FAULT_AT": str(at), "DISK_FAULT_ERROR": str(error)}
    return subprocess.run(
        [sys.executable, "-I", "-m", "lsp", "index", *command, "--into", str(below)],
        env={**os.environ, **faults, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )


def run(*, seed: int, is_long: bool) -> Outcome:
    """`index add`, `remove` and `compact` with a fault at a random change of a file."""
    dice, failures, count, hit = random.Random(seed), [], 300 if is_long else 24, 0
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        top = Path(name).resolve()
        shim, sound, index, more = _shim(top), top / "sound", top / "index", top / "more"
        index_of(sound, [document("o/r", f"{n}.py", code(n), license="MIT") for n in range(_BEFORE)])
        more.mkdir()
        for number in range(_ADDED):
            (more / f"{number}.py").write_text(code(1000 + number))
        # What the index may hold afterwards: what it held, or what the command would have made of it.
        commands = {
            ("add", str(more), "--processes", "1"): {_BEFORE, _BEFORE + _ADDED},
            ("remove", "--path", "1*"): {_BEFORE, _BEFORE - 11},
            ("compact",): {_BEFORE},
        }
        for _ in range(count):
            command, allowed = dice.choice(list(commands.items()))
            shutil.rmtree(index, ignore_errors=True)
            shutil.copytree(sound, index)
            at, error = dice.randint(1, 40), dice.choice(_ERRORS)
            done = _run(list(command), shim, index, at, error)
            hit += done.returncode != 0
            what = f"{command[0]}, change {at}, {errno.errorcode[error]}"
            said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
            if "Traceback" in done.stderr or (done.returncode and len(said) != 1):
                failures.append(f"{what}: {done.stderr[-300:]}")
            if (held := _held(index)) not in allowed:
                failures.append(f"{what}: {held} documents")
    return Outcome(figure=f"{count} faults, {hit} met: {len(failures)} lost or unsaid", failures=failures)
