"""How many threads a step gets, by what steps have cost lately.

Two threads gain half on a quiet machine and lose everything on a busy one, and an editor's machine is
busy: so the engine measures. Knows nothing about models.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

_TRY_ANOTHER_EVERY = 32
_WEIGHT_OF_NEWEST = 0.25


def available_cpus() -> int:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ThreadChoice:
    """Picks among 1, 2, 4 … `most` threads for steps of about as many rows, the fastest of late.

    Every option is tried at first, and a neighbour of the best one every 32 steps. The results of
    the compiled step are the same bits under any number of threads.
    """

    def __init__(self, most: int) -> None:
        powers: list[int] = [1 << power for power in range(16)]
        self._options = [*(count for count in powers if count < most), most]
        self._seconds: dict[int, dict[int, float]] = {}  # by class of rows, by number of threads
        self._steps: dict[int, int] = {}

    @contextlib.contextmanager
    def chosen(self, n_rows: int) -> Iterator[int]:
        """Threads for the work of the block, on `n_rows` rows; measures it."""
        threads = self.choose(n_rows)
        began = time.perf_counter()
        yield threads
        self.measured(n_rows, threads, time.perf_counter() - began)

    def choose(self, n_rows: int) -> int:
        """Threads for a step of `n_rows` rows."""
        known = self._seconds.setdefault(n_rows.bit_length(), {})
        for option in self._options:
            if option not in known:
                return option
        best = min(self._options, key=known.__getitem__)
        step = self._steps[n_rows.bit_length()]
        if step % _TRY_ANOTHER_EVERY:
            return best
        at = self._options.index(best)
        neighbours = self._options[max(0, at - 1) : at] + self._options[at + 1 : at + 2]
        return neighbours[step // _TRY_ANOTHER_EVERY % len(neighbours)] if neighbours else best

    def measured(self, n_rows: int, threads: int, seconds: float) -> None:
        """What a step of `n_rows` rows took with `threads` threads."""
        rows = n_rows.bit_length()
        self._steps[rows] = self._steps.get(rows, 0) + 1
        known = self._seconds.setdefault(rows, {})
        per_row = seconds / n_rows
        before = known.get(threads, per_row)
        known[threads] = before + _WEIGHT_OF_NEWEST * (per_row - before)
