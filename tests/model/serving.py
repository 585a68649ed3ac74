"""What the tests of serving share: a running server, and waiting for what nothing announces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx

from model.engine.async_engine import AsyncEngine
from model.engine.engine import Engine
from model.local.listen import Listen
from model.serve.prompting import generation_request, read_fim_text
from model.serve.server import serve
from model.serve.serving import Served, Serving
from tests.model.scripted_engine import ScriptedServing, scripted_serving

# Bounds a failure, not a success: on a busy machine all takes many times as long.
PATIENCE_S = 60


@contextlib.asynccontextmanager
async def serving_at(
    listen: Listen, *, token: str | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, ScriptedServing]]:
    """A server of a scripted engine in this event loop; yields (client, serving)."""
    serving = scripted_serving(license="apache-2.0")
    async with running(serving, listen, token=token) as client:
        yield client, serving


@contextlib.asynccontextmanager
async def engine_at(
    listen: Listen, engine: Engine, name: str, *, fim_text: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """A server of a real engine in this event loop; yields a client."""
    async_engine = AsyncEngine(engine)
    serving = Serving(
        async_engine,
        Served(name=name),
        prepare=partial(
            generation_request, tokenizer=engine.tokenizer, config=engine.config, fim_text=fim_text
        ),
        token_bytes=engine.tokenizer.token_bytes,
        read=partial(read_fim_text, tokenizer=engine.tokenizer, config=engine.config, fim_text=fim_text),
    )
    async_engine.start()
    async with running(serving, listen) as client:
        yield client
    await async_engine.stop()


@contextlib.asynccontextmanager
async def running(
    serving: Serving, listen: Listen, *, token: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Yields a client once the server is ready, and stops it at the end."""
    ready = asyncio.Event()
    with listen.open() as listener:
        task = asyncio.create_task(serve(serving, listener, on_ready=ready.set, token=token))
        await asyncio.wait_for(ready.wait(), PATIENCE_S)
        address = listener.address
        transport = httpx.AsyncHTTPTransport(uds=str(address.unix_path) if address.unix_path else None)
        base_url = "http://engine" if address.unix_path else str(address)
        async with httpx.AsyncClient(base_url=base_url, transport=transport, timeout=60) as client:
            yield client
        serving.stopping.set()
        await asyncio.wait_for(task, PATIENCE_S)


def socket_of(listen: Listen) -> Path:
    """Where the socket is of one that listens on a socket."""
    assert listen.unix_path is not None
    return listen.unix_path


def n_connections(client: httpx.AsyncClient) -> int:
    """How many a client holds open."""
    assert isinstance(client._transport, httpx.AsyncHTTPTransport)
    return len(client._transport._pool.connections)  # the only place where httpx says so


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition that nothing announces; the test's own time limit ends a hopeless wait."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.005)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    text = (await client.get("/metrics")).text
    return next(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"starcoder_{name} ")
    )


def events_of(text: str) -> list[str]:
    parts = text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    return [part.removeprefix("data: ") for part in parts]


async def metric_is(client: httpx.AsyncClient, name: str, value: float) -> bool:
    return await metric(client, name) == value


async def is_true(value: bool) -> bool:
    return value


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie, whose parent has not asked yet, does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
