"""Where this user's sockets, logs and markers lie (platformdirs is imported at the first question)."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path

from model.errors import EngineUnavailableError

APPLICATION = "starcoder-lsp"
# What a socket adds to the path of the runtime folder: `/engine-`, 16 characters, `.sock`.
_NAME_BYTES = 29


def runtime_folder() -> Path:
    """The folder of sockets and locks, this user's alone (mode 0700), made if need be.

    Raises `EngineUnavailableError` where another user owns it: then nothing in it can be trusted.
    """
    import platformdirs

    from model.local.listen import MAX_UNIX_PATH_BYTES

    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (containers, ssh) there is a fallback, which `private_folder` makes safe.
        warnings.simplefilter("ignore", platformdirs.RuntimeDirWarning)
        folder = platformdirs.user_runtime_path(APPLICATION, appauthor=False)
    if len(os.fsencode(folder)) + _NAME_BYTES > MAX_UNIX_PATH_BYTES and hasattr(os, "getuid"):
        folder = Path(tempfile.gettempdir(), f"{APPLICATION}-{os.getuid()}")
    return private_folder(folder)


def private_folder(folder: Path) -> Path:
    """Make sure that `folder` exists and that no other user can reach into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, above = folder.lstat(), folder.parent.stat()
    except OSError as error:
        raise EngineUnavailableError(
            f"cannot make the runtime folder {folder} ({error.strerror}): set XDG_RUNTIME_DIR to one of yours"
        ) from error
    if sys.platform == "win32":
        return folder  # it lies in the user's profile, which has an access list of its own
    # Whoever owns the folder above could put another in its place.
    is_ours = found.st_uid == os.getuid() and above.st_uid in (0, os.getuid())
    if not stat.S_ISDIR(found.st_mode) or not is_ours:
        raise EngineUnavailableError(f"{folder} is not a folder of yours: remove it, or set XDG_RUNTIME_DIR")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def log_folder() -> Path:
    """The folder of the engines' logs, made if need be."""
    import platformdirs

    return _own(platformdirs.user_log_path(APPLICATION, appauthor=False))


def state_folder() -> Path:
    """The folder of what should be remembered but may be lost, such as notices already shown."""
    import platformdirs

    return _own(platformdirs.user_state_path(APPLICATION, appauthor=False))


def _own(folder: Path) -> Path:
    """A folder that nobody else looks into: names of files and of models stand in what is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def cache_folder() -> Path:
    """The folder of what can be fetched again; it need not exist."""
    import platformdirs

    return platformdirs.user_cache_path(APPLICATION, appauthor=False)
