"""Which files are never completed in and never used as context, with the reason.

Three sources: the setting `exclude.globs` (secret files by default), what git ignores
(every `.gitignore` from the repository's root down, `.git/info/exclude`, the user's own ignore
file), and the per-language switch. Git is not started: gitignore(5) is evaluated here by
`pathspec`, and the files are read again only when their time or size changes. A file that git
tracks although a pattern names it counts as ignored, since the index is not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from lsp.settings import Settings

_MAX_CACHED = 4096


@dataclass(frozen=True)
class Patterns:
    """Compiled patterns of one file or setting; `origin` names it in reasons."""

    origin: str
    lines: tuple[str, ...]
    spec: GitIgnoreSpec

    def verdict(self, path: str) -> tuple[bool, str] | None:
        """(ignored, the pattern) of the last pattern that matches a /-separated path, else None."""
        result = self.spec.check_file(path)
        if result.include is None or result.index is None:
            return None
        return result.include, self.lines[result.index]


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
        self._globs = compile_patterns([glob.lower() for glob in globs], origin="exclude.globs")
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

    def _glob_reason(self, path: Path) -> str | None:
        if path not in self._by_glob:
            if len(self._by_glob) >= _MAX_CACHED:
                self._by_glob.clear()
            root = self._root_of(path)
            inside = path.relative_to(root if root is not None else path.anchor).as_posix()
            verdict = self._globs.verdict(inside.lower())
            self._by_glob[path] = f'"{verdict[1]}" in exclude.globs' if verdict and verdict[0] else None
        return self._by_glob[path]

    def _git_reason(self, path: Path) -> str | None:
        root = repository_root(path) or self._root_of(path)
        if root is None or path == root:
            return None
        everywhere = [self._patterns(file) for file in (self._global_ignore, _info_exclude(root)) if file]
        above: list[tuple[Path, Patterns | None]] = [(root, patterns) for patterns in everywhere]
        parts = path.relative_to(root).parts
        if parts[0] == ".git":
            return "it is part of git's own data"
        folder = root
        for number, part in enumerate(parts):
            above.append((folder, self._patterns(folder / ".gitignore")))
            is_file = number == len(parts) - 1
            reason = _last_verdict(above, folder / part, is_file=is_file)
            if reason is not None:
                return reason  # nothing below an ignored folder can be taken back in
            folder = folder / part
        return None

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
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            if len(self._files) >= _MAX_CACHED:
                self._files.clear()
            known = self._files[file] = (stamp, compile_patterns(lines, origin=str(file)))
        return known[1]


def compile_patterns(lines: Sequence[str], *, origin: str) -> Patterns:
    """Compile lines of gitignore(5) syntax. A line that is no pattern is passed over, as git does."""
    from pathspec import GitIgnoreSpec  # 20 ms: not needed to answer `initialize`
    from pathspec.patterns.gitignore import GitIgnorePatternError

    usable: list[str] = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        try:
            GitIgnoreSpec.from_lines([line])
        except GitIgnorePatternError:
            continue
        usable.append(line)
    return Patterns(origin, tuple(usable), GitIgnoreSpec.from_lines(usable))


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


def _last_verdict(above: Sequence[tuple[Path, Patterns | None]], path: Path, *, is_file: bool) -> str | None:
    """The reason if the last pattern that names `path` ignores it: deeper files win over outer ones."""
    for folder, patterns in reversed(above):
        if patterns is None:
            continue
        inside = path.relative_to(folder).as_posix() + ("" if is_file else "/")
        verdict = patterns.verdict(inside)
        if verdict is not None:
            return f'"{verdict[1]}" in {patterns.origin}' if verdict[0] else None
    return None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
