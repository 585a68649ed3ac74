"""Several asynchronous streams read as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """The streams' items as they come, each with its stream's number.

    Closing this closes all of them, and so does the first failure, which is raised.
    """
    if len(streams) == 1:
        async with aclosing(streams[0]) as items:
            async for item in items:
                yield 0, item
        return
    queue: asyncio.Queue[tuple[int, T] | asyncio.Task[None]] = asyncio.Queue()

    async def read(number: int, stream: AsyncGenerator[T, None]) -> None:
        async with aclosing(stream) as items:
            async for item in items:
                queue.put_nowait((number, item))

    tasks = [asyncio.create_task(read(*pair)) for pair in enumerate(streams)]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    n_running = len(tasks)
    try:
        while n_running:
            event = await queue.get()
            if isinstance(event, asyncio.Task):
                event.result()
                n_running -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
