"""Opt-outs: what owners asked to be left out, as rules and as lists of them. Knows no index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from attribution.errors import SourceError
from attribution.source import Source

_PACKAGE_KINDS = ("npm:", "pypi:", "cargo:", "gem:", "nuget:", "maven:", "go:")
# What stands before OWNER/NAME in an address: of a page, of git over HTTPS or SSH, or a known host alone.
_ADDRESS = re.compile(
    r"^(?:(?:git\+)?(?:https?|ssh|git)://(?:[^@/\s]*@)?[\w.-]+(?::\d+)?/|[\w.-]+@[\w.-]+:"
    r"|(?:www\.)?(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org)/)",
    re.IGNORECASE,
)
# Behind OWNER/NAME, in the address of a page.
_PAGE = re.compile(r"/(?:-/)?(?:tree|blob|src|issues|pull|releases|wiki)(?:/.*)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Which documents to remove and never to take in again: those that agree with all that is given.

    Owners, repositories and packages compare without case, as hosts do; `path` is a shell pattern whose `*`
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
        name = self.repository or self.owner
        return (name is None or name.casefold() in _names(source)) and (
            self.path is None or fnmatchcase(source.path, self.path)
        )

    @property
    def line(self) -> str:
        """As a line of an opt-out list."""
        name = self.repository or self.owner or ""
        return f"{name}:{self.path}" if self.path else name

    @classmethod
    def from_line(cls, line: str) -> OptOut:
        """One line of an opt-out list: `owner`, `owner/name` or `owner/name:path`.

        A package is called `npm:name`, `pypi:name` or `cargo:name`. Whatever people write for a repository is
        understood: its address, with `.git` or a slash at its end; for an owner, `@owner`.
        """
        text = line.strip().removeprefix("\ufeff").strip()
        kind = next((kind for kind in _PACKAGE_KINDS if text.casefold().startswith(kind)), "")
        name, _, path = _ADDRESS.sub("", text[len(kind) :]).partition(":")
        return cls.named(kind + name, path=path or None)

    @classmethod
    def named(cls, name: str, *, path: str | None = None) -> OptOut:
        """The rule for an owner, a repository or a package, however it is written."""
        kind = next((kind for kind in _PACKAGE_KINDS if name.casefold().startswith(kind)), "")
        plain = _ADDRESS.sub("", name[len(kind) :].strip())
        plain = _PAGE.sub("", plain.partition("?")[0].rstrip("/")).removesuffix(".git").strip("/")
        if not kind and plain.startswith("@"):
            # A handle, or the scope and name of an npm package.
            kind, plain = ("npm:", plain) if "/" in plain else ("", plain[1:])
        full = f"{kind}{plain}" if plain else ""
        if "/" in full:
            return cls(repository=full, path=path)
        return cls(owner=full or None, path=path)


def _names(source: Source) -> set[str]:
    """What a rule may call a source by."""
    names = {source.owner, source.repository, source.package or source.repository}
    return {name.casefold() for name in names}


def lines_of(rules: Iterable[OptOut]) -> list[str]:
    """Rules as the lines of an opt-out list, each once."""
    return sorted({rule.line for rule in rules})


def read_opt_out_list(path: Path) -> list[OptOut]:
    """The rules of a file, one a line; `#` begins a comment. Raises `SourceError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
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
        return any(True for _ in self.covering(source))

    def covering(self, source: Source) -> Iterator[OptOut]:
        """The rules that cover this source."""
        named = (rule for name in _names(source) for rule in self._by_name.get(name, ()))
        return (rule for rule in (*named, *self._by_path) if rule.covers(source))
