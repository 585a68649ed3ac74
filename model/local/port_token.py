"""The secret of a port of an engine or a language server, in a file where its user's other programs find it.

Every user of a machine can connect to its ports. Whoever may send an engine prompts can find out, by what its
cache already has, what others have sent, and a language server acts for its user; so a port has a token, and
the file is the user's alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from model.errors import EngineUnavailableError
from model.local import user_folders
from model.local.listen import is_loopback


def token_file(port: int) -> Path:
    """Where the token of what listens on this port lies. Raises `EngineUnavailableError` for a folder that is
    another user's."""
    return user_folders.runtime_folder() / f"port-{port}.token"


@contextlib.contextmanager
def published_token(port: int) -> Iterator[str]:
    """Make a token and write it to the port's file, which is removed at the end."""
    token, path = secrets.token_urlsafe(24), token_file(port)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    try:
        yield token
    finally:
        path.unlink(missing_ok=True)


def token_for(url: str) -> str | None:
    """The token of the engine that listens at this URL, if it is one of this user's on this machine."""
    parts = urlsplit(url)
    if parts.port is None or not is_loopback(parts.hostname or ""):
        return None
    with contextlib.suppress(OSError, EngineUnavailableError):
        return token_file(parts.port).read_text(encoding="utf-8") or None
    return None
