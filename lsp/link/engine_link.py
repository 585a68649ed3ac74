"""The way to the engine: connected in the background, kept, and found again when it is lost.

Owns the connection's life and what the status says of it. Knows neither which engine it is nor what is
asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from lsp.link.engines import EngineHandle
from lsp.status.status import State, StatusBoard
from model.errors import EngineUnavailableError, ModelError
from model.local.backoff import Backoff

if TYPE_CHECKING:
    from model.client.chat import ChatQuery
    from model.client.client import CompletionClient, CompletionDelta, CompletionQuery, EngineHealth

    _Ask = Callable[[CompletionClient], AsyncGenerator[CompletionDelta, None]]

_BACKOFF = Backoff(first_s=0.25, max_s=30.0)
# How long a request waits for an engine that is starting. Fetching weights can take much longer than an
# editor should hold a request.
PATIENCE_S = 20.0
# Attempts in the background. After these, only a request or the restart command tries again.
MAX_QUIET_ATTEMPTS = 4


class EngineLink:
    """The connection to one engine, shared by all documents of an editor window."""

    def __init__(
        self,
        engine: EngineHandle,
        board: StatusBoard,
        *,
        on_connected: Callable[[EngineHealth], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._engine = engine
        self._board = board
        self._on_connected = on_connected
        self._patience_s = patience_s
        self._client: CompletionClient | None = None
        self._connecting: asyncio.Task[CompletionClient] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._n_failures = 0
        self._retry_at_s = 0.0
        self._failure = ""
        self._complaint = ""

    def start(self) -> None:
        """Connect in the background; the outcome shows in the status."""
        if self._client is None and self._connecting is None:
            self._begin()

    async def restart(self, engine: EngineHandle | None = None) -> None:
        """Use another engine; without one, end the present engine, if it is ours, and start it anew."""
        await self._disconnect()
        self._complaint = ""
        if engine is None:
            await self._engine.stop()
        else:
            await self._engine.aclose()
            self._engine = engine
        self._n_failures = 0
        self._retry_at_s = 0.0
        self._begin()

    async def client(self) -> CompletionClient:
        """The client, once it is connected. Raises `ModelError` if it cannot be."""
        if self._client is not None:
            return self._client
        if self._connecting is None:
            if asyncio.get_running_loop().time() < self._retry_at_s:
                raise EngineUnavailableError(self._failure)
            self._begin()
        assert self._connecting is not None
        try:
            # Shielded: a request that ends must not cancel the connection that others wait for.
            return await asyncio.wait_for(asyncio.shield(self._connecting), self._patience_s)
        except TimeoutError as error:
            raise EngineUnavailableError("the engine is still starting") from error

    def stream(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        """The engine's deltas; closing the generator cancels the request in the engine.

        An idle engine ends itself: one that is gone before its first delta is replaced and asked once more.
        Raises `ModelError`; after `EngineUnavailableError`, a new engine is on its way.
        """
        return self._answered(lambda client: client.complete(query))

    def chat(self, query: ChatQuery) -> AsyncGenerator[CompletionDelta, None]:
        """The deltas of the assistant's answer, as `stream` gives those of a completion."""
        return self._answered(lambda client: client.chat(query))

    async def _answered(self, ask: _Ask) -> AsyncGenerator[CompletionDelta, None]:
        may_repeat = self._client is not None
        while True:
            client = await self.client()
            try:
                with self._engine.watched(client):
                    async with aclosing(ask(client)) as deltas:
                        async for delta in deltas:
                            may_repeat = False
                            self._prove()
                            yield delta
                return
            except EngineUnavailableError as error:
                self._lose(client, error)
                if not may_repeat:
                    raise
                may_repeat = False

    async def aclose(self) -> None:
        """Close the connection; the engine lives on for other windows."""
        await self._disconnect()
        await self._engine.aclose()

    async def _disconnect(self) -> None:
        self._client = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        under_way = [task for task in (self._connecting, self._probing) if task is not None]
        self._connecting = self._probing = None
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _begin(self) -> None:
        if not self._complaint:
            self._board.set(State.STARTING)
        self._connecting = asyncio.get_running_loop().create_task(self._open())
        self._connecting.add_done_callback(self._opened)

    async def _open(self) -> CompletionClient:
        try:
            client = await self._engine.ensure(self._replaced)
            health = await client.health()
        except OSError as error:
            raise EngineUnavailableError(str(error)) from error
        self._on_connected(health)
        self._client = client
        self._n_failures = 0
        # A server that lists its models may still refuse completions: only one that succeeds is a proof.
        if self._complaint:
            self._board.set(State.OFFLINE, self._complaint, model=health.model)
        elif health.is_proof:
            self._board.set(State.READY, model=health.model)
        else:
            self._board.set(State.STARTING, model=health.model)
            self._end_probe()
            self._probing = asyncio.get_running_loop().create_task(self._probe(client))
        return client

    async def _probe(self, client: CompletionClient) -> None:
        """Have a connected server complete something, so that the status can say whether it does.

        Nobody waits for it. What is asked meanwhile goes its own way, and ends this if it is answered.
        """
        from model.client.client import prove

        try:
            await prove(client)
        except ModelError as error:
            self._complaint = str(error)
            is_gone = isinstance(error, EngineUnavailableError)
            self._board.set(State.OFFLINE if is_gone else State.ERROR, self._complaint)
        else:
            self._board.proven()

    def _end_probe(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _replaced(self, message: str) -> None:
        """An engine that hung was ended."""
        self._board.set(State.STARTING, message)

    def _opened(self, task: asyncio.Task[CompletionClient]) -> None:
        if self._connecting is task:
            self._connecting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._n_failures += 1
        self._failure = str(error)
        pause_s = _BACKOFF.pause_s(self._n_failures)
        loop = asyncio.get_running_loop()
        self._retry_at_s = loop.time() + pause_s
        # A model that does not exist will not exist in a second either: no retries for those.
        passing = isinstance(error, EngineUnavailableError)
        self._board.set(State.OFFLINE if passing else State.ERROR, str(error))
        if passing and self._n_failures < MAX_QUIET_ATTEMPTS:
            self._retry = loop.call_later(pause_s, self.start)
        if not isinstance(error, ModelError):
            loop.call_exception_handler({"message": "connecting to the engine failed", "exception": error})

    def _prove(self) -> None:
        if self._complaint or self._probing is not None:
            self._complaint = ""
            self._end_probe()
            self._board.proven()

    def _lose(self, client: CompletionClient, error: EngineUnavailableError) -> None:
        """Forget a client whose engine is gone, unless another request has, and look for a new one."""
        if self._client is client:
            self._client = None
            if not error.is_passing:
                self._complaint = str(error)
            self._board.set(State.OFFLINE, str(error))
            self.start()
