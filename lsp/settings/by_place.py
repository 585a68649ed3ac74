"""The settings of each place: the user's, with those of the projects that the place lies in.

Project files are looked for at every question and read again when their time or size has changed, so an edit
of one, and a workspace folder that comes later, count at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lsp.settings.config_sources import ConfigSources, project_files, read_project
from lsp.settings.settings import Effective, Settings, SettingsLayer

_MAX_CACHED = 1024
_Stamps = tuple[tuple[Path, int, int, int], ...]


class PlaceSettings:
    """Settings by path. `change` is applied to each (a switch of the window); `warn` hears complaints."""

    def __init__(
        self,
        sources: ConfigSources,
        *,
        roots: Callable[[], Sequence[Path]] = tuple,
        editor: SettingsLayer | None = None,
        change: Callable[[Settings], Settings] = lambda settings: settings,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._sources = sources
        self._roots = roots
        self._editor = editor
        self._change = change
        self._warn = warn
        self._known: dict[Path, tuple[_Stamps, Settings]] = {}

    def at(self, path: Path) -> Settings:
        """The settings of an absolute path."""
        folder = path.parent
        stamps = tuple(stamp for above in self._chains(folder) for stamp in _stamps(above))
        known = self._known.get(folder)
        if known is None or known[0] != stamps:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            effective = self.effective(folder)
            known = self._known[folder] = (stamps, self._change(effective.settings))
            for message in effective.messages:
                self._warn(message)
        return known[1]

    def clear(self) -> None:
        """The change to each is another one now."""
        self._known.clear()

    def effective(self, folder: Path | None) -> Effective:
        """The settings in a folder, unchanged, with their origins and complaints."""
        messages: list[str] = []
        chains = [] if folder is None else self._chains(folder)
        project = [layer for above in chains for layer in read_project(above, messages)]
        return self._sources.with_project(project, messages).resolve(self._editor)

    def _chains(self, folder: Path) -> list[Path]:
        """From where to look upwards. What lies in no folder of the workspace is the first one's too."""
        roots = self._roots()
        is_inside = not roots or any(folder.is_relative_to(root) for root in roots)
        return [folder] if is_inside else [roots[0], folder]


def _stamps(folder: Path) -> _Stamps:
    found = []
    for file in project_files(folder):
        try:
            status = os.stat(file)
        except OSError:
            continue
        found.append((file, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
