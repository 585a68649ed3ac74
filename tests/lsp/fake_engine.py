"""A small OpenAI-compatible HTTP server that says what a test tells it to, step by step.

Real sockets, no model: the language server under test reaches it by `engine.url`. A stream stops at
every `Pause` until the test sets it, so tests wait for events and never for time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from model.client.client import PROBE

MODEL = "fake"


class Pause:
    """A place where the stream waits: `reached` is set on arrival, `resume()` lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._resumed = asyncio.Event()

    def resume(self) -> None:
        self._resumed.set()

    async def wait(self) -> None:
        self.reached.set()
        await self._resumed.wait()


@dataclass(frozen=True)
class Piece:
    """Text of one alternative."""

    text: str
    index: int = 0


class HangUp:
    """The engine dies here: the connection is cut."""


Step = str | Piece | Pause | HangUp
Answer = Callable[[dict[str, Any]], Sequence[Step]]


@dataclass
class FakeEngine:
    """What was asked, and what is answered. `url` is the value for `engine.url`."""

    url: str = ""
    answer: Answer = lambda body: ["pass"]
    requests: list[dict[str, Any]] = field(default_factory=list)
    # One entry for every completion whose reader went away before the end.
    abandoned: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    n_finished: int = 0
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def options(self, **completion: Any) -> dict[str, Any]:
        """Settings that lead here, without a debounce."""
        return {
            "engine": {"url": self.url, "fimTemplate": "suffix"},
            "completion": {"debounceMs": 0, **completion},
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)
        try:
            while (request := await _read_request(reader)) is not None:
                method, path, body = request
                if path.endswith("/completions") and method == "POST":
                    await self._complete(body, reader, writer)
                elif path.endswith("/models"):
                    _send_json(writer, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
                elif path.endswith("/health"):
                    _send_json(writer, {"status": "ok", "version": "0", "protocol": 1, "model": MODEL})
                else:
                    _send_json(writer, {"error": {"message": f"no {path}"}}, status="404 Not Found")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _complete(
        self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if body.get("prompt") == PROBE.prefix:
            await self._stream(body, writer, ["1"])
            return
        self.requests.append(body)
        answering = asyncio.ensure_future(self._stream(body, writer, self.answer(body)))
        leaving = asyncio.ensure_future(_gone(reader))
        done, _ = await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        await asyncio.wait({leaving})
        if answering in done:
            answering.result()
            self.n_finished += 1
            return
        answering.cancel()
        self.abandoned.put_nowait(body)
        raise ConnectionResetError

    async def _stream(
        self, body: dict[str, Any], writer: asyncio.StreamWriter, steps: Iterable[Step]
    ) -> None:
        assert body.get("stream"), "the language server always streams"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for step in steps:
            if isinstance(step, Pause):
                await writer.drain()
                await step.wait()
            elif isinstance(step, HangUp):
                writer.transport.abort()
                raise ConnectionAbortedError
            else:
                piece = Piece(step) if isinstance(step, str) else step
                _send_event(writer, _choice(piece.index, piece.text, None))
        for index in range(int(body.get("n") or 1)):
            _send_event(writer, _choice(index, "", "stop"))
        _send_chunk(writer, b"data: [DONE]\n\n")
        _send_chunk(writer, b"")
        await writer.drain()


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    # What a completion says is in `text`, what a chat says in `delta`.
    said = {"text": text, "delta": {"content": text}}
    choice: dict[str, Any] = {"index": index, **said, "finish_reason": finish_reason, "logprobs": None}
    if text:
        choice["logprobs"] = {
            "tokens": [text],
            "token_logprobs": [-0.01],
            "top_logprobs": None,
            "text_offset": [0],
        }
    return {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": MODEL, "choices": [choice]}


def _send_event(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    _send_chunk(writer, b"data: " + json.dumps(event).encode() + b"\n\n")


def _send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n" % len(data) + data + b"\r\n")


def _send_json(writer: asyncio.StreamWriter, value: Any, status: str = "200 OK") -> None:
    data = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, Any]] | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    length = 0
    while header := (await reader.readline()).decode().strip():
        name, _, value = header.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    body = json.loads(await reader.readexactly(length)) if length else {}
    return method, path, body


async def _gone(reader: asyncio.StreamReader) -> None:
    """Return when the client closes; it has nothing to say while it listens to a stream."""
    extra = await reader.read(1)
    assert not extra, "a client sent more before it had its answer"


@asynccontextmanager
async def fake_engine() -> AsyncIterator[FakeEngine]:
    """A running server on a free port."""
    engine = FakeEngine()
    server = await asyncio.start_server(engine.handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    engine.url = f"http://{host}:{port}"
    try:
        yield engine
    finally:
        server.close()
        for connection in engine.connections:
            connection.cancel()
        await asyncio.gather(*engine.connections, return_exceptions=True)
        await server.wait_closed()
