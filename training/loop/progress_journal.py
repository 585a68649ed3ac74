"""Which progress each step of a time-boxed run was made with, so that a killed run repeats itself exactly.

A run boxed by time reads the clock before each step, and its learning rate follows. Steps that are lost
with a crash are made again with the progress that is written here: to the bit what they were. The file
is plain float64, little endian, number i for step i, so that it can also be put beside another run of the
same recipe, which then is the same run.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

JOURNAL_FILE = "progress.f64"
_BYTES = 8


class ProgressJournal:
    """`keep` False forgets what was written for `first_step` and later (the schedule has changed)."""

    def __init__(self, path: Path, *, first_step: int, keep: bool) -> None:
        path.touch()
        whole = path.stat().st_size // _BYTES  # half a number may be left of a crash
        os.truncate(path, _BYTES * (whole if keep else min(whole, first_step)))
        self._known = np.fromfile(path, dtype="<f8")
        self._file = path.open("ab")
        self._length = len(self._known)
        while self._length < first_step:  # begun before there was a journal: those steps are never asked for
            self.record(self._length, 0.0)

    def at(self, step: int) -> float | None:
        """The progress that a step was made with before; None if it was not made yet."""
        return float(self._known[step]) if step < len(self._known) else None

    def record(self, step: int, done: float) -> None:
        """Keep a step's progress, before the step is made; known ones stay."""
        if step < self._length:
            return
        self._file.write(np.float64(done).astype("<f8").tobytes())
        self._file.flush()  # to the kernel: survives kill -9, though not a power failure
        self._length += 1

    def __enter__(self) -> ProgressJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()
