"""What may be done with a text: completed, asked about, used for another file, looked up.

The one place that decides it, from the path (of any scheme), from what stands in the text, and from where it
would be sent. Everything that reads a document for a model or an index asks here first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from lsp.documents.documents import Document, Documents, named_paths
from lsp.documents.place import Place
from lsp.documents.secrets import has_secret
from lsp.settings.exclusions import Exclusions
from lsp.settings.git_ignores import GitIgnores
from lsp.settings.settings import Settings

_MAX_CACHED = 256
# How long files that were read are taken as read: a thread for each key would cost more than it spares.
_READ_AGAIN_S = 2.0


class Access:
    """Answers "why not?" for one user's documents. `settings_at` are the settings of a path."""

    def __init__(
        self, documents: Documents, settings_at: Callable[[Path], Settings], note: Callable[[str], None]
    ) -> None:
        self._documents = documents
        self._settings_at = settings_at
        self._ignores = GitIgnores(os.environ, note)
        self._exclusions: dict[tuple[object, ...], Exclusions] = {}
        self._read_until_s: dict[Path, float] = {}
        self._reading = asyncio.Lock()

    def clear(self) -> None:
        """Folders came or went."""
        self._exclusions.clear()

    async def read_ahead(self, document: Document) -> None:
        """Read, in a thread, what decides about a document and those that may become its context.

        Settings and ignore files may lie on a slow or a dead disk. What changes within seconds is read where
        it is needed.
        """
        async with self._reading:  # in the order of the questions: a later one supersedes an earlier one
            now_s = asyncio.get_running_loop().time()
            uris = (document.uri, *self._documents.uris())
            # Documents of one folder have the same files.
            paths = {path.parent: path for uri in uris for path in self._named(uri)}
            if any(now_s > self._read_until_s.get(folder, 0.0) for folder in paths):
                await asyncio.to_thread(lambda: [self._path_reason([path]) for path in paths.values()])
                self._read_until_s = dict.fromkeys(paths, now_s + _READ_AGAIN_S)

    def settings_of(self, document: Document) -> Settings:
        """The settings where a document is."""
        return self._settings_at(self._paths(document)[0])

    def why_not_completed(self, place: Place) -> str | None:
        """Why nothing is completed at a place, or None."""
        settings = self.settings_of(place.document)
        reason = self._excluding(settings).language_reason(place.language)
        return reason or self._why_withheld(place.document, settings)

    def why_withheld(self, document: Document) -> str | None:
        """Why a document's text must not be put into a question, or None."""
        return self._why_withheld(document, self.settings_of(document))

    def _why_withheld(self, document: Document, settings: Settings) -> str | None:
        first, *others = self._paths(document)
        # An edit of a project's file while one question is answered is for the next.
        reason = self._excluding(settings).file_reason(first) or self._path_reason(others)
        if reason is None and is_remote(settings):
            return _secret_reason(document, "which is not sent to a server")
        return reason

    def why_not_looked_up(self, uri: str, text: str) -> str | None:
        """Why a text of a document must not be looked up in the index of sources, or None."""
        from attribution.store.open import is_remote  # what searches is no part of a start

        if not uri:
            return None
        paths = self._named(uri)
        reason = self._path_reason(paths)
        index = self._settings_at(paths[0]).attribution.index
        is_server = index is not None and is_remote(index)
        if reason is None and is_server and any(map(has_secret, text.splitlines())):
            return "it holds a key or a credential, which is not sent to a server"
        return reason

    def why_unread(self, path: Path) -> str | None:
        """Why a file must not be read at all, or None."""
        return self._path_reason([path.absolute()])

    def is_context(self, path: str) -> bool:
        """Whether a file's text may be used for another file."""
        if self._path_reason([Path("/", path)]) is not None:
            return False
        return all(document.secret_line is None for document in self._documents.of_path(path))

    def _path_reason(self, paths: list[Path]) -> str | None:
        found = (self._excluding(self._settings_at(path)).file_reason(path) for path in paths)
        return next((reason for reason in found if reason is not None), None)

    def _excluding(self, settings: Settings) -> Exclusions:
        key = (settings.exclude, settings.completion.disabled_languages)
        if key not in self._exclusions:
            if len(self._exclusions) >= _MAX_CACHED:
                self._exclusions.clear()
            self._exclusions[key] = Exclusions.from_settings(
                settings, roots=self._documents.roots(), ignores=self._ignores
            )
        return self._exclusions[key]

    def _paths(self, document: Document) -> list[Path]:
        return self._named(document.uri)

    def _named(self, uri: str) -> list[Path]:
        """What a document's URI names; a notebook's cell goes by the notebook."""
        notebook = self._documents.get_notebook_document(cell_uri=uri)
        return named_paths(uri if notebook is None else notebook.uri)


def is_remote(settings: Settings) -> bool:
    """Whether text leaves this user's own processes: a server on this machine may be the end of a tunnel."""
    return settings.engine.url is not None and not settings.engine.url.startswith("unix:")


def _secret_reason(document: Document, why: str) -> str | None:
    line = document.secret_line
    return None if line is None else f"line {line + 1} holds a key or a credential, {why}"
