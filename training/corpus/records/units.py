"""What the user names as sources, cut into parts that tasks can read on their own.

A unit is one package of a manifest, one folder (of a folder of git checkouts, one checkout), one
archive, one table, one streamed data set, or one file. Tasks are runs of units of about the same
size. Both depend on the sources alone, so that a corpus is the same for any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from attribution.sources.ingest import DATASET
from attribution.sources.manifest import Ecosystem, Manifest, Package, Split
from attribution.sources.tables import is_table
from attribution.sources.trees import is_archive
from training.corpus.errors import CorpusError

# Packed files hold about so many times their size in text.
_PACKED = {".jsonl": 1, ".ndjson": 1, ".tar": 1}
_PACKED_FACTOR = 4
_LEAST_TASK_BYTES = 8_000_000
_MOST_TASK_BYTES = 1_000_000_000
_TASKS_WANTED = 64


class UnitKind(StrEnum):
    """How a unit is read."""

    PACKAGE = "package"
    FOLDER = "folder"
    ARCHIVE = "archive"
    TABLE = "table"
    DATASET = "dataset"
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """`name` is a path, or a data set's id; `text_bytes` an estimate, 0 where nobody knows.

    `split` is set where the user or the manifest decides it.
    """

    kind: UnitKind
    name: str
    text_bytes: int
    split: Split | None = None
    package: Package | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Unit:
        """The inverse of `to_plain`."""
        split = Split(raw["split"]) if raw["split"] else None
        package = _package(raw["package"]) if raw["package"] else None
        values = {**raw, "kind": UnitKind(raw["kind"]), "split": split, "package": package}
        return cls(**values)


def units_of(
    names: Sequence[str], *, packages: Path, held_out: Sequence[str] = (), manifests: Mapping[str, Manifest]
) -> list[Unit]:
    """All units of the named sources, those that are held out first; raises CorpusError.

    `packages` is the folder of fetched archives, `manifests` the manifests among the names.
    """
    units = [unit for name in names for unit in _of_source(name, packages, manifests)]
    units += [
        replace(unit, split=Split.HELD_OUT)
        for name in held_out
        for unit in _of_source(name, packages, manifests)
    ]
    return sorted(units, key=lambda unit: unit.split is not Split.HELD_OUT)  # stable: the order else stays


def tasks_of(units: Sequence[Unit], wanted: int | None = None) -> list[list[int]]:
    """Runs of unit numbers, each of about the same number of bytes; `wanted` tasks, or what fits."""
    total = sum(unit.text_bytes for unit in units)
    if wanted is not None:
        most = max(1, total // wanted)
    else:
        most = min(max(total // _TASKS_WANTED, _LEAST_TASK_BYTES), _MOST_TASK_BYTES)
    tasks: list[list[int]] = []
    size = 0
    for number, unit in enumerate(units):
        if not tasks or size + unit.text_bytes > most:
            tasks.append([])
            size = 0
        tasks[-1].append(number)
        size += unit.text_bytes or most  # what is streamed may be large: a task of its own
    return tasks


def _of_source(name: str, packages: Path, manifests: Mapping[str, Manifest]) -> Iterator[Unit]:
    path = Path(name).expanduser().absolute()  # a task may run in another folder
    if name in manifests:
        yield from (_of_package(package, packages) for package in manifests[name].packages)
    elif path.is_dir():
        yield from _of_folder(path)
    elif path.is_file():
        yield _of_file(path)
    elif DATASET.fullmatch(name) is not None:
        yield Unit(kind=UnitKind.DATASET, name=name, text_bytes=0)
    else:
        raise CorpusError(
            f"{name}: no such file or folder, and not the id of a data set (OWNER/NAME, or "
            "hf:OWNER/NAME/FOLDER); check the spelling"
        )


def dataset_place(name: str) -> tuple[str, str | None, str | None]:
    """(id, folder, revision) of a data set's unit."""
    found = DATASET.fullmatch(name)
    assert found is not None, "units_of made this name"
    return found["name"], found["folder"], found["revision"]


def _of_package(package: Package, packages: Path) -> Unit:
    path = package.archive_in(packages)
    if not path.is_file():
        raise CorpusError(f"{package.identity}: {path} is not there; fetch the manifest first")
    return Unit(
        kind=UnitKind.PACKAGE,
        name=str(path),
        text_bytes=path.stat().st_size * _PACKED_FACTOR,
        split=package.split,
        package=package,
    )


def _of_folder(folder: Path) -> Iterator[Unit]:
    entries = sorted(folder.iterdir())
    if any(is_table(entry) for entry in entries):
        yield from (_of_file(entry) for entry in entries if is_table(entry))
    elif not (folder / ".git").exists() and any((entry / ".git").exists() for entry in entries):
        for entry in entries:
            if entry.is_dir():
                yield Unit(kind=UnitKind.FOLDER, name=str(entry), text_bytes=_folder_bytes(entry))
            elif entry.is_file():
                yield _of_file(entry)
    else:
        yield Unit(kind=UnitKind.FOLDER, name=str(folder), text_bytes=_folder_bytes(folder))


def _of_file(path: Path) -> Unit:
    kind = UnitKind.TABLE if is_table(path) else UnitKind.ARCHIVE if is_archive(path) else UnitKind.FILE
    factor = 1 if kind is UnitKind.FILE else _PACKED.get(path.suffix.lower(), _PACKED_FACTOR)
    return Unit(kind=kind, name=str(path), text_bytes=path.stat().st_size * factor)


def _folder_bytes(folder: Path) -> int:
    files = (entry for entry in folder.rglob("*") if ".git" not in entry.parts)
    return sum(entry.stat().st_size for entry in files if entry.is_file() and not entry.is_symlink())


def _package(raw: Mapping[str, Any]) -> Package:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
    }
    return Package(**{**values, "ecosystem": Ecosystem(raw["ecosystem"]), "split": Split(raw["split"])})
