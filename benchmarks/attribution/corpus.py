"""Real source code to index, and other code that is held out, from whatever a machine has.

What is taken depends only on the files: a repository (a package, or a folder below one of the
sources) is held out by a hash of its name, and files are taken in the order of a hash of their path,
so that a smaller corpus is a fair sample of a larger one. Files of equal content count once.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attribution.source import Source, SourceDocument
from attribution.sources.ingest import Sources, why_not

SUFFIX = re.compile(
    r"\.(pyi?|[mc]?js|[jt]sx?|vue|go|rs|java|kt|scala|swift|cs|c|h|cc|hh|[ch](pp|xx)|cuh?|rb|php|p[lm]|sh|lua|r|jl|hs|ml|"
    r"el|tcl|vim|sql|s?css|cmake|s)",
    re.IGNORECASE,
)
# One repository in ten is held out, and of those a tenth of what is indexed is read.
_HELD_OUT_OF_256 = 26
_HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Documents to index, in an order in which every beginning is a fair sample, and others."""

    indexed: list[SourceDocument]
    held_out: list[SourceDocument]
    sources: list[str]

    def first(self, megabytes: float) -> list[SourceDocument]:
        """The first documents of about so many megabytes."""
        return list(_cut(self.indexed, megabytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A file that is not read yet, unless it had to be."""

    repository: str
    path: str
    read: Callable[[], SourceDocument]

    @property
    def order(self) -> bytes:
        return hashlib.sha256(f"{self.repository}\0{self.path}".encode(errors="surrogateescape")).digest()

    @property
    def is_held_out(self) -> bool:
        return hashlib.sha256(self.repository.encode(errors="surrogateescape")).digest()[0] < _HELD_OUT_OF_256


def default_sources() -> list[str]:
    """Where machines keep source code; those folders that are there."""
    paths = sysconfig.get_paths()
    found = [Path(paths[name]) for name in ("stdlib", "purelib", "platlib")]
    found += [Path(__file__).resolve().parents[2] / "extension" / "node_modules"]
    found += [Path("/usr") / part for part in ("lib/python3", "share", "include", "src")]
    found += [Path("/usr") / part / "node_modules" for part in ("lib", "local/lib")]
    if (go := shutil.which("go")) is not None:
        found.append(Path(go).resolve().parents[1] / "src")
    for pattern in (".rustup/toolchains/*/lib/rustlib/src", ".cargo/registry/src/*", "go/pkg/mod/*"):
        found += sorted(Path.home().glob(pattern))
    return list(dict.fromkeys(str(path.resolve()) for path in found if path.is_dir()))


def read_corpus(sources: Sequence[str], megabytes: float) -> Corpus:
    """About so many megabytes to index, and a tenth of that to hold out. Raises `SourceError`.

    Folders are walked for files with a `SUFFIX`; anything else is read as `starcoder-lsp index build` does.
    """
    candidates = [one for name in sources for one in _candidates(name)]
    candidates.sort(key=lambda one: one.order)
    seen: set[bytes] = set()
    held_out = (one.read() for one in candidates if one.is_held_out)
    indexed = (one.read() for one in candidates if not one.is_held_out)
    return Corpus(
        # First, so that the same code is never in both.
        held_out=list(_cut(_usable(held_out, seen), megabytes * _HELD_OUT_SHARE)),
        indexed=list(_cut(_usable(indexed, seen), megabytes)),
        sources=list(sources),
    )


def _candidates(name: str) -> Iterator[_Candidate]:
    if Path(name).is_dir():
        yield from _files(Path(name))
        return
    for document in Sources(names=[name]).documents(Counter()):
        source = document.source
        if SUFFIX.fullmatch(Path(source.path).suffix):
            yield _Candidate(repository=source.repository, path=source.path, read=partial(_same, document))


def _same(document: SourceDocument) -> SourceDocument:
    return document


def _files(root: Path) -> Iterator[_Candidate]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            file = Path(folder, name)
            if SUFFIX.fullmatch(file.suffix) and not file.is_symlink():
                inner = file.relative_to(root).as_posix()
                # A package of several is a repository of its own.
                repository = f"{root.parent.name}-{root.name}/{inner.split('/')[0]}"
                yield _Candidate(
                    repository=repository, path=inner, read=partial(_document, file, repository, inner)
                )


def _document(file: Path, repository: str, path: str) -> SourceDocument:
    """A file with such a source as packages have: what is remembered of it takes its place on the disk."""
    web = f"https://github.com/{repository}"
    source = Source(repository=repository, path=path, revision="1.2.3", license="Apache-2.0", url=web)
    return SourceDocument(source=source, text=file.read_bytes())


def _usable(documents: Iterable[SourceDocument], seen: set[bytes]) -> Iterator[SourceDocument]:
    for document in documents:
        # Of what stands in several places, or has the same name in two of the sources, the first.
        known = {document.key, repr(document.source.sort_key).encode()}
        if document.text and why_not(document) is None and seen.isdisjoint(known):
            seen |= known
            yield document


def _cut(documents: Iterable[SourceDocument], megabytes: float) -> Iterator[SourceDocument]:
    size = 0
    for document in documents:
        size += len(document.text)
        yield document
        if size >= megabytes * 1e6:
            return
