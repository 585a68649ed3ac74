"""A part that drives the real server or engine: what it counted, and what the process held meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.outcome import Outcome
from tests.reliability.processes import Held, end_shared_engine

# What a process may grow by over the last half.
_MAX_GROWTH = 0.02


@dataclass(frozen=True, kw_only=True)
class Part:
    """`half` and `end` are what the process held after half of it and at its end."""

    name: str
    count: int
    failures: tuple[str, ...] = ()
    half: Held | None = None
    end: Held | None = None
    note: str = ""

    @property
    def growth(self) -> float:
        """Of the resident memory, over the last half."""
        if self.half is None or self.end is None:
            return 0.0
        return self.end.resident_bytes / self.half.resident_bytes - 1

    @property
    def figure(self) -> str:
        """One line for the table."""
        told = [f"{self.count:,} {self.name}: {len(self.failures)} failures"]
        if self.half and self.end:
            told.append(f"memory {self.growth:+.1%} over the last half")
            told.append(f"descriptors {self.half.descriptors} → {self.end.descriptors}")
        return ", ".join([*told, *([self.note] if self.note else [])])


Measure = Callable[..., Awaitable[Part]]


async def measured(measure: Measure, *, count: int, seed: int) -> Part:
    """Run a part in a home of its own; the logs' ends go with its failures."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        home = Path(folder)
        part: Part = await measure(home, count=count, seed=seed)
        await end_shared_engine(home)
        for log in home.glob("*.log") if part.failures else ():
            print(log.read_text(errors="replace")[-2_000:])
    return part


def outcome(measure: Measure, *, count: int, seed: int) -> Outcome:
    """The same for the harness; a process that grew has failed too."""
    part = asyncio.run(measured(measure, count=count, seed=seed))
    grown = [f"memory grew by {part.growth:.1%}"] if part.growth > _MAX_GROWTH else []
    return Outcome(figure=part.figure, failures=[*part.failures[:20], *grown])
