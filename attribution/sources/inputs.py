"""What `check` is to look at: files, folders without what git ignores, the standard input, lines of a change.

Nothing is left out in silence: what cannot be read is named with its reason, the rest is counted by reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from attribution.errors import InputError
from attribution.sources.ignored import GitIgnored

STANDARD_INPUT = "-"
_HUNK = re.compile(rb"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
# A repository's configuration is not to run programs, and not to change what a diff looks like.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
_PLAIN_DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--no-relative"),
    "--ignore-submodules",  # each has a configuration of its own
)
_SCOPES_OF_REPOSITORY = ("local", "worktree")
_COUNT = "GIT_CONFIG_COUNT"
_NO_FILTER = {"clean": "", "smudge": "", "process": "", "required": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something to check. `lines` are those that count, as half-open ranges from 1; None: all of them."""

    name: str
    lines: tuple[tuple[int, int], ...] | None = None
    is_named: bool = True  # by the user, rather than found in a folder

    @property
    def path(self) -> Path:
        """Where it lies; for the standard input, where a file of the current folder would."""
        return Path("stdin" if self.name == STANDARD_INPUT else self.name)

    def read(self) -> bytes:
        """Its bytes. Raises `InputError`."""
        try:
            return sys.stdin.buffer.read() if self.name == STANDARD_INPUT else self.path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read this file: {error.strerror}") from error

    def counts(self, start_line: int, end_line: int) -> bool:
        """Whether any of these lines counts."""
        return self.lines is None or any(
            first <= end_line and start_line < last for first, last in self.lines
        )


@dataclass(kw_only=True)
class FoundInputs:
    """What is to be checked, what cannot be (name, reason), and what is left out by reason."""

    inputs: list[Input] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_inputs(names: Sequence[str]) -> FoundInputs:
    """Files as they are named, folders gone through."""
    found = FoundInputs()
    for name in dict.fromkeys(names):
        path = Path(name)
        if name == STANDARD_INPUT or (path.exists() and not path.is_dir()):
            found.inputs.append(Input(name=name))
        elif path.is_dir():
            _walk(path, found)
        else:
            found.failures.append((name, "no such file or folder"))
    return found


def _walk(top: Path, found: FoundInputs) -> None:
    ignored = GitIgnored(top)

    def failed(error: OSError) -> None:
        found.failures.append((str(error.filename), f"cannot read this folder: {error.strerror}"))

    for name, folders, files in os.walk(top, onerror=failed):
        ignored.enter(name)
        folders[:] = [
            one for one in sorted(folders) if one != ".git" and _stays(ignored, one, found, is_folder=True)
        ]
        for file in sorted(files):
            path = Path(name, file)
            if not path.is_file() or path.is_symlink():
                found.left_out["not a regular file"] += 1
            elif _stays(ignored, file, found, is_folder=False):
                found.inputs.append(Input(name=str(path), is_named=False))


def _stays(ignored: GitIgnored, name: str, found: FoundInputs, *, is_folder: bool) -> bool:
    is_ignored = ignored.has(name, is_folder=is_folder)
    found.left_out["ignored by git"] += is_ignored
    return not is_ignored


def find_changes(revision: str, names: Sequence[str]) -> FoundInputs:
    """The files that differ from a revision, with the lines that were added, and files new to git.

    Raises `InputError` for a revision that is none, or where there is no repository.
    """
    root = Path(os.fsdecode(_git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    found, paths = FoundInputs(), [os.path.abspath(name) for name in names or [str(root)]]
    diff = partial(_git, *_PLAIN_DIFF, environ=_without_filters())
    changed = diff("--name-only", "-z", "--diff-filter=d", revision, "--", *paths)
    for path in _paths(root, changed):
        added = diff("--unified=0", "--text", revision, "--", str(path))
        if lines := tuple(_added(added)):
            found.inputs.append(Input(name=os.path.relpath(path), lines=lines))
    new = _git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *paths)
    found.inputs += [Input(name=os.path.relpath(path), is_named=False) for path in _paths(root, new)]
    return found


def _without_filters() -> dict[str, str]:
    """An environment for git in which a repository's own filters of files run no program.

    The user's own stay: git-lfs is one.
    """
    command = ("git", "config", "--show-scope", "--name-only", "--null", "--get-regexp", r"^filter\.")
    listed = subprocess.run(command, capture_output=True, check=False).stdout.split(b"\0")
    scoped = zip(listed[::2], listed[1::2], strict=False)
    own = {os.fsdecode(key) for scope, key in scoped if scope.decode() in _SCOPES_OF_REPOSITORY}
    names = sorted({key.rpartition(".")[0] for key in own})
    environ = dict(os.environ)
    known = int(environ.get(_COUNT) or 0)
    for at, (name, (key, value)) in enumerate(product(names, _NO_FILTER.items()), start=known):
        environ |= {f"GIT_CONFIG_KEY_{at}": f"{name}.{key}", f"GIT_CONFIG_VALUE_{at}": value}
        environ[_COUNT] = str(at + 1)
    return environ


def _paths(root: Path, listed: bytes) -> Iterator[Path]:
    for name in filter(None, listed.split(b"\0")):
        yield root / os.fsdecode(name)


def _added(diff: bytes) -> Iterator[tuple[int, int]]:
    for hunk in _HUNK.finditer(diff):
        first, count = int(hunk[1]), int(hunk[2] or 1)
        if count:
            yield first, first + count


def _git(*arguments: str, environ: Mapping[str, str] | None = None) -> bytes:
    try:
        done = subprocess.run([*_GIT, *arguments], capture_output=True, check=False, env=environ)
    except FileNotFoundError as error:
        raise InputError("--diff needs git, which is not installed") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "no such revision"
        raise InputError(f"--diff: git {' '.join(arguments[:2])}: {said}")
    return done.stdout
