"""Which files are never completed in and never used as context, with the reason.

Three sources: the setting `exclude.globs` (secret files by default), what git ignores, and the
per-language switch. The path decides, whatever the document's scheme, and all of it: a workspace may itself
be a folder of secrets. What stands in a text is not looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lsp.settings.git_ignores import GitIgnores
from lsp.settings.settings import Settings
from model.local.gitignore import Patterns, why_excluded

_MAX_CACHED = 4096


class Exclusions:
    """Answers "why not?" for a file. Cheap enough for every keystroke."""

    def __init__(
        self,
        *,
        globs: Sequence[str] = (),
        disabled_languages: Sequence[str] = (),
        roots: Sequence[Path] = (),
        ignores: GitIgnores | None = None,
    ) -> None:
        self._globs = Patterns.of_lines(globs, origin="exclude.globs", ignore_case=True)
        self._disabled_languages = frozenset(disabled_languages)
        # The deepest first: a file in a nested workspace folder belongs to that one.
        self._roots = sorted(map(_absolute, roots), key=lambda root: -len(root.parts))
        self._ignores = ignores
        self._by_glob: dict[Path, str | None] = {}

    @classmethod
    def from_settings(cls, settings: Settings, *, roots: Sequence[Path], ignores: GitIgnores) -> Exclusions:
        """The exclusions that the settings ask for in a workspace with these folders."""
        return cls(
            globs=settings.exclude.globs,
            disabled_languages=settings.completion.disabled_languages,
            roots=roots,
            ignores=ignores if settings.exclude.gitignored else None,
        )

    def language_reason(self, language: str) -> str | None:
        """Why nothing is completed in a language, or None."""
        if language not in self._disabled_languages:
            return None
        return f"completions are off for {language} (completion.disabledLanguages)"

    def file_reason(self, path: Path) -> str | None:
        """Why this file's text must not be used, whatever its language, or None."""
        given = _absolute(path)
        # A link with an innocent name must not lead to a secret file.
        real = Path(os.path.realpath(given))
        for candidate in (given,) if real == given else (given, real):
            reason = self._glob_reason(candidate)
            if reason is None and self._ignores is not None:
                reason = self._ignores.reason(candidate, folder=self._root_of(candidate))
            if reason is not None:
                return reason
        return None

    def _glob_reason(self, path: Path) -> str | None:
        if path not in self._by_glob:
            if len(self._by_glob) >= _MAX_CACHED:
                self._by_glob.clear()
            self._by_glob[path] = why_excluded(self._globs, path, root=self._root_of(path))
        return self._by_glob[path]

    def _root_of(self, path: Path) -> Path | None:
        return next((root for root in self._roots if path.is_relative_to(root)), None)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
