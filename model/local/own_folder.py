"""Folders that commands fill: is everything in one of them ours to overwrite and to remove?

A user may name any folder, with files of their own in it. Knows no folder by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path


def first_foreign(folder: Path, own: Sequence[str]) -> Path | None:
    """The first entry, by name, that is a link or has none of the names `own` (shell patterns).

    None where all are ours, or where there is no such folder.
    """
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        foreign = [entry.name for entry in entries if entry.is_symlink() or not has_name(entry.name, own)]
    return folder / min(foreign) if foreign else None


def first_not_of(folder: Path, own: Mapping[str, Sequence[str]], *, mark: str) -> Path | None:
    """The first entry that none of our folders has, where `mark` is in all of them and must be here too.

    `own` maps each name to what is in it, if it is a folder's.
    """
    if (foreign := first_foreign(folder, tuple(own))) is not None:
        return foreign
    below = (first_foreign(folder / name, inside) for name, inside in own.items())
    if (foreign := next((one for one in below if one is not None), None)) is not None:
        return foreign
    if folder.is_dir() and not (folder / mark).is_file():
        return min(folder.iterdir(), default=None)
    return None


def has_name(name: str, own: Sequence[str]) -> bool:
    """Whether a name is one of these patterns'."""
    return any(fnmatchcase(name, pattern) for pattern in own)
