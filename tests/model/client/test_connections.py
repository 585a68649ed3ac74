"""Connections of superseded requests: closed, over unix sockets and TCP, and never more than the bound."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from model.client.connections import MAX_CONNECTIONS
from model.client.http_session import Endpoint, HttpSession
from tests.model.serving import is_true, until

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = b"data: {}\n\n"
_N_SUPERSEDES, _N_AT_ONCE = 500, 50
_DESCRIPTORS = Path("/proc/self/fd")

pytestmark = pytest.mark.skipif(not _DESCRIPTORS.exists(), reason="counts descriptors in /proc")


def _n_open() -> int:
    return len(list(_DESCRIPTORS.iterdir()))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes a few milliseconds to its head and to each of its events."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"{}")
            await asyncio.sleep(random.uniform(0, 0.02))
            writer.write(_HEAD)
            for event in (_EVENT, _EVENT, b"data: [DONE]\n\n"):
                await asyncio.sleep(random.uniform(0, 0.01))
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            writer.write(b"0\r\n\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def _session(kind: str, folder: Path) -> AsyncIterator[HttpSession]:
    """A session with a server; at the end neither of them has left anything open."""
    before = _n_open()
    if kind == "unix":
        server = await asyncio.start_unix_server(_answer, folder / "s")
        endpoint = Endpoint(url="http://engine", unix_path=folder / "s")
    else:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        endpoint = Endpoint(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    session = HttpSession(endpoint)
    async with server:
        yield session
        await session.aclose()
    await until(lambda: is_true(_n_open() <= before))


async def _ask(session: HttpSession) -> None:
    async with aclosing(session.stream("/", {})) as events:
        async for _ in events:
            pass


async def _superseded(session: HttpSession, after_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_ask(session), after_s)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_superseded_request_leaves_nothing_open(kind: str, tmp_path: Path) -> None:
    random.seed(16)
    async with _session(kind, tmp_path) as session:
        await _ask(session)
        before = _n_open()
        for _ in range(_N_SUPERSEDES // _N_AT_ONCE):
            times_s = (random.uniform(0, 0.03) for _ in range(_N_AT_ONCE))
            await asyncio.gather(*(_superseded(session, after_s) for after_s in times_s))
        # Four connections may be kept; each has two ends in this process.
        await until(lambda: is_true(_n_open() <= before + 2 * 3))
        await _ask(session)


async def test_one_request_too_many_waits_for_room(tmp_path: Path) -> None:
    async with _session("unix", tmp_path) as session:
        asked = [asyncio.create_task(_ask(session)) for _ in range(2 * MAX_CONNECTIONS)]
        most = 0
        while not all(one.done() for one in asked):
            await asyncio.sleep(0.001)
            most = max(most, len(session._connections or ()))
        assert 1 < most <= MAX_CONNECTIONS
        await asyncio.gather(*asked)


async def test_cancelled_twice_it_is_closed_all_the_same(tmp_path: Path) -> None:
    """A second cancellation, while the first one is being cleaned up after."""
    async with _session("unix", tmp_path) as session:
        for n_turns in range(20):
            asked = asyncio.create_task(_ask(session))
            await asyncio.sleep(0.004)
            for _ in range(n_turns):
                asked.cancel()
                await asyncio.sleep(0)
            with contextlib.suppress(asyncio.CancelledError):
                await asked
        await until(lambda: is_true(len(session._connections or ()) <= 1))
