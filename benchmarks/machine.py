"""What benchmarks ask the machine: its processor's name, a process's processor time and largest memory."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from pathlib import Path


def peak_mb(pid: int | None = None) -> float:
    """Of this process, or of another one (on Linux).

    On Linux since the program began: `ru_maxrss` there counts the parent's, too.
    """
    status = Path(f"/proc/{pid or os.getpid()}/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    if pid is not None:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def processor_s(pid: int) -> float:
    """Seconds that all threads of another process have had of processors, in steps of some milliseconds.

    NaN where it cannot be asked (not on Linux).
    """
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return float("nan")
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)


def processor() -> str:
    """What Linux calls it; elsewhere what Python knows."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
