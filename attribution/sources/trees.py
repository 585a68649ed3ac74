"""Folders and archives as streams of files. Nothing is unpacked or run; nothing outside is read.

An archive's members are read into memory, each up to a limit, whatever its header promises.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from attribution.errors import SourceError
from attribution.sources.ignored import GitIgnored

_ZIPS = (".zip", ".whl", ".jar", ".aar", ".egg", ".nupkg")
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".crate", ".gem")
ARCHIVE_SUFFIXES = (*_ZIPS, *_TARS)
# In a gem, what the package holds.
_GEM_DATA = "data.tar.gz"
# What an archive may unpack to before it counts as a bomb.
MAX_ARCHIVE_BYTES = 16 << 30
MAX_ARCHIVE_MEMBERS = 2_000_000
# What zipfile and tarfile raise on a broken archive.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, NotImplementedError),
)
_NOT_REGULAR = "not a regular file"
_IGNORED = "ignored by git"
# Folders that hold nobody's sources: version control, caches, environments.
_SKIPPED_FOLDERS = frozenset({"__pycache__", "venv", "site-packages.egg-info"})


@dataclass(frozen=True, kw_only=True)
class TreeMember:
    """A regular file: its path with `/`, and how to read at most `limit` bytes of it (None: it has more)."""

    path: str
    read: Callable[[int], bytes | None]


class Tree(Protocol):
    """Files under one root, which can be gone through more than once."""

    name: str
    place: Path  # where it lies
    root: Path | None  # of a folder
    skipped: Counter[str]

    def members(self) -> Iterator[TreeMember]:
        """The files in a fixed order; what is not taken is counted in `skipped` by reason."""


def is_archive(path: Path) -> bool:
    """Whether a file's name is an archive's."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


class FolderTree:
    """A folder. Hidden folders, symbolic links and other file systems' oddities are left out."""

    def __init__(self, root: Path) -> None:
        self.place = root.resolve()
        self.name = self.place.name
        self.root: Path | None = root
        self._root = root
        self.skipped: Counter[str] = Counter()

    def members(self) -> Iterator[TreeMember]:
        """Files by path."""
        ignored = GitIgnored(self._root)
        for folder, folders, files in os.walk(self._root):
            ignored.enter(folder)
            folders[:] = [name for name in sorted(folders) if not self._is_left_out(ignored, name)]
            for name in sorted(files):
                if ignored.has(name, is_folder=False):
                    self.skipped[_IGNORED] += 1
                    continue
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    self.skipped[_NOT_REGULAR] += 1
                else:
                    inner = path.relative_to(self._root).as_posix()
                    yield TreeMember(path=printable(inner), read=_file_reader(path))

    def _is_left_out(self, ignored: GitIgnored, folder: str) -> bool:
        if folder.startswith(".") or folder in _SKIPPED_FOLDERS:
            return True
        is_ignored = ignored.has(folder, is_folder=True)
        if is_ignored:
            self.skipped[_IGNORED] += 1
        return is_ignored


class ArchiveTree:
    """A zip or tar archive."""

    def __init__(self, archive: Path) -> None:
        self.name = _stem(archive.name)
        self.place = archive.resolve()
        self.root: Path | None = None
        self._archive = archive
        self.skipped: Counter[str] = Counter()

    def members(self) -> Iterator[TreeMember]:
        """Files in the archive's order; raises `SourceError` on a broken archive or a bomb."""
        name = self._archive.name.lower()
        try:
            yield from self._zip() if name.endswith(_ZIPS) else self._tar()
        except _DAMAGE as error:
            raise SourceError(f"{self._archive}: cannot read this archive: {error}") from error

    def _reader(self, path: str, open_member: Callable[[], IO[bytes]]) -> Callable[[int], bytes | None]:
        """Reads a member on demand; damage may show only then."""

        def read(limit: int) -> bytes | None:
            try:
                return _take(open_member(), limit)
            except _DAMAGE as error:
                raise SourceError(f"{self._archive}: cannot read {path} in this archive: {error}") from error

        return read

    def _zip(self) -> Iterator[TreeMember]:
        with zipfile.ZipFile(self._archive) as bundle:
            infos = [info for info in bundle.infolist() if not info.is_dir()]
            self._check(len(infos), sum(info.file_size for info in infos))
            for info in infos:
                if info.flag_bits & 1:
                    self.skipped["encrypted"] += 1
                elif stat.S_ISLNK(info.external_attr >> 16):
                    self.skipped[_NOT_REGULAR] += 1
                elif self._is_inside(info.filename):
                    read = self._reader(info.filename, partial(bundle.open, info))
                    yield TreeMember(path=info.filename, read=read)

    def _tar(self) -> Iterator[TreeMember]:
        members, size = 0, 0
        with self._opened_tar() as bundle:
            for info in bundle:
                members, size = members + 1, size + info.size
                # Before its bytes are gone through: a bomb is not unpacked to be measured.
                self._check(members, size)
                if not info.isreg():
                    if not info.isdir():
                        self.skipped[_NOT_REGULAR] += 1
                elif self._is_inside(info.name):
                    stream = bundle.extractfile(info)
                    if stream is not None:
                        path = str(PurePosixPath(info.name))
                        yield TreeMember(path=path, read=self._reader(path, partial(_same, stream)))

    @contextmanager
    def _opened_tar(self) -> Iterator[tarfile.TarFile]:
        """The archive as a stream: of a gem the one in it, of Zstandard's what it unpacks to."""
        name = self._archive.name.lower()
        if name.endswith(".tar.zst"):
            import zstandard

            with (
                self._archive.open("rb") as packed,
                zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream,
                tarfile.open(fileobj=stream, mode="r|") as bundle,
            ):
                yield bundle
        elif name.endswith(".gem"):
            with tarfile.open(self._archive) as gem:
                data = gem.extractfile(_GEM_DATA)
                if data is None:
                    raise tarfile.ReadError(f"it has no {_GEM_DATA}")
                with tarfile.open(fileobj=data, mode="r|gz") as bundle:
                    yield bundle
        else:
            with tarfile.open(self._archive, mode="r|*") as bundle:
                yield bundle

    def _check(self, members: int, size: int) -> None:
        if members > MAX_ARCHIVE_MEMBERS or size > MAX_ARCHIVE_BYTES:
            raise SourceError(
                f"{self._archive}: unpacks to more than {MAX_ARCHIVE_BYTES >> 30} GiB or "
                f"{MAX_ARCHIVE_MEMBERS:,} files; unpack it yourself and index the folder if that is right"
            )

    def _is_inside(self, name: str) -> bool:
        path = PurePosixPath(name)
        inside = (
            not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name[:2]
        )
        if not inside:
            self.skipped["its path leads out of the archive"] += 1
        return inside


def printable(path: str) -> str:
    """A path as text that any store takes: bytes that are not UTF-8 are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _file_reader(path: Path) -> Callable[[int], bytes | None]:
    return lambda limit: _take(path.open("rb"), limit)


def _same(stream: IO[bytes]) -> IO[bytes]:
    return stream


def _take(stream: IO[bytes], limit: int) -> bytes | None:
    """All of a stream if it has at most `limit` bytes."""
    with stream:
        data = stream.read(limit + 1)
    return None if len(data) > limit else data


def _stem(name: str) -> str:
    suffix = next(
        suffix for suffix in sorted(ARCHIVE_SUFFIXES, key=len)[::-1] if name.lower().endswith(suffix)
    )
    return name[: -len(suffix)]
