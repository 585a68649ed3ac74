"""Files that nobody else may read, whatever the user's umask says: they hold texts of the user's own.

Folders for the moment too: what is written there for an editor to show goes with its process, or is swept by
the next one if that was killed.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.local.file_lock import FileLock

# Names of such folders.
ANSWERS, SOURCES = "answers", "source"
_PREFIX, _LOCK = "starcoder-", ".lock"
# Before there was a lock in it. A process that shows files begins by locking their folder.
_UNLOCKED_S = 24 * 3600.0


_umask_lock = threading.Lock()
_umasks: list[int] = []  # those before each block that is open: the first is the user's


@contextmanager
def private_files() -> Iterator[None]:
    """What this process makes meanwhile is for its user alone: folders 0700, files 0600.

    A umask is the whole process's. Of blocks that overlap in several threads the last to end restores it.
    """
    with _umask_lock:
        _umasks.append(os.umask(0o077))
    try:
        yield
    finally:
        with _umask_lock:
            before = _umasks.pop()
            if not _umasks:
                os.umask(before)


class TemporaryFolder:
    """A folder `starcoder-NAME-…` of this process, made when it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._path: Path | None = None
        self._lock: FileLock | None = None

    @property
    def path(self) -> Path:
        """Where it is; what processes that were killed have left is removed first."""
        if self._path is None:
            sweep(self._name)
            path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{self._name}-"))  # mode 0700
            self._lock = FileLock(path / _LOCK)
            self._lock.try_acquire()
            self._path = path
        return self._path

    def write(self, name: str, text: str) -> Path:
        """A new file for this user alone."""
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return path

    def close(self) -> None:
        """Remove it."""
        if self._path is not None and self._lock is not None:
            self._lock.release()
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = self._lock = None


def sweep(*names: str) -> None:
    """Remove this user's temporary folders of those names whose process is gone."""
    for name in names:
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}{name}-*"):
            if _is_left_over(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left_over(path: Path) -> bool:
    try:
        found = path.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
        if not is_ours:
            return False
        if not (path / _LOCK).exists():
            return time.time() - found.st_mtime > _UNLOCKED_S
        lock = FileLock(path / _LOCK)
        is_free = lock.try_acquire()
        lock.release()
    except OSError:  # it is just going away
        return False
    return is_free
