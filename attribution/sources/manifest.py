"""A corpus manifest: the pinned list of packages a corpus is made of.

Knows no network, opens no archive, and takes any licence: which are trained on is `training`'s choice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attribution.errors import SourceError

MANIFEST_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")


class Ecosystem(StrEnum):
    """Which package client fetches a file."""

    PYPI = "pypi"
    NPM = "npm"


class Split(StrEnum):
    """Whole packages are held out, so that a held-out loss never sees a trained package's code."""

    TRAIN = "train"
    HELD_OUT = "held-out"


@dataclass(frozen=True, kw_only=True)
class Package:
    """One archive: where it comes from, what it must hash to, and which of its files we want.

    `include` (empty: everything) and `exclude` are `fnmatch` patterns over paths inside the
    archive; `*` also crosses `/`. `license` is an SPDX expression.
    """

    ecosystem: Ecosystem
    name: str
    version: str
    file: str
    sha256: str
    license: str
    repository: str
    split: Split = Split.TRAIN
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise SourceError(f"{self.identity}: sha256 {self.sha256!r} is not 64 lower-case hex digits")
        if not _PLAIN_FILE.fullmatch(self.file):
            raise SourceError(
                f"{self.identity}: file {self.file!r} must be a plain file name, without folders"
            )

    @property
    def identity(self) -> str:
        """`pypi:requests==2.34.2`: the package's name in reports and documents."""
        return f"{self.ecosystem}:{self.name}=={self.version}"

    @property
    def web(self) -> str:
        """The page of its repository."""
        return f"https://github.com/{self.repository}"

    def archive_in(self, folder: Path) -> Path:
        """Where its archive lies in a folder of fetched packages."""
        return folder / self.ecosystem / self.file

    def selects(self, path: str) -> bool:
        """Whether the manifest wants the file at this path inside the archive."""
        if self.include and not any(fnmatchcase(path, pattern) for pattern in self.include):
            return False
        return not any(fnmatchcase(path, pattern) for pattern in self.exclude)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A named, ordered list of packages; `table` names the table of languages it was chosen for."""

    name: str
    packages: tuple[Package, ...]
    table: str = "starter"

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for package in self.packages:
            if package.file in seen:
                raise SourceError(f"{package.identity}: the file {package.file!r} is listed twice")
            seen.add(package.file)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a TOML manifest; raises `SourceError` that names the file, entry and key at fault."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SourceError(f"{path}: cannot read this manifest: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: not valid TOML: {error}") from error
        if raw.get("version") != MANIFEST_VERSION:
            raise SourceError(
                f"{path}: not a corpus manifest of version {MANIFEST_VERSION}: it says "
                f"version = {raw.get('version')!r}"
            )
        wrong = sorted((raw.keys() - {"table"}) ^ {"version", "name", "package"})
        if wrong:
            raise SourceError(f"{path}: {'unknown' if wrong[0] in raw else 'missing'} key {wrong[0]!r}")
        packages = tuple(
            _package(entry, f"{path}: package {i + 1}") for i, entry in enumerate(raw["package"])
        )
        return cls(name=str(raw["name"]), packages=packages, table=str(raw.get("table", "starter")))


def _package(entry: Mapping[str, Any], where: str) -> Package:
    known = {field.name for field in fields(Package)}
    unknown = sorted(entry.keys() - known)
    if unknown:
        raise SourceError(f"{where}: unknown key {unknown[0]!r}")
    for key, value in entry.items():
        if not isinstance(value, str | list):
            raise SourceError(f"{where}: {key} = {value!r}: expected a string or a list of strings")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    try:
        values["ecosystem"] = Ecosystem(values.get("ecosystem", ""))
        values["split"] = Split(values.get("split", Split.TRAIN))
        return Package(**values)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: {error}") from error
