"""A lock between processes, held by an open file and released by the system when its holder dies; and who
holds it, told from a later process with the same number by when it started.

Two uses: one language server at a time starts an engine; an engine owns its socket while it lives.

The library `filelock` would do it only with an option that 3.30 brought: 3.21 to 3.29.4 remove the file on
release, and where a file system has no `flock` it takes a marker file that outlives a holder who dies.
"""

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


class FileLock:
    """An exclusive advisory lock on `path`, which is created with mode 0600 and never removed.

    Removing it would let two processes hold "the" lock on two files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it. Raises OSError when the file cannot be opened."""
        assert self._descriptor is None, "already held by this object"
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def sign(self) -> None:
        """Say in the file which process holds the lock."""
        assert self._descriptor is not None
        if sys.platform != "win32":  # there nobody could read it while it is locked
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(KnownProcess.current()).encode(), 0)

    def signer(self) -> KnownProcess | None:
        """Who signed last, and may hold the lock still; None where that is not known."""
        try:
            return KnownProcess.parse(self.path.read_text(encoding="ascii", errors="replace"))
        except OSError:
            return None

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> bool:
    """Lock without waiting; False when another process (or another open file here) has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
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
