"""Tasks in processes of this machine, on the base of datatrove's executors.

datatrove's own local executor keeps a manager process for its counters, which outlives a parent
that is killed, and logs to the terminal. Here workers end with their parent, Ctrl+C is the parent's
business, and the logs go to files: a terminal shows our progress bar and our errors.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from typing import Any

from datatrove.executor.base import PipelineExecutor  # type: ignore[import-untyped] # it has no types
from loguru import logger

from training.corpus.errors import CorpusError

# From local rank 1 on datatrove logs only errors to the terminal; those are raised to us anyhow.
_QUIET_LOCAL_RANK = 1


class LocalExecutor(PipelineExecutor):  # type: ignore[misc] # it has no types
    """Runs the tasks that are not marked as done, `workers` at once."""

    def __init__(self, pipeline: Sequence[Any], *, tasks: int, workers: int, logging_dir: str) -> None:
        super().__init__(list(pipeline), logging_dir)
        self._tasks, self._workers = tasks, workers

    @property
    def world_size(self) -> int:
        """How many tasks there are."""
        return self._tasks

    def get_distributed_env(self, node_rank: int = -1) -> dict[str, str]:
        """What datatrove puts into the environment of tasks."""
        unknown = ("cpus_per_task", "mem_per_cpu", "gpus_on_node")
        known = {"datatrove_node_ips": "localhost", "datatrove_executor": "LOCAL"}
        return known | {f"datatrove_{name}": "-1" for name in unknown}

    def run(self) -> None:
        """Run the tasks that are left; the first error ends the rest and is raised."""
        ranks = self.get_incomplete_ranks()
        if self._workers == 1 or len(ranks) < 2:
            for rank in ranks:
                self.run_task(rank)
            return
        others = set(active_children())
        # Not fork: a process with threads may leave a lock taken in its child.
        context = get_context("forkserver" if os.name == "posix" else "spawn")
        with ProcessPoolExecutor(self._workers, context, initializer=_become_worker) as pool:
            jobs = [pool.submit(self.run_task, rank) for rank in ranks]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BrokenProcessPool as error:
                raise CorpusError(
                    "a worker ended abruptly, perhaps for lack of memory; the same command goes on from "
                    "here, with fewer --workers if you like"
                ) from error
            finally:
                if not all(job.done() for job in jobs):
                    for process in set(active_children()) - others:
                        process.terminate()
                    # Waited for: the interpreter's end and the pool's own thread both write to its pipe.
                    pool.shutdown(wait=True, cancel_futures=True)

    def run_task(self, rank: int) -> None:
        """Run one task in this process, and mark it as done."""
        logger.disable("datatrove")
        try:
            self._run_for_rank(rank, _QUIET_LOCAL_RANK)
        finally:
            logger.remove()  # datatrove logs to the terminal again after each task


def _become_worker() -> None:
    """Ctrl+C is the parent's business; a parent that is gone takes this process with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
