"""The way to the engine: connected in the background, kept, and found again when it is lost.

Owns the client and its life; knows nothing about documents or what is asked. The client comes from
`model.process` (our own engine, one per user) or is an OpenAI-compatible URL. Imports of both wait
until the first connection and run in a thread: httpx alone costs a third of the server's start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from lsp.status import State, StatusBoard
from model.errors import EngineUnavailableError, ModelError

if TYPE_CHECKING:
    from model.client import CompletionClient, CompletionDelta, CompletionQuery

Connect = Callable[[], Awaitable["CompletionClient"]]

FIRST_BACK_OFF_S = 0.25
MAX_BACK_OFF_S = 30.0
# Attempts in the background; after these only a request, or the restart command, tries again.
MAX_QUIET_ATTEMPTS = 6


class EngineLink:
    """One connection to the engine, shared by all documents of this editor window."""

    def __init__(self, connect: Connect, board: StatusBoard) -> None:
        self._connect = connect
        self._board = board
        self._client: CompletionClient | None = None
        self._connecting: asyncio.Task[CompletionClient] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._n_failures = 0
        self._retry_at_s = 0.0
        self._last_failure = ""

    def start(self) -> None:
        """Connect in the background; the outcome shows in the status."""
        if self._client is None and self._connecting is None:
            self._begin()

    async def restart(self, connect: Connect | None = None) -> None:
        """Drop the connection and make a new one at once (with other settings, if given)."""
        await self.aclose()
        if connect is not None:
            self._connect = connect
        self._n_failures = 0
        self._retry_at_s = 0.0
        self._begin()

    async def client(self) -> CompletionClient:
        """The connected client, waited for if need be. Raises `ModelError` if there is none."""
        if self._client is not None:
            return self._client
        if self._connecting is None:
            if asyncio.get_running_loop().time() < self._retry_at_s:
                raise EngineUnavailableError(self._last_failure)
            self._begin()
        assert self._connecting is not None
        # Shielded: a cancelled request must not cancel the connection that others wait for.
        return await asyncio.shield(self._connecting)

    async def stream(self, query: CompletionQuery) -> AsyncIterator[CompletionDelta]:
        """The engine's deltas; closing the generator cancels the request in the engine.

        An engine that is gone before its first delta (it ends itself when idle) is replaced and asked
        once more. Raises `ModelError`; after `EngineUnavailableError` a new engine is on its way.
        """
        was_connected = self._client is not None
        started = False
        try:
            async with aclosing(self._deltas(query)) as deltas:
                async for delta in deltas:
                    started = True
                    yield delta
            return
        except EngineUnavailableError:
            if started or not was_connected:
                raise
        async with aclosing(self._deltas(query)) as deltas:
            async for delta in deltas:
                yield delta

    async def _deltas(self, query: CompletionQuery) -> AsyncIterator[CompletionDelta]:
        client = await self.client()
        try:
            async with aclosing(_as_generator(client.complete(query))) as deltas:
                async for delta in deltas:
                    yield delta
        except EngineUnavailableError as error:
            await self._lose(client, error)
            raise

    async def aclose(self) -> None:
        """Close the connection; the engine itself lives on for other windows."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
            self._connecting = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _begin(self) -> None:
        self._board.set(State.STARTING)
        self._connecting = asyncio.get_running_loop().create_task(self._open())
        self._connecting.add_done_callback(_retrieve)

    async def _open(self) -> CompletionClient:
        try:
            client = await self._connect()
        except (ModelError, OSError) as error:
            self._failed(error)
            raise error if isinstance(error, ModelError) else EngineUnavailableError(str(error)) from error
        finally:
            self._connecting = None
        self._client = client
        self._n_failures = 0
        self._board.set(State.READY)
        return client

    def _failed(self, error: Exception) -> None:
        self._n_failures += 1
        self._last_failure = str(error)
        back_off_s = min(FIRST_BACK_OFF_S * 2 ** (self._n_failures - 1), MAX_BACK_OFF_S)
        loop = asyncio.get_running_loop()
        self._retry_at_s = loop.time() + back_off_s
        # A model that does not exist will not exist in a second either: no retries for those.
        passing = isinstance(error, (EngineUnavailableError, OSError))
        self._board.set(State.OFFLINE if passing else State.ERROR, str(error))
        if passing and self._n_failures < MAX_QUIET_ATTEMPTS:
            self._retry = loop.call_later(back_off_s, self.start)

    async def _lose(self, client: CompletionClient, error: EngineUnavailableError) -> None:
        """The client's engine is gone: forget it (if nobody did so already) and look for a new one."""
        if self._client is not client:
            return
        self._client = None
        self._board.set(State.OFFLINE, str(error))
        await client.aclose()
        self.start()


async def _as_generator(deltas: AsyncIterator[CompletionDelta]) -> AsyncIterator[CompletionDelta]:
    """`deltas`, closed when this generator is (the client's protocol only promises an iterator)."""
    try:
        async for delta in deltas:
            yield delta
    finally:
        close = getattr(deltas, "aclose", None)
        if close is not None:
            await close()


def _retrieve(task: asyncio.Task[CompletionClient]) -> None:
    """Mark a failure as seen: it is in the status, and whoever waits gets it too."""
    if not task.cancelled():
        task.exception()
