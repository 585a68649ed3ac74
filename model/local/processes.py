"""A process of this machine, told from a later one with the same number by when it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class KnownProcess:
    """`started` is the system's own note of the time, in any spelling; "" where it does not say."""

    pid: int
    started: str

    @classmethod
    def current(cls) -> KnownProcess:
        """This process."""
        return cls(pid=os.getpid(), started=_started(os.getpid()))

    @classmethod
    def parse(cls, text: str) -> KnownProcess | None:
        """Read what `str` gives; None for anything else."""
        pid, _, started = text.strip().partition(" ")
        return cls(pid=int(pid), started=started) if pid.isdecimal() and started else None

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"

    def kill(self) -> bool:
        """End it at once, even if it is stopped; False if it is not this process that has the number now."""
        if not self.started or _started(self.pid) != self.started:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return True


def _started(pid: int) -> str:
    if sys.platform == "win32":
        return ""
    try:
        # proc(5): field 22, counted behind the name, in which anything may stand.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if sys.platform.startswith("linux"):
        return ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
