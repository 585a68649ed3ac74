"""One task of one stage, as any executor runs it: a step of a datatrove pipeline.

Progress goes to a small file of each task, which whoever waits may add up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.corpus.stages.filter import filter_task
from training.corpus.stages.finish import finish_task
from training.corpus.stages.match import cluster_task, match_task
from training.corpus.stages.workspace import Stage, TaskProgress, Workspace
from training.corpus.stages.write import write_task

_TASKS: dict[Stage, Callable[[Workspace, int, TaskProgress], None]] = {
    Stage.FILTER: filter_task,
    Stage.MATCH: match_task,
    Stage.CLUSTER: cluster_task,
    Stage.WRITE: write_task,
    Stage.FINISH: finish_task,
}
_EVERY_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class StageStep:
    """What datatrove calls with a rank; it is pickled for other machines, hence only names."""

    folder: str
    stage: str

    def __call__(self, data: object, rank: int = 0, world_size: int = 1) -> None:
        """Run the task of this rank."""
        run_task(Workspace(Path(self.folder)), Stage(self.stage), rank)


def run_task(workspace: Workspace, stage: Stage, rank: int) -> None:
    """Run one task in this process."""
    progress = ProgressFile(workspace.folder / "progress" / f"{stage.value}-{rank:05d}")
    _TASKS[stage](workspace, rank, progress.add)
    progress.write()


class ProgressFile:
    """Counts what is done and writes it down twice a second."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._done = 0
        self._written_at = 0.0

    def add(self, amount: int) -> None:
        """Count."""
        self._done += amount
        now = time.monotonic()
        if now - self._written_at >= _EVERY_SECONDS:
            self._written_at = now
            self.write()

    def write(self) -> None:
        """Write the count down."""
        scratch = self._path.with_name(f".{self._path.name}")
        scratch.write_text(str(self._done), encoding="ascii")
        scratch.replace(self._path)


def done_so_far(workspace: Workspace, stage: Stage) -> int:
    """What all tasks of a stage have counted."""
    files = (workspace.folder / "progress").glob(f"{stage.value}-*")
    return sum(int(path.read_text(encoding="ascii")) for path in files)
