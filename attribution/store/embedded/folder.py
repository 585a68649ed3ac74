"""What lies in the folder of an index on disk. Needs no extra: the folder is looked at before each search."""

from __future__ import annotations

from pathlib import Path

# What makes a folder an index.
CATALOGUE = "catalogue.sqlite"
SEGMENTS = "segments"
LOCK = "writer.lock"


def stamp(folder: Path) -> tuple[int, int] | None:
    """What tells an index folder from another one in its place; None where there is none.

    Commits do not change it: who has the index open sees those anyway.
    """
    try:
        found = (folder / CATALOGUE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
