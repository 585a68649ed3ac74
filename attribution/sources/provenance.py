"""Whose files these are: repository, revision and licence, read from git's files and package metadata.

git itself is not run: in a folder from elsewhere its configuration could run programs.
"""

from __future__ import annotations

import email.parser
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser, Error
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from attribution.sources.declarations import (
    POM_FILE,
    Declared,
    declared_by_npm,
    declared_by_python,
    file_referred_to,
    of_classifiers,
    read_pom,
)
from attribution.sources.folder_licence import FolderLicence
from attribution.sources.licences import is_licence_file

METADATA_FILES = frozenset({"package.json", "pyproject.toml", "Cargo.toml", "METADATA", "PKG-INFO", POM_FILE})
# In *.dist-info and *.egg-info: what of the folder around belongs to the package.
INSTALLED_FILES = frozenset({"RECORD", "top_level.txt"})
MAX_METADATA_BYTES = 1 << 20
_REMOTE = re.compile(
    r"^(?:git\+)?(?:(?:https?|ssh|git)://(?:[^@/]*@)?|(?:[^@/:]+@))?"
    r"(?P<host>[\w.-]+\.\w+)(?::\d+)?[:/](?P<path>[\w.~-]+(?:/[\w.~-]+)+)/?(?:[#?].*)?$"
)
_BLOB = {"gitlab": "-/blob", "bitbucket": "src"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one folder says about the files in it and below; None where it says nothing."""

    repository: str | None = None
    revision: str | None = None
    licence: FolderLicence | None = None
    web: str | None = None  # the repository's address
    package: str | None = None

    def filled_from(self, other: Facts) -> Facts:
        """These facts, and the other's where these are silent."""
        return Facts(
            repository=self.repository or other.repository,
            revision=self.revision or (None if self.repository else other.revision),
            licence=self.licence or other.licence,
            web=self.web or (None if self.repository else other.web),
            package=self.package or other.package,
        )

    def beside(self, other: Facts) -> Facts:
        """These facts and what another file of the same folder says."""
        both = self.filled_from(other)
        return replace(both, licence=self.licence.beside(other.licence)) if self.licence else both

    def url(self, path: str, *, is_repository_path: bool) -> str | None:
        """The address of a file, as near as can be said: a package's paths are not the repository's."""
        if self.web is None or self.revision is None or not is_repository_path:
            return self.web
        blob = next((middle for host, middle in _BLOB.items() if host in self.web), "blob")
        return f"{self.web}/{blob}/{self.revision}/{path}"


NOTHING = Facts()


def origin_of(place: str) -> str:
    """What tells places apart without saying where they are: paths have the names of people in them."""
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:16]


def parse_remote(url: str) -> tuple[str, str] | None:
    """(owner/name, address in a browser) of a git remote."""
    match = _REMOTE.match(url.strip())
    if match is None:
        return None
    path = match["path"].removesuffix(".git")
    return path, f"https://{match['host']}/{path}"


def is_metadata(path: str) -> bool:
    """Whether a file may tell something about its folder."""
    name = PurePosixPath(path).name
    return name in METADATA_FILES or is_licence_file(name)


def installed_names(name: str, data: bytes) -> set[str]:
    """The folders and modules beside a package's *.dist-info or *.egg-info that are its own."""
    lines = data.decode("utf-8", errors="replace").splitlines()
    if name == "RECORD":
        tops = {line.split(",")[0].split("/")[0] for line in lines}
        return {top for top in tops if top not in {"", "..", "__pycache__"} and not top.endswith("-info")}
    return {place for line in lines if (top := line.strip()) for place in (top, f"{top}.py")}


def facts_of_file(path: str, data: bytes) -> Facts:
    """What one metadata or licence file tells; nothing if it is malformed."""
    name = PurePosixPath(path).name
    text = data.decode("utf-8", errors="replace")
    if name not in METADATA_FILES:
        return Facts(licence=FolderLicence.of_text(path, text))
    said = _of_metadata(name, text)
    if said.licence is None:
        return said
    return replace(said, licence=replace(said.licence, declared_in=path))


def _of_metadata(name: str, text: str) -> Facts:
    if name in {"METADATA", "PKG-INFO"}:
        return _of_python_metadata(text)
    if name == POM_FILE:
        pom = read_pom(text)
        return NOTHING if pom is None else _package("maven", pom.name, pom.version, pom.licence, [pom.link])
    raw: Any
    try:
        raw = json.loads(text) if name == "package.json" else tomllib.loads(text)
    except ValueError:
        return NOTHING
    if not isinstance(raw, dict):
        return NOTHING
    return _of_npm(raw) if name == "package.json" else _of_toml(raw)


def _of_python_metadata(text: str) -> Facts:
    headers = email.parser.HeaderParser().parsestr(text)
    declared = declared_by_python(text).one
    links = [str(value).partition(",")[2] for value in headers.get_all("Project-URL", [])]
    name, version = headers["Name"], headers["Version"]
    return _package("pypi", name, version, declared, [*links, str(headers["Home-page"] or "")])


def _of_npm(raw: dict[str, Any]) -> Facts:
    link = raw.get("repository", "")
    if isinstance(link, dict):
        link = link.get("url", "")
    if isinstance(link, str) and re.fullmatch(r"(github:)?[\w.-]+/[\w.-]+", link):
        link = f"https://github.com/{link.removeprefix('github:')}"
    name, version = raw.get("name"), raw.get("version")
    return _package("npm", name, version, declared_by_npm(raw).stated, [str(link)])


