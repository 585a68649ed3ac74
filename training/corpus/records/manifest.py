"""The pinned list of packages a corpus is made of. Knows no network and opens no archive."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from training.corpus.errors import ManifestError
from training.corpus.records.languages import TableName

# The part of the Blue Oak Council's permissive list (and PSF-2.0) that our packages need; a
# licence outside of it is refused when the manifest is read, so none slips in by an edit.
PERMISSIVE_LICENSES = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0"}
)
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
    archive; `*` also crosses `/`. `license` is an SPDX expression of permissive licences.
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
            raise ManifestError(f"{self.identity}: sha256 {self.sha256!r} is not 64 lower-case hex digits")
        if not _PLAIN_FILE.fullmatch(self.file):
            raise ManifestError(
                f"{self.identity}: file {self.file!r} must be a plain file name, without folders"
            )
        unknown = sorted(
            set(re.split(r"\s+(?:AND|OR)\s+|[()\s]+", self.license)) - PERMISSIVE_LICENSES - {""}
        )
        if unknown or not self.license.strip():
            raise ManifestError(
                f"{self.identity}: licence {self.license!r} is not on the permissive list; remove the package"
            )

    @property
    def identity(self) -> str:
        """`pypi:requests==2.34.2`: the package's name in reports and documents."""
        return f"{self.ecosystem}:{self.name}=={self.version}"

    def selects(self, path: str) -> bool:
        """Whether the manifest wants the file at this path inside the archive."""
        if self.include and not any(fnmatchcase(path, pattern) for pattern in self.include):
            return False
        return not any(fnmatchcase(path, pattern) for pattern in self.exclude)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A named, ordered list of packages; `table` is the table of languages it was chosen for."""

    name: str
    packages: tuple[Package, ...]
    table: TableName = TableName.STARTER

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for package in self.packages:
            if package.file in seen:
                raise ManifestError(f"{package.identity}: the file {package.file!r} is listed twice")
            seen.add(package.file)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a TOML manifest; raises ManifestError that names the file, entry and key at fault."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ManifestError(f"{path}: no such manifest") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: not valid TOML: {error}") from error
        if raw.get("version") != MANIFEST_VERSION:
            raise ManifestError(
                f"{path}: version {raw.get('version')!r} is unknown; this program reads {MANIFEST_VERSION}"
            )
        wrong = sorted((raw.keys() - {"table"}) ^ {"version", "name", "package"})
        if wrong:
            raise ManifestError(f"{path}: {'unknown' if wrong[0] in raw else 'missing'} key {wrong[0]!r}")
        packages = tuple(
            _package(entry, f"{path}: package {i + 1}") for i, entry in enumerate(raw["package"])
        )
        return cls(name=str(raw["name"]), packages=packages, table=_table(raw.get("table", "starter"), path))


def _table(name: object, path: Path) -> TableName:
    try:
        return TableName(str(name))
    except ValueError:
        known = " or ".join(TableName)
        raise ManifestError(f"{path}: table {name!r} is unknown; it can be {known}") from None


def starter_manifest() -> Manifest:
    """The manifest of the bundled starter model's corpus."""
    return Manifest.load(Path(__file__).parents[1] / "starter.toml")


def _package(entry: Mapping[str, Any], where: str) -> Package:
    known = {field.name for field in fields(Package)}
    unknown = sorted(entry.keys() - known)
    if unknown:
        raise ManifestError(f"{where}: unknown key {unknown[0]!r}")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    try:
        values["ecosystem"] = Ecosystem(values.get("ecosystem", ""))
        values["split"] = Split(values.get("split", Split.TRAIN))
        return Package(**values)
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: {error}") from error
