"""Whose code is left out because they asked for it: whole accounts, or single repositories.

The lists are text files, one `owner` or `owner/repository` a line, `#` begins a comment (the form
of BigCode's second opt-out list). Names are compared as GitHub does, without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus.errors import CorpusError

_NAME = re.compile(r"[\w.-]+(?::[\w.-]+)?(?:/[\w.-]+)?")


@dataclass(frozen=True, kw_only=True)
class OptOut:
    """`owners` and `repositories` (`owner/name`), in lower case."""

    owners: frozenset[str] = frozenset()
    repositories: frozenset[str] = frozenset()

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> OptOut:
        """Read the lists; raises CorpusError that names the file and the line at fault."""
        names = [name for path in paths for name in _names(path)]
        return cls(
            owners=frozenset(name for name in names if "/" not in name),
            repositories=frozenset(name for name in names if "/" in name),
        )

    def covers(self, repository: str) -> bool:
        """Whether this repository, or all of its owner's, is to be left out."""
        name = repository.lower()
        return name in self.repositories or name.partition("/")[0] in self.owners

    def remaining(self, repositories: Iterable[str]) -> list[str]:
        """Those of several repositories (of one commit) that are not covered."""
        return [name for name in repositories if not self.covers(name)]


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read the opt-out list {path}: {error}") from error
    names = []
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip().removeprefix("https://github.com/").strip("@/")
        if not name:
            continue
        if not _NAME.fullmatch(name):
            raise CorpusError(f"{path} line {number}: {name!r} is neither an owner nor owner/repository")
        names.append(name.lower())
    return names
