"""Starting an engine that belongs to nobody: its command, its files, its environment."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from model.local.listen import TOKEN_VARIABLE
from model.local.private import private_files
from model.process.engine_files import EngineFiles, LaunchOptions

HAS_UNIX_SOCKETS = sys.platform != "win32"


def default_command() -> list[str]:
    """How to run this installation's engine; `-I` keeps the workspace's modules out."""
    return [sys.executable, "-I", "-m", "lsp", "engine"]


def launch(
    command: Sequence[str], options: LaunchOptions, files: EngineFiles, *, use_port: bool
) -> subprocess.Popen[bytes]:
    """Start an engine that outlives this process. Raises OSError if the command cannot be run.

    Its standard output is `files.ready`, its standard error `files.log` (the last one is kept).
    """
    environment = dict(os.environ)
    listen = f"unix:{files.socket}"
    if use_port:
        listen = "127.0.0.1:0"
        environment[TOKEN_VARIABLE] = _new_token(files.token)
    if files.log.exists():
        files.log.replace(files.log.with_suffix(".previous.log"))
    files.ready.write_bytes(b"")
    # Appending: an engine whose starter died may still be loading, and will write here too.
    with private_files(), files.ready.open("ab") as ready, files.log.open("ab") as log:
        return subprocess.Popen(
            [*command, *options.arguments(), "--listen", listen],
            stdin=subprocess.DEVNULL,
            stdout=ready,
            stderr=log,
            env=environment,
            cwd=files.folder,  # not the workspace, which may be deleted under it
            start_new_session=HAS_UNIX_SOCKETS,  # Ctrl+C in the editor's terminal is not for it
            creationflags=_windows_flags(),
        )


def _new_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    return token


def _windows_flags() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
