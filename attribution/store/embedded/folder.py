"""What lies in the folder of an index on disk. Needs no extra: the folder is looked at before each search."""

from __future__ import annotations

from pathlib import Path

from attribution.errors import IndexFormatError
from model.local.own_folder import first_foreign

# What makes a folder an index.
CATALOGUE = "catalogue.sqlite"
SEGMENTS = "segments"
LOCK = "writer.lock"
LEFT = "opt-outs"

# What we write, and therefore what we may remove.
_NUMBER = "[0-9]" * 10
SEGMENT_NAMES = (f"{_NUMBER}-{_NUMBER}-*.seg", f"{_NUMBER}-{_NUMBER}-*.seg.part")
_NAMES = (CATALOGUE, f"{CATALOGUE}-*", SEGMENTS, LOCK, f"{LOCK}-*", LEFT)


def check_ours(folder: Path) -> None:
    """Raise `IndexFormatError` before anything is written to a folder that may hold a user's own files.

    A folder becomes an index only if it has nothing else in it. The index may be behind a link, but nothing
    in it is: a linked folder's files would be taken for ours.
    """
    if not (folder / CATALOGUE).is_file() and (foreign := first_foreign(folder, _NAMES)) is not None:
        raise IndexFormatError(
            f"{folder} holds no index, but other files ({foreign.name}): name a new or an empty folder"
        )
    for name in (CATALOGUE, SEGMENTS, LOCK, LEFT):
        if (folder / name).is_symlink():
            raise IndexFormatError(f"{folder / name} is a link, which an index has none of: remove it")


def stamp(folder: Path) -> tuple[int, int] | None:
    """What tells an index folder from another one in its place; None where there is none.

    Commits do not change it: who has the index open sees those anyway.
    """
    try:
        found = (folder / CATALOGUE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
