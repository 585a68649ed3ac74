"""Where the tasks run: on this machine, on a Ray cluster, or under Slurm, by datatrove's executors.

datatrove keeps which tasks are done (`logs/STAGE/completions`), so that the same command goes on
after a crash; a Slurm run is submitted as a chain of job arrays, each waiting for the one before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from training.corpus.errors import CorpusError
from training.corpus.stages.tasks import StageStep, done_so_far
from training.corpus.stages.workspace import Stage, Workspace

# (stage, amount done, amount there is or 0 where nobody knows)
StageProgress = Callable[[Stage, int, int], None]
_POLL_SECONDS = 0.25
# Of the Slurm settings, what datatrove takes; the rest are sbatch's options.
_OF_DATATROVE = ("partition", "time", "qos", "venv_path", "condaenv", "env_command")
_NUMBERS_OF_DATATROVE = ("tasks_per_job", "cpus_per_task", "max_array_size")


class ExecutorKind(StrEnum):
    """The executors there are."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


@dataclass(frozen=True, kw_only=True)
class Execution:
    """`workers` tasks at once. `settings` go to the Slurm executor: `partition`, `time`, `qos`, …"""

    kind: ExecutorKind = ExecutorKind.LOCAL
    workers: int = 1
    memory_gb: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise CorpusError(f"workers {self.workers} must be at least 1")
        if self.kind is ExecutorKind.SLURM and not {"partition", "time"} <= self.settings.keys():
            raise CorpusError("Slurm needs --slurm partition=NAME and --slurm time=HH:MM:SS")
        for key in _NUMBERS_OF_DATATROVE:
            if not self.settings.get(key, "1").isdecimal():
                raise CorpusError(f"--slurm {key}={self.settings[key]}: expected a whole number")


def run_stages(workspace: Workspace, execution: Execution, progress: StageProgress) -> bool:
    """Run every stage, or submit them to Slurm; returns whether the corpus is there now.

    Asked again when Slurm's jobs are done, it is.
    """
    _silence()
    if execution.kind is ExecutorKind.SLURM:
        last: Any = None
        for stage in Stage:
            last = _slurm_executor(workspace, stage, execution, last)
        if not last.get_incomplete_ranks():
            return True
        last.launch_job()  # and what it depends on
        return False
    for stage in Stage:
        executor = _LOCAL_OR_RAY[execution.kind](workspace, stage, execution)
        with _watched(workspace, stage, progress):
            executor.run()
        if failed := executor.get_incomplete_ranks():
            raise CorpusError(
                f"{len(failed)} tasks of the stage {stage} failed, the first {failed[0]}; see "
                f"{workspace.logs(stage)}/logs, then give the same command again"
            )
    return True


def _silence() -> None:
    """datatrove logs to files; what the terminal needs to know we say."""
    from loguru import logger

    logger.disable("datatrove")


def _step(workspace: Workspace, stage: Stage) -> StageStep:
    return StageStep(folder=str(workspace.folder.absolute()), stage=stage.value)


def _common(workspace: Workspace, stage: Stage, execution: Execution) -> dict[str, Any]:
    tasks = workspace.tasks(stage)
    return {
        "pipeline": [_step(workspace, stage)],
        "tasks": tasks,
        "workers": min(execution.workers, tasks),
        "logging_dir": str(workspace.logs(stage).absolute()),
    }


def _local_executor(workspace: Workspace, stage: Stage, execution: Execution) -> Any:
    from training.corpus.stages.local_executor import LocalExecutor

    return LocalExecutor(**_common(workspace, stage, execution))


def _ray_executor(workspace: Workspace, stage: Stage, execution: Execution) -> Any:
    try:
        import ray  # type: ignore[import-not-found] # not a dependency: a cluster has its own version
    except ImportError as error:
        raise CorpusError("--executor ray needs Ray: pip install 'datatrove[ray]'") from error
    from datatrove.executor import RayPipelineExecutor  # type: ignore[import-untyped] # it has no types

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    return RayPipelineExecutor(**_common(workspace, stage, execution), mem_per_cpu_gb=execution.memory_gb)


def _slurm_executor(workspace: Workspace, stage: Stage, execution: Execution, before: Any) -> Any:
    from datatrove.executor import SlurmPipelineExecutor

    settings: dict[str, Any] = {k: v for k, v in execution.settings.items() if k in _OF_DATATROVE}
    settings |= {k: int(v) for k, v in execution.settings.items() if k in _NUMBERS_OF_DATATROVE}
    extra = {k: v for k, v in execution.settings.items() if k not in settings}
    return SlurmPipelineExecutor(
        **_common(workspace, stage, execution),
        **{"qos": "", **settings},
        job_name=f"corpus-{stage.value}",
        sbatch_args=extra,
        mem_per_cpu_gb=execution.memory_gb,
        depends=before,
    )


_LOCAL_OR_RAY: Mapping[ExecutorKind, Callable[[Workspace, Stage, Execution], Any]] = {
    ExecutorKind.LOCAL: _local_executor,
    ExecutorKind.RAY: _ray_executor,
}


@contextmanager
def _watched(workspace: Workspace, stage: Stage, progress: StageProgress) -> Iterator[None]:
    """Tell `progress` what the stage's tasks have done, until the block ends."""
    total = _total(workspace, stage)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_POLL_SECONDS):
            progress(stage, done_so_far(workspace, stage), total)

    watcher = threading.Thread(target=watch, daemon=True)
    progress(stage, 0, total)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    progress(stage, total, total)


def _total(workspace: Workspace, stage: Stage) -> int:
    if stage is Stage.FILTER:
        sizes = [unit.text_bytes for unit in workspace.plan.units]
        return sum(sizes) if all(sizes) else 0
    if stage is Stage.WRITE:
        tasks = range(workspace.tasks(stage))
        return sum(int(workspace.facts(rank)["bytes"].sum(dtype="int64")) for rank in tasks)
    return workspace.tasks(stage)
