"""Where a build keeps its plan and what its stages hand to one another.

Every task writes into a scratch folder that takes its final name when the task is done, so that a
killed task leaves nothing that the next run could mistake for a result.

    plan.json · filtered/RANK · pairs/BAND.npy · fates/RANK.npy · written/RANK · logs/STAGE
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.local.own_folder import first_foreign
from training.corpus.errors import CorpusError
from training.corpus.filters.near_duplicates import BANDS
from training.corpus.filters.options import BuildOptions
from training.corpus.records.document import COMMITS, ISSUES, NOTEBOOKS, SCRIPTS
from training.corpus.records.units import Unit

# Told how far a task is, in the unit of its stage.
TaskProgress = Callable[[int], None]
PLAN_FILE = "plan.json"
PLAN_VERSION = 1
REPORT_FILE = "report.json"
# One row a document, in the order of its task's documents.
FACTS = np.dtype(
    [("digest", "<u8", 2), ("bytes", "<u4"), ("language", "<u2"), ("is_held_out", "?"), ("is_compared", "?")]
)


class Stage(StrEnum):
    """The stages in their order; a stage's tasks need all of the one before."""

    FILTER = "filter"
    MATCH = "match"
    CLUSTER = "cluster"
    WRITE = "write"
    FINISH = "finish"


class Fate(IntEnum):
    """What the duplicates of a document, and its language's weight, decide about it."""

    KEPT = 0
    DUPLICATE = 1
    NEAR_DUPLICATE = 2
    OVER_WEIGHT = 3


@dataclass(frozen=True, kw_only=True)
class CorpusPlan:
    """What a build is to do; the same plan in a work folder means: go on.

    `sources` are what the user named, for the datasheet; `tasks` are runs of numbers of units.
    """

    name: str
    out_dir: Path
    sources: tuple[str, ...]
    options: BuildOptions
    units: tuple[Unit, ...]
    tasks: tuple[tuple[int, ...], ...]
    tokenizer: Path | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "version": PLAN_VERSION,
            "name": self.name,
            "out_dir": str(self.out_dir),
            "sources": list(self.sources),
            "options": self.options.to_plain(),
            "units": [unit.to_plain() for unit in self.units],
            "tasks": [list(task) for task in self.tasks],
            "tokenizer": None if self.tokenizer is None else str(self.tokenizer),
        }

    @classmethod
    def from_plain(cls, raw: dict[str, Any]) -> CorpusPlan:
        """The inverse of `to_plain`."""
        return cls(
            name=raw["name"],
            out_dir=Path(raw["out_dir"]),
            sources=tuple(raw["sources"]),
            options=BuildOptions.from_plain(raw["options"]),
            units=tuple(Unit.from_plain(unit) for unit in raw["units"]),
            tasks=tuple(tuple(task) for task in raw["tasks"]),
            tokenizer=None if raw["tokenizer"] is None else Path(raw["tokenizer"]),
        )


class Workspace:
    """The folder of one build's intermediate results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begun(cls, folder: Path, plan: CorpusPlan) -> Workspace:
        """Begin a build here, or go on with the one that was begun with the same plan.

        Raises CorpusError when the folder is of another plan.
        """
        text = json.dumps(plan.to_plain(), indent=1, sort_keys=True) + "\n"
        path = folder / PLAN_FILE
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise CorpusError(
                f"{folder} holds an unfinished build of other sources or options; "
                f"finish it with the same command as then, or remove that folder"
            )
        if not path.is_file() and (foreign := first_foreign(folder, (f".{PLAN_FILE}-*",))) is not None:
            raise CorpusError(
                f"{folder} holds {foreign.name} and no unfinished build, which would be made there: move it"
            )
        folder.mkdir(parents=True, exist_ok=True)
        workspace = cls(folder)
        if not path.is_file():
            with workspace.replacing(path) as scratch:
                scratch.write_text(text, encoding="utf-8")
        return workspace

    @cached_property
    def plan(self) -> CorpusPlan:
        """The plan of the build."""
        return CorpusPlan.from_plain(json.loads((self.folder / PLAN_FILE).read_text(encoding="utf-8")))

    @cached_property
    def languages(self) -> Sequence[str]:
        """Every language that a document can have; `FACTS` holds numbers of this list."""
        return (*self.plan.options.languages.languages(), ISSUES, COMMITS, NOTEBOOKS, SCRIPTS)

    def tasks(self, stage: Stage) -> int:
        """How many tasks a stage has; of MATCH the last is that of exact duplicates."""
        of_stage = {
            Stage.FILTER: len(self.plan.tasks),
            Stage.WRITE: len(self.plan.tasks),
            Stage.MATCH: BANDS + 1,
        }
        return of_stage.get(stage, 1)

    def filtered(self, rank: int) -> Path:
        """The folder of a filter task: documents, facts, signatures, report."""
        return self.folder / "filtered" / f"{rank:05d}"

    def pairs(self, band: int) -> Path:
        """The file of a match task: pairs of documents."""
        return self.folder / "pairs" / f"{band:02d}.npy"

    def fates(self, rank: int) -> Path:
        """The file with a `Fate` for each document of a filter task."""
        return self.folder / "fates" / f"{rank:05d}.npy"

    @property
    def clusters(self) -> Path:
        """The file with the sizes of clusters and what it took."""
        return self.folder / "clusters.json"

    def written(self, rank: int) -> Path:
        """The folder of a write task: parts of shards, index, report."""
        return self.folder / "written" / f"{rank:05d}"

    def logs(self, stage: Stage) -> Path:
        """datatrove's own folder: which tasks are done, logs."""
        return self.folder / "logs" / stage.value

    def facts(self, rank: int) -> npt.NDArray[Any]:
        """The facts of a task's documents, `FACTS` [D]."""
        return np.fromfile(self.filtered(rank) / "facts.bin", dtype=FACTS)

    @contextmanager
    def replacing(self, target: Path) -> Iterator[Path]:
        """A scratch path that takes the target's place when the block ends well, else is removed."""
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}-{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield scratch
            if target.is_dir():  # of a task that was killed between here and its mark of completion
                shutil.rmtree(target)
            os.replace(scratch, target)
        finally:
            if scratch.is_dir():
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                scratch.unlink(missing_ok=True)
