"""Reads the members of a wheel or an npm tarball in memory: nothing is unpacked or executed."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.corpus.errors import IntegrityError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """One regular file of an archive; `data` is None when it is larger than the reader's limit."""

    path: str
    size_bytes: int
    data: bytes | None


def read_members(archive: Path, *, max_member_bytes: int) -> Iterator[ArchiveMember]:
    """Yield the regular files in the archive's own (pinned, hence reproducible) order.

    npm puts everything under one top folder, mostly `package/`; it is cut off. Raises
    IntegrityError on a file that is not a readable zip or tar archive.
    """
    try:
        if archive.suffix in {".whl", ".zip"}:
            yield from _zip_members(archive, max_member_bytes)
        else:
            yield from _tar_members(archive, max_member_bytes)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise IntegrityError(
            f"{archive}: not a readable archive: {error}; delete it and fetch again"
        ) from error


def _zip_members(archive: Path, max_member_bytes: int) -> Iterator[ArchiveMember]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if not info.is_dir():
                data = bundle.read(info) if info.file_size <= max_member_bytes else None
                yield ArchiveMember(path=info.filename, size_bytes=info.file_size, data=data)


def _tar_members(archive: Path, max_member_bytes: int) -> Iterator[ArchiveMember]:
    with tarfile.open(archive, mode="r|*") as bundle:
        for info in bundle:
            if info.isreg():
                stream = bundle.extractfile(info) if info.size <= max_member_bytes else None
                path = str(PurePosixPath(*PurePosixPath(info.name).parts[1:]))
                yield ArchiveMember(
                    path=path, size_bytes=info.size, data=None if stream is None else stream.read()
                )
