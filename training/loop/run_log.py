"""What a run tells: a JSON line for each step and each evaluation, and a progress line.

The log is appended to on resume; lines of steps that were lost with a crash are dropped then.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from training.errors import ResumeError

LOG_FILE = "log.jsonl"


class RunLog:
    """Appends to `FOLDER/log.jsonl`; shows progress when the terminal is one, else a line a minute."""

    def __init__(self, folder: Path, *, resumed_step: int) -> None:
        self.path = folder / LOG_FILE
        _drop_after(self.path, resumed_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.1f} %"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._progress.add_task("starting", total=1.0)
        self._printed_at = 0.0

    def write(self, record: Mapping[str, Any]) -> None:
        """One JSON line, flushed: a crash loses none that was written."""
        self._file.write(json.dumps(dict(record)) + "\n")
        self._file.flush()

    def show(self, message: str, done: float) -> None:
        """The progress line; `done` is from 0 to 1."""
        self._progress.update(self._task, description=message, completed=done)
        if not self._console.is_terminal and time.monotonic() - self._printed_at > 60:
            self._printed_at = time.monotonic()
            self._console.print(f"{100 * done:5.1f} %  {message}", highlight=False, soft_wrap=True)

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log; a last line that a crash cut short is passed over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _drop_after(path: Path, step: int) -> None:
    if not path.is_file():
        return
    try:
        kept = [record for record in read_log(path) if record["step"] <= step]
    except (ValueError, KeyError, TypeError) as error:  # a file of the user's own
        raise ResumeError(f"{path} is not the log of a run: use another run folder") from error
    scratch = path.with_suffix(".partial")
    scratch.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    os.replace(scratch, path)