def _of_toml(raw: dict[str, Any]) -> Facts:
    kind = "cargo" if {"package", "workspace"} & raw.keys() else "pypi"
    table = _package_table(raw)
    links = table.get("urls", {})
    found = [*(links.values() if isinstance(links, dict) else ()), table.get("repository", "")]
    stated = table.get("license", "")
    declared = _text(stated, "text")
    if isinstance(stated, dict) and "file" in stated:
        declared = f"SEE LICENSE IN {stated['file']}"
    elif not declared and "license-file" in table:
        declared = f"SEE LICENSE IN {table['license-file']}"
    elif not declared and isinstance(classifiers := table.get("classifiers"), list):
        declared = Declared(stated="", classifiers=of_classifiers(list(map(str, classifiers)))).one
    return _package(kind, table.get("name"), table.get("version"), declared, [str(link) for link in found])


def _package_table(raw: dict[str, Any]) -> dict[str, Any]:
    """The table that describes the package. Of a Cargo workspace, what its members take over from it."""
    tool, workspace = raw.get("tool", {}), raw.get("workspace", {})
    places = [
        raw.get("project"),
        tool.get("poetry") if isinstance(tool, dict) else None,
        raw.get("package"),
        workspace.get("package") if isinstance(workspace, dict) else None,
    ]
    merged: dict[str, Any] = {}
    for table in reversed(places):
        merged |= {key: value for key, value in (table or {}).items() if not _is_inherited(value)}
    return merged


def _is_inherited(value: Any) -> bool:
    """`license.workspace = true`: the folder above says it."""
    return isinstance(value, dict) and value.get("workspace") is True


def _text(value: Any, key: str) -> str:
    """A field that is a text or a table with one."""
    return str(value.get(key, "") if isinstance(value, dict) else value)


def _package(kind: str, name: Any, version: Any, declared: str, links: list[str]) -> Facts:
    remotes = [remote for link in links if (remote := parse_remote(link)) and "/" in remote[0]]
    hosted = [remote for remote in remotes if re.search(r"//(github|gitlab|bitbucket|codeberg)\.", remote[1])]
    owner_and_name = "/".join(hosted[0][0].split("/")[:2]) if hosted else None
    web = hosted[0][1].removesuffix(hosted[0][0]) + owner_and_name if hosted and owner_and_name else None
    return Facts(
        repository=owner_and_name or (f"{kind}:{name}" if name else None),
        revision=str(version) if isinstance(version, str) else None,
        licence=FolderLicence(declared=declared, refers_to=file_referred_to(declared)) if declared else None,
        web=web,
        package=f"{kind}:{name}" if name else None,
    )


# Archives that say what they are by their names alone

_ARCHIVES = {
    ".gem": "gem",
    ".crate": "cargo",
    ".nupkg": "nuget",
    ".egg": "pypi",
    ".jar": "maven",
    ".aar": "maven",
}
_NAME_AND_VERSION = re.compile(
    r"(?P<name>.+?)[-.](?P<version>\d[\w.+]*(?:-(?:alpha|beta|rc|SNAPSHOT)[\w.]*)?)(-[\w.-]+)?"
)


def facts_of_archive_name(name: str) -> Facts:
    """What the name of a package's archive tells."""
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
    match = _NAME_AND_VERSION.fullmatch(stem)
    if suffix not in _ARCHIVES or match is None:
        return NOTHING
    package = f"{_ARCHIVES[suffix]}:{match['name']}"
    return Facts(repository=package, revision=match["version"], package=package)


def facts_of_go_module(folder: str) -> Facts:
    """What `github.com/owner/name@v1.2.3` tells, the one folder of a Go module's archive."""
    module, _, version = folder.partition("@")
    remote = parse_remote(f"https://{module}")
    return Facts(
        repository=module if remote is None else "/".join(remote[0].split("/")[:2]),
        revision=version,
        web=None if remote is None else "/".join(remote[1].split("/")[:5]),
        package=f"go:{module}",
    )


# git


def facts_of_git(folder: Path) -> Facts:
    """Repository and revision of the working tree at `folder`; nothing if it is none or unreadable."""
    git = _git_folder(folder)
    if git is None:
        return NOTHING
    common = git / _read(git / "commondir") if (git / "commondir").is_file() else git
    remote = parse_remote(_remote_url(common / "config"))
    return Facts(
        repository=None if remote is None else remote[0],
        revision=_head(git, common),
        web=None if remote is None else remote[1],
    )


def git_root(folder: Path) -> Path | None:
    """The working tree that `folder` is in."""
    return next((place for place in (folder, *folder.parents) if _git_folder(place) is not None), None)


def _git_folder(folder: Path) -> Path | None:
    git = folder / ".git"
    if git.is_file():  # a submodule or a linked working tree
        git = folder / _read(git).removeprefix("gitdir:").strip()
    return git if (git / "HEAD").is_file() else None


def _remote_url(config: Path) -> str:
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string("\n".join(line.strip() for line in _read(config).splitlines()))
    except Error:
        return ""
    remotes = [section for section in parser.sections() if section.startswith('remote "')]
    chosen = 'remote "origin"' if 'remote "origin"' in remotes else next(iter(remotes), "")
    return (parser.get(chosen, "url", fallback="") if chosen else "") or ""


def _head(git: Path, common: Path) -> str | None:
    head = _read(git / "HEAD")
    name = head.removeprefix("ref:").strip()
    if name == head:
        return head or None
    packed = dict(_packed_refs(common / "packed-refs"))
    return _read(git / name) or _read(common / name) or packed.get(name)


def _packed_refs(path: Path) -> Iterator[tuple[str, str]]:
    for line in _read(path).splitlines():
        revision, _, name = line.partition(" ")
        if name and not line.startswith(("#", "^")):
            yield name, revision


def _read(path: Path) -> str:
    """A small text file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
