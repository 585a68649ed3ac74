"""Which engine answers: our own process, or a server at a URL.

Owns how settings become one of the two. A thread imports their modules at the first connection (httpx
alone costs 100 ms), so that neither the server's start nor its event loop waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lsp.settings.settings import Settings
from model.catalogue.published import AUTO, STARTER

if TYPE_CHECKING:
    from model.client.client import CompletionClient
    from model.process.engine_files import LaunchOptions
    from model.process.process import EngineProcess


class EngineHandle(Protocol):
    """An engine that can be connected to. Methods raise `ModelError`."""

    async def ensure(self, tell: Callable[[str], None]) -> CompletionClient:
        """A client of the engine, started first if it does not run. `tell` hears if it is replaced."""

    def watched(self, client: CompletionClient) -> AbstractContextManager[None]:
        """While the block runs, `client` is closed once an engine of ours hangs."""

    async def stop(self) -> None:
        """End the engine, if it is ours to end."""

    async def aclose(self) -> None:
        """Let go of the engine, which lives on."""


def engine_of(settings: Settings) -> EngineHandle:
    """The engine that the settings ask for; nothing is started or connected yet."""
    return LocalEngine(settings) if settings.engine.url is None else RemoteEngine(settings)


def launch_options(settings: Settings) -> LaunchOptions:
    """What the local engine is started with, and found by."""
    from model.process.engine_files import LaunchOptions

    engine = settings.engine
    return LaunchOptions(
        model=settings.model,
        quantize=engine.quantize,
        device=engine.device,
        threads=engine.threads,
        cache_mib=engine.cache_mib,
    ).settled()


class LocalEngine:
    """Our engine process, shared with this user's other windows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: EngineProcess | None = None

    async def ensure(self, tell: Callable[[str], None]) -> CompletionClient:
        """See `EngineHandle`."""
        process = await self._found()
        process.tell = tell
        return await process.ensure()

    def watched(self, client: CompletionClient) -> AbstractContextManager[None]:
        """See `EngineHandle`."""
        from model.client.client import EngineClient

        if self._process is None:  # it is being started anew, and `client` closed
            return nullcontext()
        assert isinstance(client, EngineClient)
        return self._process.asking(client)

    async def stop(self) -> None:
        """See `EngineHandle`. The next engine is what the settings mean then: a model may have come."""
        process = await self._found()
        await process.stop()
        await process.aclose()
        self._process = None

    async def aclose(self) -> None:
        """See `EngineHandle`."""
        if self._process is not None:
            await self._process.aclose()

    async def _found(self) -> EngineProcess:
        if self._process is None:
            self._process = await asyncio.to_thread(self._make)
        return self._process

    def _make(self) -> EngineProcess:
        import httpx  # noqa: F401  # here rather than at the first request, on the event loop

        from model.process.process import EngineProcess

        return EngineProcess(launch_options(self._settings))


class RemoteEngine:
    """A server at `engine.url`: any that speaks OpenAI's completions, or our own on a unix socket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: CompletionClient | None = None

    def watched(self, client: CompletionClient) -> AbstractContextManager[None]:
        """Others' servers may take their time."""
        return nullcontext()

    async def ensure(self, tell: Callable[[str], None]) -> CompletionClient:
        """See `EngineHandle`."""
        if self._client is None:
            self._client = await asyncio.to_thread(self._make)
        return self._client

    async def stop(self) -> None:
        """Not ours to end: the connections are closed."""
        await self.aclose()

    async def aclose(self) -> None:
        """See `EngineHandle`."""
        if self._client is not None:
            await self._client.aclose()

    def _make(self) -> CompletionClient:
        import httpx  # noqa: F401  # as above

        from model.client.client import EngineClient
        from model.client.openai import OpenAIClient

        engine = self._settings.engine
        assert engine.url is not None
        if engine.url.startswith("unix:"):
            return EngineClient(unix_path=Path(engine.url.removeprefix("unix:")).expanduser())
        model = self._settings.model
        return OpenAIClient(
            engine.url,
            # No other server has our bundled model, and the default names none: take what the server has.
            model=None if model in (AUTO, STARTER) else model,
            api_key_env=engine.api_key_env,
            fim_template=engine.fim_template,
            ca_file=None if engine.ca_file is None else Path(engine.ca_file).expanduser(),
        )
