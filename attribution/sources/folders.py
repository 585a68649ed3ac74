"""What a tree's metadata says about each file in it: whose it is, and under which licence.

The nearest folder that says something counts; what a file says of itself counts before that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from attribution.source import LicenceEvidence, Source
from attribution.sources.declarations import POM_FILE
from attribution.sources.folder_licence import FolderLicence
from attribution.sources.licences import is_companion, licence_of_header
from attribution.sources.provenance import (
    INSTALLED_FILES,
    MAX_METADATA_BYTES,
    NOTHING,
    Facts,
    facts_of_archive_name,
    facts_of_file,
    facts_of_git,
    facts_of_go_module,
    git_root,
    installed_names,
    is_metadata,
    origin_of,
)
from attribution.sources.reuse import REUSE_FILE, Annotation, read_annotations
from attribution.sources.trees import Tree

# Folders of an egg or a jar that speak for all of it.
_ARCHIVE_METADATA = frozenset({"EGG-INFO", "META-INF"})
_INSTALLED_SUFFIXES = frozenset({".egg-info", ".dist-info"})


@dataclass(kw_only=True)
class TreeFacts:
    """What is said of each folder (and loose module) of a tree; "." speaks for all. `top` is the one folder,
    with its slash, that everything of an archive stands in."""

    place: Path
    name: str
    top: str = ""
    folders: dict[str, Facts] = field(default_factory=dict)
    reuse: dict[str, tuple[Annotation, ...]] = field(default_factory=dict)
    companions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Tree) -> TreeFacts:
        """Read a tree's metadata."""
        facts = cls(place=tree.place, name=tree.name)
        tops, modules = facts._read(tree)
        facts._read_referred_to(tree)
        if tree.root is not None:
            facts._add(".", facts_around(tree.root.resolve()))
            facts.folders["."] = facts_of_git(tree.root).filled_from(facts.folders["."])
            return facts
        top, said = tops.pop() if len(tops) == 1 else "", facts_of_archive_name(tree.place.name)
        if len(modules) == 1 and all(modules):
            top = modules.pop()
            said = facts_of_go_module(top)
        facts._add(".", said)
        facts.top = f"{top}/" if top else ""
        return facts

    def source(self, path: str, data: bytes, known: Facts = NOTHING) -> Source:
        """Where a file of the tree comes from; `known` counts before all that is said."""
        nearest = known
        for folder in _and_parents(path):
            nearest = nearest.filled_from(self.folders.get(folder, NOTHING))
        source = source_of(path, data, nearest, top=self.top, place=self.place, name=self.name)
        return self._with_licence_beside(source, path)

    def _with_licence_beside(self, source: Source, path: str) -> Source:
        """What `.license` files and REUSE.toml say of the file counts before what its folder says."""
        if (beside := self.companions.get(path)) is not None:
            return _detected(source, beside, f"{path}.license")
        own = source.license if source.evidence and source.evidence.detected_in == source.path else None
        for folder in _and_parents(path):
            for one in self.reuse.get(folder, ()):
                inner = path if folder == "." else path.removeprefix(f"{folder}/")
                if one.pattern.fullmatch(inner):
                    return _detected(source, one.with_own(own), f"{folder}/{REUSE_FILE}".removeprefix("./"))
        return source

    def _add(self, folder: str, said: Facts) -> None:
        self.folders[folder] = self.folders.get(folder, NOTHING).beside(said)

    def _read(self, tree: Tree) -> tuple[set[str], set[str]]:
        """Read metadata and licence files; the folders at the top, and the Go modules."""
        installed: dict[PurePosixPath, Facts] = {}  # by *.dist-info or *.egg-info
        contents: dict[PurePosixPath, set[str]] = {}
        tops: set[str] = set()
        modules: set[str] = set()
        for member in tree.members():
            path = PurePosixPath(member.path)
            tops.add(path.parts[0] if len(path.parts) > 1 else "")
            modules.add(_go_module(path))
            info = next((parent for parent in path.parents if parent.suffix in _INSTALLED_SUFFIXES), None)
            beside = path.name == REUSE_FILE or is_companion(member.path)
            wanted = beside or is_metadata(member.path) or (info is not None and path.name in INSTALLED_FILES)
            if not wanted or (data := member.read(MAX_METADATA_BYTES)) is None:
                continue
            if beside:
                self._read_beside(path, data)
            elif path.name in INSTALLED_FILES:
                contents.setdefault(info or path.parent, set()).update(installed_names(path.name, data))
            elif info is not None:
                installed[info] = installed.get(info, NOTHING).beside(facts_of_file(member.path, data))
            else:
                said = facts_of_file(member.path, data)
                if path.name != POM_FILE or self._is_pom_of(path, said):
                    self._add(_folder_of(path), said)
        for info, said in installed.items():
            # Many packages may be installed beside each other: one speaks only of what it lists as its own.
            for place in [info.parent / name for name in contents.get(info, ())] or [info.parent]:
                self._add(str(place), said)
        return tops, modules

    def _read_beside(self, path: PurePosixPath, data: bytes) -> None:
        if path.name == REUSE_FILE:
            self.reuse[str(path.parent)] = read_annotations(data.decode("utf-8", errors="replace"))
        elif licence := licence_of_header(data):
            self.companions[str(path).removesuffix(".license")] = licence

    def _is_pom_of(self, path: PurePosixPath, said: Facts) -> bool:
        """Whether a pom is the jar's own: a jar may hold those of what was put into it."""
        name = (said.package or "").rpartition(":")[2]
        return "META-INF" not in path.parts or self.place.name.startswith(f"{name}-")

    def _read_referred_to(self, tree: Tree) -> None:
        """Read the texts that metadata names and that are not called as licence files are."""
        wanted = {
            str(PurePosixPath(folder, said.licence.refers_to)): folder
            for folder, said in self.folders.items()
            if said.licence is not None and said.licence.refers_to is not None
        }
        if not wanted:
            return
        for member in tree.members():
            folder = wanted.get(member.path)
            if folder is not None and (data := member.read(MAX_METADATA_BYTES)) is not None:
                text = data.decode("utf-8", errors="replace")
                self._add(folder, Facts(licence=FolderLicence.of_text(member.path, text)))


