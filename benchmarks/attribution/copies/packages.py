"""The packages that are indexed, and those that are held out; fetched by their ecosystems' own clients.

Versions are pinned, so that every run reads the same files. What lies in the folder is not fetched again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution.source import SourceDocument
from attribution.sources.ingest import indexable, read_source
from model.languages.languages import language_id_of_path

LANGUAGES = ("java", "python", "javascript", "go", "rust", "c")
_CARGO = """[package]
name = "fetched"
version = "0.1.0"
edition = "2021"
[dependencies]
"""


@dataclass(frozen=True, kw_only=True)
class Ecosystem:
    """How packages are fetched into a folder, where their archives then are, and which there are."""

    fetch: Callable[[Path, Sequence[str]], None]
    archives: str
    indexed: tuple[str, ...]
    held_out: tuple[str, ...] = ()


def _maven(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        copy = ["dependency:copy", f"-Dartifact={name}:jar:sources", f"-DoutputDirectory={folder}"]
        _run(["mvn", "-q", "-B", *copy], folder)


def _npm(folder: Path, names: Sequence[str]) -> None:
    _run(["npm", "pack", "--silent", *names], folder)


def _pip(folder: Path, names: Sequence[str]) -> None:
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), *names], folder)


def _go(folder: Path, names: Sequence[str]) -> None:
    (folder / "go.mod").write_text("module fetched\ngo 1.20\n", encoding="utf-8")
    _run(["go", "mod", "download", *names], folder, GOMODCACHE=str(folder / "cache"), GOFLAGS="-modcacherw")


def _cargo(folder: Path, names: Sequence[str]) -> None:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "lib.rs").touch()
    pins = "".join(f'{name} = "={version}"\n' for name, version in (one.split("@") for one in names))
    (folder / "Cargo.toml").write_text(_CARGO + pins, encoding="utf-8")
    _run(["cargo", "fetch", "--quiet"], folder, CARGO_HOME=str(folder / "home"))


ECOSYSTEMS = {
    "maven": Ecosystem(
        fetch=_maven,
        archives="*.jar",
        indexed=(
            "org.apache.commons:commons-lang3:3.14.0",
            "commons-io:commons-io:2.15.1",
            "com.google.code.gson:gson:2.10.1",
            "org.apache.commons:commons-collections4:4.4",
        ),
        held_out=(
            "joda-time:joda-time:2.12.7",
            "org.apache.commons:commons-csv:1.10.0",
            "org.jsoup:jsoup:1.17.2",
        ),
    ),
    "npm": Ecosystem(
        fetch=_npm,
        archives="*.tgz",
        indexed=("lodash@4.17.21", "express@4.18.2", "axios@1.6.7", "moment@2.30.1"),
        held_out=("commander@12.0.0",),
    ),
    "pypi": Ecosystem(
        fetch=_pip,
        archives="*.whl",
        indexed=("requests==2.31.0", "flask==3.0.2", "docutils==0.20.1"),
        held_out=("click==8.1.7", "httpx==0.27.0"),
    ),
    "go": Ecosystem(
        fetch=_go,
        archives="cache/cache/download/**/*.zip",
        indexed=(
            "github.com/spf13/cobra@v1.8.0",
            "github.com/gin-gonic/gin@v1.9.1",
            "github.com/sirupsen/logrus@v1.9.3",
        ),
        held_out=("github.com/gorilla/mux@v1.8.1",),
    ),
    "cargo": Ecosystem(
        fetch=_cargo,
        archives="home/registry/cache/*/*.crate",
        indexed=("libz-sys@1.1.15", "zstd-sys@2.0.10", "itertools@0.12.1", "regex-automata@0.4.5"),
        held_out=("indexmap@2.2.3",),
    ),
}


# Held-out packages that say in their sources that they copy from an indexed one: no false claim.
COPYING = {("commons-csv", "commons-io")}


@dataclass(frozen=True, kw_only=True)
class Code:
    """Documents to index, and others."""

    indexed: list[SourceDocument]
    held_out: list[SourceDocument]


def read_code(folder: Path) -> Code:
    """All source files of the packages, which are fetched first. Raises `subprocess.CalledProcessError`."""
    code = Code(indexed=[], held_out=[])
    for name, ecosystem in ECOSYSTEMS.items():
        place = folder / name
        if not place.is_dir():
            place.mkdir(parents=True)
            ecosystem.fetch(place, [*ecosystem.indexed, *ecosystem.held_out])
        for archive in sorted(place.glob(ecosystem.archives)):
            documents = code.held_out if _is_of(archive, ecosystem.held_out) else code.indexed
            if documents is code.held_out or _is_of(archive, ecosystem.indexed):
                found = indexable(read_source(str(archive), Counter()), Counter())
                documents += [one for one in found if language_of(one) in LANGUAGES]
    return code


def language_of(document: SourceDocument) -> str:
    """Its language's name, "" where that is unknown."""
    path = document.source.path
    return "c" if path.endswith(".h") else language_id_of_path(path) or ""


def _is_of(archive: Path, names: Sequence[str]) -> bool:
    """Whether an archive is one of the packages', by its path: clients name files in their own ways."""
    return any(_core(name) in archive.as_posix() for name in names)


def _core(name: str) -> str:
    """`org.jsoup:jsoup:1.17.2`, `click==8.1.7` and the like as their archives are named."""
    if name.count(":") == 2:
        return "-".join(name.split(":")[1:])
    if "/" in name:
        return name.replace("@", "/@v/")
    return name.replace("==", "-").replace("@", "-")


def _run(command: Sequence[str], folder: Path, **environment: str) -> None:
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **environment}, stdout=sys.stderr)
