"""The user's own project: what an index holds of it is no copy of somebody else's code.

Known by its repository, as a build names it, or by the place that its files were read from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from attribution.source import Source
from attribution.sources.folders import facts_around
from attribution.sources.provenance import git_root


@dataclass(frozen=True, kw_only=True)
class OwnProject:
    """A working tree, and its repository where that is known."""

    root: Path
    repository: str | None

    def holds(self, source: Source) -> bool:
        """Whether a source is a file of this project, in whatever revision."""
        if source.origin is None:
            return self.repository is not None and source.repository.casefold() == self.repository.casefold()
        # A folder's file; of an archive that lies in the project, nobody knows.
        place = Path(source.origin)
        return (place / source.path).is_relative_to(self.root) and not place.is_file()


class OwnProjects:
    """The project that each file belongs to; each is read once."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, OwnProject | None] = {}
        self._by_root: dict[Path, OwnProject] = {}

    def of(self, path: Path) -> OwnProject | None:
        """The project of the file at `path`; None where it lies in no working tree."""
        folder = Path(os.path.abspath(path)).parent
        if folder not in self._by_folder:
            root = git_root(folder)
            self._by_folder[folder] = None if root is None else self._at(root)
        return self._by_folder[folder]

    def _at(self, root: Path) -> OwnProject:
        if root not in self._by_root:
            self._by_root[root] = OwnProject(root=root, repository=facts_around(root).repository)
        return self._by_root[root]
