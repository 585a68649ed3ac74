"""Figures: one build, one method's answers; by the clock and by the processor.

On a machine that does other work too, seconds of this process's processor say more than the clock.
What runs in another process (workers, a server) is only in the clock's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Stopwatch:
    """What a stretch of work took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Filled in when the context ends."""
    watch = Stopwatch()
    wall, cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.wall_s, watch.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


@dataclass(frozen=True, kw_only=True)
class Built:
    """One build; `cpu_s` is None where other processes worked. Bytes on disk are per byte of source."""

    megabytes: float
    wall_s: float
    cpu_s: float | None
    disk_with_text: float | None
    disk_without_text: float | None

    @property
    def mb_per_s(self) -> float:
        """Megabytes of source a second."""
        return self.megabytes / self.wall_s

    @property
    def mb_per_cpu_s(self) -> float | None:
        """Megabytes of source a second of one core."""
        return None if self.cpu_s is None else self.megabytes / self.cpu_s


@dataclass(kw_only=True)
class Asked:
    """Many checks: how long each took, and what came of them."""

    walls_ms: list[float] = field(default_factory=list)
    cpus_ms: list[float] = field(default_factory=list)
    right: int = 0
    false: int = 0

    @property
    def checks(self) -> int:
        """How many there were."""
        return len(self.walls_ms)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """One check more."""
        with stopwatch() as watch:
            yield
        self.walls_ms.append(watch.wall_s * 1e3)
        self.cpus_ms.append(watch.cpu_s * 1e3)

    def to_dict(self) -> dict[str, float]:
        """Its figures for JSON."""
        return {
            "checks": self.checks,
            "right": self.right,
            "false": self.false,
            "p50_ms": percentile(self.walls_ms, 0.5),
            "p95_ms": percentile(self.walls_ms, 0.95),
            "p50_cpu_ms": percentile(self.cpus_ms, 0.5),
            "p95_cpu_ms": percentile(self.cpus_ms, 0.95),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all is at most."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0
