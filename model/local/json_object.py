"""A JSON object out of a file that somebody else wrote, such as a model's configuration.

Nothing but a regular file of some size is read, so that no name in a folder can hang or fill the reader.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

_MOST_BYTES = 32 << 20  # the list of tensors of the largest models has five


def read_object(path: Path) -> dict[str, Any]:
    """The object. Raises OSError, or ValueError with what is wrong with the text."""
    # Opened without waiting: a FIFO would have nobody write into it.
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if found.st_size > _MOST_BYTES:
            raise ValueError(f"it has {found.st_size:,} bytes")
        try:
            value = json.loads(file.read().decode("utf-8"))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
