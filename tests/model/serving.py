"""What the tests of serving share: a running server, and waiting for what nothing announces."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx

from model.listen import Listen
from model.server import serve
from tests.model.scripted_engine import scripted_serving


@contextlib.asynccontextmanager
async def serving_at(listen: Listen, **options):
    """A server in this event loop; yields (client, serving) once it is ready, and stops it at the end."""
    serving = scripted_serving(license="apache-2.0")
    ready = asyncio.Event()
    with listen.open() as listener:
        task = asyncio.create_task(serve(serving, listener, on_ready=ready.set, **options))
        await asyncio.wait_for(ready.wait(), 10)
        address = listener.address
        transport = httpx.AsyncHTTPTransport(uds=address.unix_path and str(address.unix_path))
        base_url = "http://engine" if address.unix_path else str(address)
        async with httpx.AsyncClient(base_url=base_url, transport=transport, timeout=20) as client:
            yield client, serving
        serving.stopping.set()
        await asyncio.wait_for(task, 10)


async def until(condition) -> None:
    """Wait for a condition that nothing announces; the test's own time limit ends a hopeless wait."""
    async with asyncio.timeout(20):
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
