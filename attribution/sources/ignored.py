"""What git ignores below a folder that is walked through. Outside a repository that is nothing.

A folder that is named itself counts, whatever is said of it above. Reads `.gitignore` files only: what a
user's own configuration ignores is for the editor (`lsp.settings`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attribution.sources.provenance import git_root
from model.local.gitignore import Patterns, why_ignored

_IGNORE_FILE = ".gitignore"


class GitIgnored:
    """Asked along a walk from `top` on: `enter` each folder before asking about what is in it."""

    def __init__(self, top: Path) -> None:
        place = Path(os.path.abspath(top))
        self._root = git_root(place)
        self._place = place
        self._known = [] if self._root is None else list(_patterns_above(self._root, place))

    def enter(self, folder: str) -> None:
        """The walk has come to a folder."""
        self._place = place = Path(os.path.abspath(folder))
        # The patterns of the folders between the top and this one.
        self._known = [pair for pair in self._known if place.is_relative_to(pair[0])]
        if self._root is not None and place != self._root and (own := _patterns(place)) is not None:
            self._known.append((place, own))

    def has(self, name: str, *, is_folder: bool) -> bool:
        """Whether git ignores this entry of the folder."""
        return why_ignored(self._known, self._place / name, is_folder=is_folder) is not None


def _patterns_above(root: Path, top: Path) -> Iterator[tuple[Path, Patterns]]:
    for folder in [place for place in (*list(top.parents)[::-1], top) if place.is_relative_to(root)]:
        if (folder == root or folder != top) and (patterns := _patterns(folder)) is not None:
            yield folder, patterns


def _patterns(folder: Path) -> Patterns | None:
    file = folder / _IGNORE_FILE
    if not file.is_file():
        return None
    return Patterns.of_text(file.read_text(encoding="utf-8", errors="surrogateescape"), origin=str(file))
