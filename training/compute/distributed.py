"""Data parallel processes: starting them, averaging gradients, agreeing on what happens next.

On a few CPU cores one process per core beats one process of many threads: threads wait for each
other in every operation, processes once a step (measured here on two cores shared with other work:
8,300 against 1,500 tokens a second). Under `torchrun` its processes are used as they are.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import ProcessContext, spawn

from training.compute.interrupt import StopOnSignal, ignore_signals
from training.compute.torchrun import under_torchrun

_PATIENCE = timedelta(minutes=30)  # a first step may compile for minutes on a busy machine


@dataclass(frozen=True, kw_only=True)
class Group:
    """This process's place among those that train together. Works alone, too."""

    rank: int = 0
    size: int = 1
    stop: StopOnSignal = field(default_factory=StopOnSignal)  # entered for as long as `work` runs

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def broadcast(self, values: Sequence[float]) -> list[float]:
        """The first process's values, in every process: float64, so clocks keep their digits."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(tensor, src=0)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(
            tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum over the processes of each value."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]


def _backend() -> str:
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


def _take_own_gpu(local_rank: int) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank % torch.cuda.device_count())


def run_group(work: Callable[..., None], processes: int, *arguments: Any) -> None:
    """Call `work(group, *arguments)` in every process of the group; returns when all are done.

    Under torchrun this process is one of them; else they are started here (one runs in place).
    """
    if under_torchrun():
        _take_own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group(_backend(), timeout=_PATIENCE)
        try:
            with StopOnSignal() as stop:
                work(Group(rank=dist.get_rank(), size=dist.get_world_size(), stop=stop), *arguments)
        finally:
            dist.destroy_process_group()
        return
    if processes == 1:
        with StopOnSignal() as stop:
            work(Group(stop=stop), *arguments)
        return
    with tempfile.TemporaryDirectory(prefix="starcoder-train-") as folder:
        rendezvous = (Path(folder) / "rendezvous").as_uri()
        members = (processes, rendezvous, work, arguments)
        context = spawn(_member, members, nprocs=processes, join=False)  # type: ignore[no-untyped-call]
        _wait(context)


def _wait(context: ProcessContext) -> None:
    """Until all members are done. A signal to this process is theirs to answer: they save and end."""

    def forward(number: int, frame: FrameType | None) -> None:
        for pid in context.pids():  # type: ignore[no-untyped-call]
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(pid, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not context.join():
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _member(
    rank: int, size: int, rendezvous: str, work: Callable[..., None], arguments: Sequence[Any]
) -> None:
    # From here to the process's end a signal is never a KeyboardInterrupt: the first process may have
    # saved and agreed with the others to stop before the same Ctrl+C reaches the last of them.
    ignore_signals()
    with StopOnSignal() as stop:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        _take_own_gpu(rank)
        dist.init_process_group(
            _backend(), init_method=rendezvous, rank=rank, world_size=size, timeout=_PATIENCE
        )
        try:
            work(Group(rank=rank, size=size, stop=stop), *arguments)
            dist.barrier()  # who leaves first would cut the connection under those still reading
        finally:
            dist.destroy_process_group()
