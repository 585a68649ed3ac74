"""A thread for work that blocks: one job after the other, off the event loop.

A daemon thread, so that a job that hangs (a server that never answers) cannot keep the process from
ending, as an executor of the standard library would.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Belongs to the event loop on which it is first used. The thread begins with the first job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a job. One that is cancelled before its turn is never begun."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(lambda: _do(work, future, loop))
        return future

    def end(self) -> None:
        """Take no more jobs; those in the queue are still done. Idempotent."""
        if self._thread is not None:
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _do(work: Callable[[], T], future: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
    if future.cancelled():
        return
    settle: Callable[[Any], None]
    value: Any
    try:
        settle, value = future.set_result, work()
    except BaseException as error:  # whoever awaits the future gets it
        settle, value = future.set_exception, error

    def tell() -> None:
        if not future.done():
            settle(value)

    # After the end of the server the loop is closed, and nobody waits for the answer.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
