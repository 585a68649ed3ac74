"""From what a user names as a source to documents: folders, archives, tables, manifests, datasets.

What is not taken in is counted by reason, never dropped in silence.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from attribution.errors import InputError, SourceError
from attribution.source import Source, SourceDocument
from attribution.sources.decoding import DecodedText, cell_path, pieces_of
from attribution.sources.licences import licence_of_header
from attribution.sources.manifest import Manifest, Package
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
)
from attribution.sources.tables import is_table, read_dataset, read_table
from attribution.sources.trees import ArchiveTree, FolderTree, Tree, is_archive, printable
from model.local.secret_files import is_secret

# Larger files are data or generated.
MAX_DOCUMENT_BYTES = 4 << 20
# `OWNER/NAME`, or with a folder of it, as The Stack has one a language: `hf:OWNER/NAME/data/python`.
DATASET = re.compile(
    r"(?P<hub>hf:)?(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?(hub)(?:/(?P<folder>[\w./-]+))?)"
    r"(@(?P<revision>[\w./-]+))?"
)
# Source code compresses to about a quarter; enough for telling the time left.
_COMPRESSION = 4
_COMPRESSED = frozenset({".gz", ".tgz", ".zst", ".bz2", ".xz", ".zip", ".whl", ".jar", ".crate", ".parquet"})
# Folders of an egg or a jar that speak for all of it.
_ARCHIVE_METADATA = frozenset({"EGG-INFO", "META-INF"})
_SKIPPED_FILES = re.compile(r"\.min\.(js|css)$|\.map$|(^|/)(package-lock\.json|yarn\.lock|poetry\.lock)$")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What to read. `packages` is the folder with the archives that a manifest names."""

    names: Sequence[str]
    packages: Path | None = None

    def documents(self, skipped: Counter[str]) -> Iterator[SourceDocument]:
        """All documents, source by source; counts into `skipped` what is left out, by reason."""
        for name in self.names:
            yield from indexable(read_source(name, skipped, packages=self.packages), skipped)

    def check(self) -> None:
        """Raises `SourceError` on a name that can be nothing; before an index is made for it."""
        for name in self.names:
            if not Path(name).expanduser().exists() and DATASET.fullmatch(name) is None:
                raise _no_source(name)

    def total_bytes(self) -> int | None:
        """About how much text there is, for a progress bar; None where nobody knows."""
        paths = [Path(name).expanduser() for name in self.names]
        known = all(path.exists() and path.suffix != ".toml" for path in paths)
        return sum(map(_text_bytes, paths)) if known else None


def read_source(
    name: str, skipped: Counter[str], *, packages: Path | None = None
) -> Iterator[SourceDocument]:
    """The documents of one source. Raises `SourceError`."""
    path = Path(name).expanduser()
    if path.exists() and is_secret(path.resolve(), is_folder=path.is_dir()):
        raise SourceError(f"{name}: secret files are never read: name another file or folder")
    if path.is_dir():
        tables = sorted(entry for entry in path.iterdir() if is_table(entry))
        if tables:  # a folder of shards
            for table in tables:
                yield from read_table(table)
        else:
            yield from read_tree(FolderTree(path), skipped)
    elif path.is_file():
        yield from _read_file(path, skipped, packages)
    elif (dataset := DATASET.fullmatch(name)) is not None:
        yield from read_dataset(dataset["name"], folder=dataset["folder"], revision=dataset["revision"])
    else:
        raise _no_source(name)


def _no_source(name: str) -> SourceError:
    return SourceError(
        f"{name}: no such file or folder, and not the id of a dataset (OWNER/NAME, or hf:OWNER/NAME/FOLDER); "
        "check the spelling"
    )


def _read_file(path: Path, skipped: Counter[str], packages: Path | None) -> Iterator[SourceDocument]:
    if is_table(path):
        yield from read_table(path)
    elif is_archive(path):
        yield from read_tree(ArchiveTree(path), skipped)
    elif path.suffix == ".toml":
        yield from read_manifest(path, skipped, packages)
    else:
        data = path.read_bytes()
        facts = facts_around(path.resolve().parent)
        yield SourceDocument(source=_source(path.name, data, facts, place=path.resolve().parent), text=data)


def indexable(documents: Iterable[SourceDocument], skipped: Counter[str]) -> Iterator[SourceDocument]:
    """The documents as they are compared: in UTF-8, notebooks cell by cell; counts what is left out."""
    for document in documents:
        try:
            texts = list(pieces_of(document.source.path, document.text))
        except InputError:
            skipped["in an encoding that cannot be read"] += 1
            continue
        for part in (_part(document, text) for text in texts):
            reason = why_not(part)
            if reason is None:
                yield part
            else:
                skipped[reason] += 1


def _part(document: SourceDocument, text: DecodedText) -> SourceDocument:
    if text.cell is None:
        return document if text.text is document.text else replace(document, text=text.text)
    source = replace(document.source, path=cell_path(document.source.path, text.cell))
    return SourceDocument(source=source, text=text.text)


def why_not(document: SourceDocument) -> str | None:
    """Why a document is not worth indexing."""
    if len(document.text) > MAX_DOCUMENT_BYTES:
        return f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"
    if b"\0" in document.text[:8192]:
        return "binary"
    if _SKIPPED_FILES.search(document.source.path):
        return "minified, or a lock file"
    return None