def source_of(
    path: str, data: bytes, facts: Facts, *, place: Path, name: str | None = None, top: str = ""
) -> Source:
    """Of a file below `place`, which stands for its repository, under its name, where there is none."""
    is_repository_path = (
        facts.revision is not None and re.fullmatch(r"[0-9a-f]{40,64}", facts.revision) is not None
    )
    path = path.removeprefix(top)
    folder, header = facts.licence, licence_of_header(data)
    source = Source(
        repository=facts.repository or name or place.name,
        package=facts.package,
        origin=None if facts.repository else origin_of(str(place)),
        path=path,
        revision=facts.revision,
        license=None if folder is None else folder.expression,
        evidence=None if folder is None else folder.evidence,
        url=facts.url(path, is_repository_path=is_repository_path),
    )
    return source if header is None else _detected(source, header, path)


def _detected(source: Source, licence: str, where: str) -> Source:
    """A source with the licence that was found for this one file; its folder's declaration stays told."""
    told = source.evidence or LicenceEvidence()
    return replace(source, license=licence, evidence=replace(told, detected=licence, detected_in=where))


def facts_around(folder: Path) -> Facts:
    """What the folder and those above it say, up to the root of the working tree."""
    root = git_root(folder)
    facts = NOTHING
    for place in (folder, *folder.parents) if root is not None else (folder,):
        said = NOTHING
        for path in sorted(place.iterdir()):
            if path.is_file() and is_metadata(path.name) and path.stat().st_size <= MAX_METADATA_BYTES:
                said = said.beside(facts_of_file(path.name, path.read_bytes()))
        facts = facts.filled_from(said)
        if place == root:
            break
    return facts if root is None else facts_of_git(root).filled_from(facts)


def _and_parents(path: str) -> list[str]:
    place = PurePosixPath(path)
    return [str(one) for one in (place, *place.parents)]


def _folder_of(path: PurePosixPath) -> str:
    """The folder that a metadata file speaks for: in an archive's own folder, all of the archive."""
    parts = path.parts
    if parts[0] in _ARCHIVE_METADATA:
        return "."
    return str(path.parent.parent if path.parent.name in _ARCHIVE_METADATA else path.parent)


def _go_module(path: PurePosixPath) -> str:
    """The folder `module@version` that a file of a Go module's archive stands in; "" where there is none."""
    parts = next((n for n, part in enumerate(path.parts, start=1) if "@v" in part), 0)
    return "/".join(path.parts[:parts])
