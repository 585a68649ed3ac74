"""The user's own project: what an index holds of it is no copy of somebody else's code.

Known by its repository, as a build names it, or by the place that its files were read from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from attribution.source import Source
from attribution.sources.folders import facts_around
from attribution.sources.provenance import git_root, origin_of


@dataclass(frozen=True, kw_only=True)
class OwnProject:
    """A working tree, and its repository where that is known."""

    root: Path
    repository: str | None

    def holds(self, source: Source) -> bool:
        """Whether a source is a file of this project, in whatever revision."""
        if source.origin is None:
            return self.repository is not None and source.repository.casefold() == self.repository.casefold()
        place = self._places.get(source.origin)
        return place is not None and (place / source.path).is_relative_to(self.root)

    @cached_property
    def _places(self) -> dict[str, Path]:
        """The folders that a build may have been given, by origin: those above, two levels below."""
        below = (place for depth in ("*", "*/*") for place in self.root.glob(depth) if place.is_dir())
        return {origin_of(str(place)): place for place in (self.root, *self.root.parents, *below)}


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