def read_tree(tree: Tree, skipped: Counter[str], known: Facts = NOTHING) -> Iterator[SourceDocument]:
    """The files of a folder or archive, with what it says about them; `known` says it for all."""
    facts, top = _facts_of_tree(tree)
    tree.skipped.clear()
    for member in tree.members():
        if is_secret(PurePosixPath(member.path)):
            skipped["a secret file"] += 1
            continue
        data = member.read(MAX_DOCUMENT_BYTES)
        if data is None:
            skipped[f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB"] += 1
            continue
        nearest, place = known, PurePosixPath(member.path)
        for folder in (place, *place.parents):
            nearest = nearest.filled_from(facts.get(str(folder), NOTHING))
        path = member.path.removeprefix(top)
        yield SourceDocument(source=_source(path, data, nearest, place=tree.place, name=tree.name), text=data)
    skipped.update(tree.skipped)


def _source(path: str, data: bytes, facts: Facts, *, place: Path, name: str | None = None) -> Source:
    """Of a file below `place`, which stands for its repository, under its name, where there is none."""
    is_repository_path = (
        facts.revision is not None and re.fullmatch(r"[0-9a-f]{40,64}", facts.revision) is not None
    )
    return Source(
        repository=facts.repository or name or place.name,
        package=facts.package,
        origin=None if facts.repository else printable(str(place)),
        path=path,
        revision=facts.revision,
        license=licence_of_header(data) or facts.license,
        url=facts.url(path, is_repository_path=is_repository_path),
    )


def _facts_of_tree(tree: Tree) -> tuple[dict[str, Facts], str]:
    """What is said of each folder (and loose module) of a tree, and the one folder that everything of an
    archive stands in."""
    facts: dict[str, Facts] = {}
    installed: dict[PurePosixPath, Facts] = {}  # by *.dist-info or *.egg-info
    contents: dict[PurePosixPath, set[str]] = {}
    tops: set[str] = set()
    modules: set[str] = set()
    for member in tree.members():
        path = PurePosixPath(member.path)
        tops.add(path.parts[0] if len(path.parts) > 1 else "")
        modules.add(_go_module(path))
        of_package = path.parent.suffix in {".egg-info", ".dist-info"}
        wanted = is_metadata(member.path) or (of_package and path.name in INSTALLED_FILES)
        if not wanted or (data := member.read(MAX_METADATA_BYTES)) is None:
            continue
        if path.name in INSTALLED_FILES:
            contents.setdefault(path.parent, set()).update(installed_names(path.name, data))
        elif of_package:
            known = installed.get(path.parent, NOTHING)
            installed[path.parent] = known.filled_from(facts_of_file(member.path, data))
        else:
            of_archive = path.parent.name in _ARCHIVE_METADATA
            folder = str(path.parent.parent if of_archive else path.parent)
            facts[folder] = facts.get(folder, NOTHING).filled_from(facts_of_file(member.path, data))
    for info, said in installed.items():
        # Many packages may be installed beside each other: one speaks only of what it lists as its own.
        for place in [info.parent / name for name in contents.get(info, ())] or [info.parent]:
            facts[str(place)] = facts.get(str(place), NOTHING).filled_from(said)
    if tree.root is not None:
        facts["."] = (
            facts_of_git(tree.root)
            .filled_from(facts.get(".", NOTHING))
            .filled_from(facts_around(tree.root.resolve()))
        )
        return facts, ""
    top = tops.pop() if len(tops) == 1 else ""
    said = facts_of_archive_name(tree.place.name)
    if len(modules) == 1 and all(modules):
        top = modules.pop()
        said = facts_of_go_module(top)
    facts["."] = facts.get(".", NOTHING).filled_from(said)
    return facts, f"{top}/" if top else ""


def _go_module(path: PurePosixPath) -> str:
    """The folder `module@version` that a file of a Go module's archive stands in; "" where there is none."""
    parts = next((n for n, part in enumerate(path.parts, start=1) if "@v" in part), 0)
    return "/".join(path.parts[:parts])


def facts_around(folder: Path) -> Facts:
    """What the folder and those above it say, up to the root of the working tree."""
    root = git_root(folder)
    facts = NOTHING
    for place in (folder, *folder.parents) if root is not None else (folder,):
        for path in sorted(place.iterdir()):
            if path.is_file() and is_metadata(path.name) and path.stat().st_size <= MAX_METADATA_BYTES:
                facts = facts.filled_from(facts_of_file(path.name, path.read_bytes()))
        if place == root:
            break
    return facts if root is None else facts_of_git(root).filled_from(facts)


def read_manifest(path: Path, skipped: Counter[str], packages: Path | None) -> Iterator[SourceDocument]:
    """The selected files of the archives that a corpus manifest names."""
    if packages is None:
        raise SourceError(f"{path}: a manifest needs the folder of its packages; name it with --packages")
    for package in Manifest.load(path).packages:
        yield from _of_package(package, path, packages, skipped)


def _of_package(
    package: Package, manifest: Path, packages: Path, skipped: Counter[str]
) -> Iterator[SourceDocument]:
    archive = package.archive_in(packages)
    if not archive.is_file():
        raise SourceError(
            f"{manifest}: {archive} is not there; fetch it with `python -I -m training.corpus fetch`"
        )
    with archive.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
            raise SourceError(f"{archive}: not the file that {manifest} names; delete it and fetch it again")
    known = Facts(repository=package.repository, revision=package.identity, web=package.web)
    for document in read_tree(ArchiveTree(archive), skipped, known):
        if package.selects(document.source.path):
            # The manifest's licence was checked by a person; a header's is not of the whole package.
            named = f"{package.ecosystem}:{package.name}"
            yield replace(document, source=replace(document.source, license=package.license, package=named))


def _text_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(_text_bytes(entry) for entry in path.rglob("*") if entry.is_file())
    compressed = path.suffix in _COMPRESSED
    return path.stat().st_size * (_COMPRESSION if compressed else 1)
