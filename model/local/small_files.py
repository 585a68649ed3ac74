"""Small text files of a workspace or a model, by anybody: read without waiting and without end.

A FIFO is never written to, a link may lead to a device, a sparse file is larger than the memory: only regular
files up to a size are read. Knows nothing of what stands in them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 1024
_MAX_JSON_BYTES = 32 << 20  # the list of tensors of the largest models has five
_MAX_DOTS = 100


def read_small_file(path: Path, *, own: bool = False, most_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file. Raises `OSError`, also where there is no file or no possible path.

    `own`: it must belong to this user or to root, because what it says is obeyed.
    """
    try:
        # Without O_NONBLOCK, a FIFO would be waited for here already.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a NUL, half of a surrogate pair
        raise FileNotFoundError(errno.ENOENT, "no possible path", repr(path)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if own and hasattr(os, "getuid") and status.st_uid not in (0, os.getuid()):
            raise PermissionError(errno.EPERM, "it belongs to another user")
        return _read(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def read_small_toml(path: Path, *, own: bool = False) -> dict[str, Any]:
    """The same, as TOML. Raises `ValueError` too: it is not UTF-8, not TOML, or nested without end."""
    text = read_small_file(path, own=own).decode()
    # tomllib's memory grows with the square of a key's parts: 64 KiB of `a.a.a…` would take gigabytes.
    if max(part.count(".") for part in re.split(r"[=,{}\n]", text)) > _MAX_DOTS:
        raise ValueError(f"it has more than {_MAX_DOTS} dots in a row")
    try:
        values = tomllib.loads(text)
        repr(values)  # what cannot be shown in a message is nested too deeply for anybody
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return values


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object of at most 32 MiB. Raises `OSError`, or `ValueError` with what is wrong with it."""
    try:
        value = json.loads(read_small_file(path, most_bytes=_MAX_JSON_BYTES).decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value


def _read(descriptor: int, most_bytes: int) -> bytes:
    """All that is in a file; the size of one in /proc is known only afterwards."""
    content = bytearray()
    while part := os.read(descriptor, most_bytes + 1 - len(content)):
        content += part
        if len(content) > most_bytes:
            raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes")
    return bytes(content)
