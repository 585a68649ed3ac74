"""Which files are never completed in and never used as context, with the reason.

Three sources: the setting `exclude.globs` (secret files by default), what git ignores
(every `.gitignore` from the repository's root down, `.git/info/exclude`, the user's own ignore
file), and the per-language switch. Git is not started, and ignore files are read again only when
their time or size changes. Git's index is not read, so a tracked file that a pattern names counts as
ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from model.local.gitignore import Patterns, why_ignored

if TYPE_CHECKING:
    from lsp.settings.settings import Settings

_MAX_CACHED = 4096


class Exclusions:
    """Answers "why not?" for a file. Cheap enough for every keystroke."""

    def __init__(
        self,
        *,
        globs: Sequence[str] = (),
        gitignored: bool = True,
        disabled_languages: Sequence[str] = (),
        roots: Sequence[Path] = (),
        global_ignore: Path | None = None,
    ) -> None:
        self._glob_lines = tuple(globs)
        self._gitignored = gitignored
        self._disabled_languages = frozenset(disabled_languages)
        # The deepest first: a file in a nested workspace folder belongs to that one.
        self._roots = sorted(map(_absolute, roots), key=lambda root: -len(root.parts))
        self._global_ignore = global_ignore
        self._by_glob: dict[Path, str | None] = {}
        self._files: dict[Path, tuple[tuple[int, int], Patterns]] = {}

    @classmethod
    def from_settings(
        cls, settings: Settings, *, roots: Sequence[Path], environ: Mapping[str, str]
    ) -> Exclusions:
        """The exclusions that the settings ask for in a workspace with these folders."""
        return cls(
            globs=settings.exclude.globs,
            gitignored=settings.exclude.gitignored,
            disabled_languages=settings.completion.disabled_languages,
            roots=roots,
            global_ignore=global_ignore_file(environ),
        )

    def reason(self, path: Path | None, *, language: str = "") -> str | None:
        """Why nothing is completed here, or None. `path` is None for a document without a file."""
        if language in self._disabled_languages:
            return f"completions are off for {language} (completion.disabledLanguages)"
        return None if path is None else self.file_reason(path)

    def file_reason(self, path: Path) -> str | None:
        """Why this file's text must not be used, whatever its language, or None."""
        given = _absolute(path)
        # A link with an innocent name must not lead to a secret file.
        real = Path(os.path.realpath(given))
        for candidate in (given,) if real == given else (given, real):
            reason = self._glob_reason(candidate)
            if reason is None and self._gitignored:
                reason = self._git_reason(candidate)
            if reason is not None:
                return reason
        return None

    @cached_property
    def _globs(self) -> Patterns:
        return Patterns.of_lines(self._glob_lines, origin="exclude.globs", ignore_case=True)

    def _glob_reason(self, path: Path) -> str | None:
        if path not in self._by_glob:
            if len(self._by_glob) >= _MAX_CACHED:
                self._by_glob.clear()
            root = self._root_of(path) or Path(path.anchor)
            self._by_glob[path] = _reason(root, path, lambda folder: self._globs if folder == root else None)
        return self._by_glob[path]

    def _git_reason(self, path: Path) -> str | None:
        root = repository_root(path) or self._root_of(path)
        if root is None or path == root:
            return None
        if path.relative_to(root).parts[0] == ".git":
            return "it is part of git's own data"
        everywhere = (self._global_ignore, _info_exclude(root))
        return _reason(
            root,
            path,
            lambda folder: self._patterns(folder / ".gitignore"),
            [self._patterns(file) for file in everywhere if file is not None],
        )

    def _root_of(self, path: Path) -> Path | None:
        return next((root for root in self._roots if path.is_relative_to(root)), None)

    def _patterns(self, file: Path) -> Patterns | None:
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._files.pop(file, None)
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._files.get(file)
        if known is None or known[0] != stamp:
            text = file.read_text(encoding="utf-8", errors="replace")
            if len(self._files) >= _MAX_CACHED:
                self._files.clear()
            known = self._files[file] = (stamp, Patterns.of_text(text, origin=str(file)))
        return known[1]


def repository_root(path: Path) -> Path | None:
    """The nearest folder above `path` that holds `.git` (a folder, or a file in a work tree)."""
    return next((folder for folder in path.parents if os.path.lexists(folder / ".git")), None)


def global_ignore_file(environ: Mapping[str, str]) -> Path | None:
    """Where git looks for the user's own ignore file by default (gitignore(5), core.excludesFile)."""
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "git" / "ignore"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".config" / "git" / "ignore" if home else None


def _info_exclude(root: Path) -> Path | None:
    """The repository's `info/exclude`, also from a linked work tree (gitrepository-layout(5))."""
    git = root / ".git"
    if git.is_dir():
        return git / "info" / "exclude"
    if not git.is_file():
        return None
    kind, _, target = git.read_text(encoding="utf-8", errors="replace").strip().partition(": ")
    if kind != "gitdir":
        return None
    folder = root / target
    common = folder / "commondir"
    if common.is_file():
        folder = folder / common.read_text(encoding="utf-8", errors="replace").strip()
    return folder / "info" / "exclude"


def _reason(
    root: Path,
    path: Path,
    patterns_of: Callable[[Path], Patterns | None],
    everywhere: Sequence[Patterns | None] = (),
) -> str | None:
    """Walk from `root` down to `path`: the reason if it, or a folder on the way, is ignored.

    Of several patterns the last one counts, those of an inner folder after those of the outer ones.
    """
    known: list[tuple[Path, Patterns]] = [(root, patterns) for patterns in everywhere if patterns]
    folder = root
    parts = path.relative_to(root).parts
    for number, part in enumerate(parts, start=1):
        here = patterns_of(folder)
        if here is not None:
            known.append((folder, here))
        folder = folder / part
        reason = why_ignored(known, folder, is_folder=number < len(parts))
        if reason is not None:
            return reason  # nothing below an ignored folder can be taken back in
    return None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
