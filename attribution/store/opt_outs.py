"""Opt-outs: what owners asked to be left out, as rules and as lists of them. Knows no index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from attribution.errors import SourceError
from attribution.source import Source

_PACKAGE_KINDS = ("npm:", "pypi:", "cargo:")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Which documents to remove and never to take in again: those that agree with all that is given.

    Owners and repositories compare without case, as hosts do; `path` is a shell pattern whose `*`
    also crosses `/`.
    """

    owner: str | None = None
    repository: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not (self.owner or self.repository or self.path):
            raise SourceError("nothing to remove: give an owner, a repository or a path")

    def covers(self, source: Source) -> bool:
        """Whether the rule covers this source."""
        return (
            (self.owner is None or source.owner.casefold() == self.owner.casefold())
            and (self.repository is None or source.repository.casefold() == self.repository.casefold())
            and (self.path is None or fnmatchcase(source.path, self.path))
        )

    @property
    def line(self) -> str:
        """As a line of an opt-out list."""
        name = self.repository or self.owner or ""
        return f"{name}:{self.path}" if self.path else name

    @classmethod
    def from_line(cls, line: str) -> OptOut:
        """One line of an opt-out list: `owner`, `owner/name` or `owner/name:path`.

        A package without a known repository is called `npm:name`, `pypi:name` or `cargo:name` in an index.
        """
        kind = next((kind for kind in _PACKAGE_KINDS if line.strip().startswith(kind)), "")
        repository, _, path = line.strip().removeprefix(kind).partition(":")
        repository = f"{kind}{repository}"
        if "/" in repository:
            return cls(repository=repository, path=path or None)
        return cls(owner=repository or None, path=path or None)


def read_opt_out_list(path: Path) -> list[OptOut]:
    """The rules of a file, one a line; `#` begins a comment. Raises `SourceError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read the opt-out list: {error}") from error
    kept = (line.partition("#")[0].strip() for line in lines)
    return [OptOut.from_line(line) for line in kept if line]


class OptOuts:
    """Many rules, asked for each document of a build: owners and repositories are looked up, not searched."""

    def __init__(self, rules: Iterable[OptOut]) -> None:
        self.rules = tuple(rules)
        self._by_name: dict[str, list[OptOut]] = {}
        self._by_path: list[OptOut] = []
        for rule in self.rules:
            name = rule.repository or rule.owner
            if name is None:
                self._by_path.append(rule)
            else:
                self._by_name.setdefault(name.casefold(), []).append(rule)

    def cover(self, source: Source) -> bool:
        """Whether any rule covers this source."""
        names = {source.owner.casefold(), source.repository.casefold()}
        named = (rule for name in names for rule in self._by_name.get(name, ()))
        return any(rule.covers(source) for rule in (*named, *self._by_path))
