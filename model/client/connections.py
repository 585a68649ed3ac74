"""The connections to one server: each with an HTTP client of its own, kept for the next request or closed.

Owns how many there are. httpx's own pool loses a connection whose request is cancelled while it is being
made or its answer closed: it stays open, counts as busy, and is never used again. So a client has one
connection, and one whose request did not end well is closed whole. Knows nothing about requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

# More requests at a time than a window ever has; one more waits until another has ended.
MAX_CONNECTIONS = 64
_MAX_IDLE = 4


class Connections:
    """`make` gives a client that opens at most one connection."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._idle: list[httpx.AsyncClient] = []
        self._busy: set[httpx.AsyncClient] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    def __len__(self) -> int:
        """How many clients are kept or in use."""
        return len(self._idle) + len(self._busy)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request. An exception in the block, also a cancellation, closes its connection."""
        async with self._room:
            client = self._idle.pop() if self._idle else self._make()
            self._busy.add(client)
            try:
                yield client
            except BaseException:
                await self._close(client)
                raise
            finally:
                self._busy.discard(client)
            if len(self._idle) < _MAX_IDLE and not client.is_closed:
                self._idle.append(client)
            else:
                await self._close(client)

    async def aclose(self) -> None:
        """Close all of them; what still streams ends with an error of httpx."""
        clients, self._idle = [*self._idle, *self._busy], []
        await asyncio.gather(*map(self._close, clients))

    async def _close(self, client: httpx.AsyncClient) -> None:
        """Close a client, to the end even if whoever waits for that is cancelled."""
        closing = asyncio.get_running_loop().create_task(client.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)
