"""Jobs run one after the other, off the event loop, and a hanging one keeps nothing alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from lsp.status.worker import Worker


async def test_jobs_run_in_order_in_one_other_thread() -> None:
    worker = Worker("test")
    ran: list[int] = []

    def job(number: int) -> str:
        ran.append(number)
        return threading.current_thread().name

    names = await asyncio.gather(*(worker.submit(lambda n=n: job(n)) for n in range(5)))  # type: ignore[misc]
    assert ran == [0, 1, 2, 3, 4]
    assert set(names) == {"test"}
    worker.end()


async def test_a_failure_reaches_who_waits_and_the_next_job_runs() -> None:
    worker = Worker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.submit(lambda: 1 // 0)
    assert await worker.submit(lambda: 1) == 1
    worker.end()


async def test_a_job_cancelled_in_time_is_never_begun() -> None:
    worker, gate, ran = Worker("test"), threading.Event(), []
    blocking = worker.submit(gate.wait)
    waiting = worker.submit(lambda: ran.append(1))
    waiting.cancel()
    gate.set()
    assert await blocking
    await worker.submit(lambda: None)
    assert not ran
    worker.end()


async def test_what_waits_when_it_ends_is_still_done_and_ending_twice_is_well() -> None:
    worker = Worker("test")
    worker.end()
    last = worker.submit(lambda: 7)
    worker.end()
    worker.end()
    assert await last == 7


def test_a_hanging_job_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from lsp.status.worker import Worker
async def main():
    worker, begun = Worker("test"), asyncio.Event()
    loop = asyncio.get_running_loop()
    worker.submit(lambda: (loop.call_soon_threadsafe(begun.set), threading.Event().wait()))
    await begun.wait()
    worker.end()
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program], timeout=120, capture_output=True, check=True
    )
    assert not ended.stderr
