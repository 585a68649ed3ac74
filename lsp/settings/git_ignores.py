"""What git ignores: every `.gitignore` from the repository's root down, `info/exclude`, the user's own file.

Ignore files are read again when their time or size changes. One that cannot be read is passed over with
a line in the log. Git is asked once a repository where the user's own file is and whether case counts,
since its configuration has conditions and includes; without git, its defaults hold. Git's index is not
read, so a tracked file that a pattern names counts as ignored. Whose a file is does not matter: all that it
can do is exclude.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.local.gitignore import Patterns, why_ignored
from model.local.small_files import read_small_file

_MAX_CACHED = 4096
_MAX_LINES = 4_000
_GIT_S = 5.0
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class GitConfig:
    """What of git's configuration decides about ignored files."""

    excludes_file: Path | None
    ignores_case: bool = False


class GitIgnores:
    """Answers "why is it ignored?" for files of any repository. Cheap enough for every keystroke."""

    def __init__(
        self, environ: Mapping[str, str], note: Callable[[str], None] = lambda message: None
    ) -> None:
        self._environ = environ
        self._note = note
        self._files: dict[tuple[Path, bool], tuple[_Stamp, Patterns]] = {}
        self._configs: dict[Path, tuple[tuple[_Stamp | None, ...], GitConfig]] = {}
        self._noted: set[Path] = set()

    def reason(self, path: Path, *, folder: Path | None) -> str | None:
        """Why an absolute path is ignored, or None. Outside of a repository, `.gitignore` files below
        `folder` count."""
        repository = repository_root(path)
        root = repository or folder
        if root is None or path == root:
            return None
        if path.relative_to(root).parts[0] == ".git":
            return "it is part of git's own data"
        config = self._config(root) if repository else GitConfig(excludes_file=None)
        everywhere = (config.excludes_file, self._info_exclude(root))
        found = (self._patterns(file, config) for file in everywhere if file is not None)
        known = [(root, patterns) for patterns in found if patterns is not None]
        return self._walk(root, path, known, config)

    def _walk(
        self, root: Path, path: Path, known: list[tuple[Path, Patterns]], config: GitConfig
    ) -> str | None:
        """From `root` down to `path`: the reason if it, or a folder on the way, is ignored.

        Of several patterns the last one counts, those of an inner folder after those of the outer ones.
        """
        folder = root
        parts = path.relative_to(root).parts
        for number, part in enumerate(parts, start=1):
            here = self._patterns(folder / ".gitignore", config)
            if here is not None:
                known.append((folder, here))
            folder = folder / part
            reason = why_ignored(known, folder, is_folder=number < len(parts))
            if reason is not None:
                return reason  # nothing below an ignored folder can be taken back in
        return None

    def _patterns(self, file: Path, config: GitConfig) -> Patterns | None:
        key = (file, config.ignores_case)
        stamp = self._stamp(file)
        if stamp is None:
            self._files.pop(key, None)
            return None
        known = self._files.get(key)
        if known is None or known[0] != stamp:
            if len(self._files) >= _MAX_CACHED:
                self._files.clear()
            text = self._read(file)
            if text.count("\n") > _MAX_LINES:
                self._pass_over(file, f"it has more than {_MAX_LINES} lines")
                text = ""
            patterns = Patterns.of_text(text, origin=str(file), ignore_case=config.ignores_case)
            known = self._files[key] = (stamp, patterns)
        return known[1]

    def _info_exclude(self, root: Path) -> Path:
        """The repository's `info/exclude`, also from a linked work tree (gitrepository-layout(5))."""
        git = root / ".git"
        if not os.path.isfile(git):
            return git / "info" / "exclude"
        folder = root / self._read(git).strip().removeprefix("gitdir: ")
        common = folder / "commondir"
        if os.path.isfile(common):
            folder = folder / self._read(common).strip()
        return folder / "info" / "exclude"

    def _config(self, root: Path) -> GitConfig:
        stamps = tuple(map(self._stamp, self._config_files(root)))
        known = self._configs.get(root)
        if known is None or known[0] != stamps:
            if len(self._configs) >= _MAX_CACHED:
                self._configs.clear()
            known = self._configs[root] = (stamps, git_config(root, self._environ))
        return known[1]

    def _config_files(self, root: Path) -> Sequence[Path]:
        """Where a user changes the configuration; what these files include is not followed."""
        home, xdg = _home(self._environ), _xdg(self._environ)
        users = [*([home / ".gitconfig"] if home else []), *([xdg / "git" / "config"] if xdg else [])]
        return [root / ".git" / "config", *users]

    def _stamp(self, file: Path) -> _Stamp | None:
        try:
            status = os.stat(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._pass_over(file, error.strerror or str(error))
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read(self, file: Path) -> str:
        try:
            return read_small_file(file).decode(errors="replace")
        except OSError as error:
            self._pass_over(file, error.strerror or str(error))
            return ""

    def _pass_over(self, file: Path, reason: str) -> None:
        if file not in self._noted:
            self._noted.add(file)
            self._note(f"{file} cannot be read and is passed over: {reason}")


def repository_root(path: Path) -> Path | None:
    """The nearest folder above `path` that holds `.git` (a folder, or a file in a work tree)."""
    return next((folder for folder in path.parents if os.path.lexists(folder / ".git")), None)


def git_config(root: Path, environ: Mapping[str, str]) -> GitConfig:
    """What a repository's, the user's and the system's configuration say together."""
    command = ["git", "config", "--null", "--get-regexp", r"^core\.(excludesfile|ignorecase)$"]
    # An editor that git started (for a commit message) hands on which repository that was about.
    given = {name: value for name, value in environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    try:
        answer = subprocess.run(
            command, cwd=root, env=given, capture_output=True, timeout=_GIT_S, check=False
        ).stdout.decode(errors="surrogateescape")
    except (OSError, subprocess.TimeoutExpired):  # no git, or no such folder
        answer = ""
    # Of a name that is set twice, the last counts. One without "=" is true.
    entries = (entry.partition("\n") for entry in answer.split("\0"))
    values = {name: value if has_value else "true" for name, has_value, value in entries}
    file = values.get("core.excludesfile")
    return GitConfig(
        excludes_file=default_ignore_file(environ) if file is None else _expanded(file, root, environ),
        ignores_case=values.get("core.ignorecase", "").lower() in ("true", "yes", "on", "1"),
    )


def default_ignore_file(environ: Mapping[str, str]) -> Path | None:
    """Where the user's own ignore file is if no configuration says (gitignore(5), core.excludesFile)."""
    xdg = _xdg(environ)
    return None if xdg is None else xdg / "git" / "ignore"


def _expanded(file: str, root: Path, environ: Mapping[str, str]) -> Path | None:
    """A path as git reads it; None if it is empty."""
    if not file:
        return None
    home = _home(environ)
    if file.startswith("~/") and home is not None:
        return home / file[2:]
    return root / os.path.expanduser(file)


def _home(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else None


def _xdg(environ: Mapping[str, str]) -> Path | None:
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"])
    home = _home(environ)
    return None if home is None else home / ".config"
