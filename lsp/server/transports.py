"""How messages reach the server: stdio, TCP or WebSocket.

On TCP and WebSocket every connection gets a server of its own; pygls's own loops share one and mix up their
clients. A port has a token (`model.local.port_token`), which its clients send first. Does not know what the
messages mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest
from pygls.io_ import StdoutWriter

from lsp.server.framing import MAX_MESSAGE_BYTES, ForeignProtocolError, Frames, decoded
from model.local.listen import is_loopback
from model.local.port_token import published_token, token_file

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from lsp.server.server import StarcoderServer

MakeServer = Callable[[], "StarcoderServer"]

# A page of any web site may open a WebSocket to this machine, so only local pages are let in.
_LOCAL_ORIGIN = re.compile(r"(https?|vscode-webview|vscode-file)://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


_READ_BYTES = 65_536
# How long a stranger may hold a connection.
_FIRST_MESSAGE_S = 30.0
_NO_TOKEN = "send initialize first, with the token of this port as initializationOptions.token"

Received = TypeVar("Received")

# Gets scheme, host and real port once the server listens, and whether clients need a token.
Announce = Callable[[str, str, int, bool], None]


def announce_on_stderr(scheme: str, host: str, port: int, needs_token: bool) -> None:
    """Say where the server listens, and for whom, and warn if other machines can reach it."""
    who = f"clients need the token in {token_file(port)}" if needs_token else "anybody may connect"
    sys.stderr.write(f"starcoder-lsp listens on {scheme}://{host}:{port}: {who}\n")
    if not is_loopback(host):
        sys.stderr.write(
            f"warning: {host} can be reached from other machines, and what is sent is not encrypted; "
            "use 127.0.0.1\n"
        )
    sys.stderr.flush()


def serve_stdio(make_server: MakeServer) -> int:
    """Serve one client on standard input and output; returns the process's exit code."""
    server = make_server()
    server.protocol.set_writer(StdoutWriter(sys.stdout.buffer))
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt, SystemExit):  # `exit` is a SystemExit
        asyncio.run(_serve_stdin(server))
    server.shutdown()  # type: ignore[no-untyped-call]  # pygls: ends its thread pool
    return 0 if server.protocol.was_shut_down else 1


async def _serve_stdin(server: StarcoderServer) -> None:
    loop, frames = asyncio.get_running_loop(), Frames()
    read = partial(os.read, sys.stdin.fileno(), _READ_BYTES)  # what has arrived
    while received := await loop.run_in_executor(server.thread_pool, read):
        for body in frames.push(received):
            server.protocol.take_bytes(body)
            await asyncio.sleep(0)  # what a message began may run before the next one is taken


async def serve_tcp(
    make_server: MakeServer,
    host: str,
    port: int,
    announce: Announce = announce_on_stderr,
    *,
    needs_token: bool = True,
) -> None:
    """Serve every client that connects, and has the port's token, until cancelled."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _own_server(make_server) as (server, stop):
            server.hang_up = _both(stop.set, writer.close)
            server.protocol.set_writer(writer)
            # A client that vanishes in mid-message ends only its own connection.
            with contextlib.suppress(ConnectionError, ForeignProtocolError):
                await _read_stream(reader, server, Door(server, token), stop)
        writer.close()

    listener = await asyncio.start_server(connection, host, port)
    bound = listener.sockets[0].getsockname()[:2]
    async with listener:
        with _token_of_port(bound[1], needs_token) as token:
            announce("tcp", bound[0], bound[1], needs_token)
            await listener.serve_forever()


async def _read_stream(
    reader: asyncio.StreamReader, server: StarcoderServer, door: Door, stop: asyncio.Event
) -> None:
    frames = Frames(strict=True)
    while not stop.is_set() and (received := await door.in_time(reader.read(_READ_BYTES))):
        for body in frames.push(received):
            door.take(body)
            await asyncio.sleep(0)
            if stop.is_set():
                return


async def serve_websocket(
    make_server: MakeServer,
    host: str,
    port: int,
    announce: Announce = announce_on_stderr,
    *,
    needs_token: bool = True,
) -> None:
    """The same, with one JSON-RPC message a text frame."""
    from websockets.asyncio.server import serve

    async def connection(socket: ServerConnection) -> None:
        async with _own_server(make_server) as (server, stop):
            writer = FrameWriter(socket)
            server.hang_up = _both(stop.set, writer.close)
            server.protocol.set_writer(writer, include_headers=False)
            await asyncio.gather(writer.run(), _read_frames(socket, Door(server, token), writer))

    async with serve(
        connection, host, port, origins=[None, _LOCAL_ORIGIN], max_size=MAX_MESSAGE_BYTES
    ) as listener:
        bound = next(iter(listener.sockets)).getsockname()[:2]
        with _token_of_port(bound[1], needs_token) as token:
            announce("ws", bound[0], bound[1], needs_token)
            await listener.serve_forever()


async def _read_frames(socket: ServerConnection, door: Door, writer: FrameWriter) -> None:
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(ConnectionClosed, ConnectionError):
        while True:
            door.take(await door.in_time(socket.recv()))
    writer.close()


def _token_of_port(port: int, needs_token: bool) -> AbstractContextManager[str | None]:
    return published_token(port) if needs_token else contextlib.nullcontext()


class Door:
    """What comes before a server on a port: the first message is `initialize`, with the token in its options.

    Every user of a machine can connect to its ports. `token` None lets everybody in.
    """

    def __init__(self, server: StarcoderServer, token: str | None) -> None:
        self._server = server
        self._token = token
        self._is_open = token is None
        self._closes_at_s = asyncio.get_running_loop().time() + _FIRST_MESSAGE_S

    async def in_time(self, reading: Awaitable[Received]) -> Received:
        """What is read, which may take long only once the door is open. Raises `ConnectionError`."""
        try:
            async with asyncio.timeout_at(None if self._is_open else self._closes_at_s):
                return await reading
        except TimeoutError as error:
            raise ConnectionAbortedError("no message with the token came in time") from error

    def take(self, body: bytes | str | JsonRpcException) -> None:
        """Hand a message on; without the token, refuse it and hang up."""
        if not self._is_open and not self._has_token(body):
            self._server.protocol.take_bytes(JsonRpcInvalidRequest(_NO_TOKEN))
            assert self._server.hang_up is not None
            self._server.hang_up()
            return
        self._is_open = True
        self._server.protocol.take_bytes(body)

    def _has_token(self, body: bytes | str | JsonRpcException) -> bool:
        try:
            if isinstance(body, JsonRpcException):
                return False
            message = decoded(body)
            given = message["params"]["initializationOptions"]["token"]
        except (JsonRpcException, KeyError, TypeError):
            return False
        if self._token is None or message.get("method") != types.INITIALIZE or not isinstance(given, str):
            return False
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())


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
async def _own_server(make_server: MakeServer) -> AsyncIterator[tuple[StarcoderServer, asyncio.Event]]:
    server = make_server()
    try:
        yield server, asyncio.Event()
    finally:
        await server.aclose()
        server.shutdown()  # type: ignore[no-untyped-call]  # pygls: ends its thread pool


def _both(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call
