"""How messages reach the server: stdio, TCP or WebSocket.

On TCP and WebSocket every connection gets a server of its own; pygls's own loops share one and mix up their
clients. Does not know what the messages mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from pygls.exceptions import JsonRpcException
from pygls.io_ import run_async

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from lsp.server.server import StarcoderServer

logger = logging.getLogger(__name__)

MakeServer = Callable[[], "StarcoderServer"]

# A page of any web site may open a WebSocket to this machine, so only local pages are let in.
_LOCAL_ORIGIN = re.compile(r"(https?|vscode-webview|vscode-file)://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


# Gets scheme, host and real port once the server listens.
Announce = Callable[[str, str, int], None]


def announce_on_stderr(scheme: str, host: str, port: int) -> None:
    """Say where the server listens, and warn if other machines can reach it."""
    sys.stderr.write(f"starcoder-lsp listens on {scheme}://{host}:{port}\n")
    if not _is_loopback(host):
        sys.stderr.write(
            f"warning: {host} can be reached from other machines, without a password; use 127.0.0.1\n"
        )
    sys.stderr.flush()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve_stdio(make_server: MakeServer) -> int:
    """Serve one client on standard input and output; returns the process's exit code."""
    server = make_server()
    server.start_io()
    return 0 if server.protocol.was_shut_down else 1


async def serve_tcp(
    make_server: MakeServer, host: str, port: int, announce: Announce = announce_on_stderr
) -> None:
    """Serve every client that connects, until cancelled."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _own_server(make_server) as (server, stop):
            server.hang_up = _both(stop.set, writer.close)
            server.protocol.set_writer(writer)
            # A client that vanishes in mid-message ends only its own connection.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await run_async(stop_event=stop, reader=reader, protocol=server.protocol)
        writer.close()

    listener = await asyncio.start_server(connection, host, port)
    announce("tcp", *listener.sockets[0].getsockname()[:2])
    async with listener:
        await listener.serve_forever()


async def serve_websocket(
    make_server: MakeServer, host: str, port: int, announce: Announce = announce_on_stderr
) -> None:
    """Serve every client that connects, one JSON-RPC message a text frame, until cancelled."""
    from websockets.asyncio.server import serve

    async def connection(socket: ServerConnection) -> None:
        async with _own_server(make_server) as (server, stop):
            writer = FrameWriter(socket)
            server.hang_up = _both(stop.set, writer.close)
            server.protocol.set_writer(writer, include_headers=False)
            await asyncio.gather(writer.run(), _read_frames(socket, server, writer))

    # No size limit: a file of 100,000 lines is opened by one message of several megabytes.
    async with serve(connection, host, port, origins=[None, _LOCAL_ORIGIN], max_size=None) as listener:
        announce("ws", *next(iter(listener.sockets)).getsockname()[:2])
        await listener.serve_forever()


async def _read_frames(socket: ServerConnection, server: StarcoderServer, writer: FrameWriter) -> None:
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(ConnectionClosed):
        async for frame in socket:
            _take_frame(server, frame)
    writer.close()


def _take_frame(server: StarcoderServer, frame: str | bytes) -> None:
    try:
        server.protocol.handle_message(json.loads(frame, object_hook=server.protocol.structure_message))
    except (ValueError, JsonRpcException) as error:
        logger.error("a message could not be read: %s", error)
        server.report_server_error(error, JsonRpcException)


class FrameWriter:
    """Writes text frames in order (pygls sends binary ones, each from a task of its own)."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        """Queue one message."""
        self._queue.put_nowait(data.decode("utf-8"))

    def close(self) -> None:
        """Close the connection once everything queued is sent."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Send what is queued until the connection closes."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while (text := await self._queue.get()) is not None:
                await self._socket.send(text)
            await self._socket.close()


@contextlib.asynccontextmanager
async def _own_server(make_server: MakeServer) -> AsyncIterator[tuple[StarcoderServer, threading.Event]]:
    server = make_server()
    try:
        yield server, threading.Event()
    finally:
        await server.aclose()
        server.shutdown()  # type: ignore[no-untyped-call]  # pygls: ends its thread pool


def _both(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call
