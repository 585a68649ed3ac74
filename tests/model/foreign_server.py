"""Small real servers that behave as other completion engines do, on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.model.serving import PATIENCE_S


class _Server(uvicorn.Server):
    """Leaves signals to the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class ForeignServer:
    """Answers completions with `pieces`, unless `refuse` finds something wrong with a body."""

    def __init__(
        self,
        *,
        model: str = "m",
        owner: str = "vllm",
        root: str | None = None,
        pieces: list[str] | None = None,
        refuse: Callable[[dict[str, Any]], str | None] = lambda body: None,
        ollama: bool = False,
        missing: bool = False,
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cancelled = asyncio.Event()
        self.url = ""
        self.pieces = pieces or ["a", "b"]
        self._entry = {"id": model, "owned_by": owner, "root": root}
        self._refuse = refuse
        self._ollama = ollama
        self._missing = missing

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._entry]})

    async def version(self, request: Request) -> Response:
        return JSONResponse({"version": "0.12.6"}) if self._ollama else Response(status_code=404)

    async def completions(self, request: Request) -> Response:
        if self._missing:
            return Response(status_code=404)
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if (reason := self._refuse(body)) is not None:
            return JSONResponse(
                {"error": {"message": reason, "type": "invalid_request_error"}}, status_code=400
            )
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        try:
            for piece in self.pieces:
                if piece == "(hang)":
                    await asyncio.Event().wait()
                yield self._event(
                    {
                        "text": piece,
                        "delta": {"content": piece},
                        "index": 0,
                        "logprobs": {"token_logprobs": [-1.5]},
                        "finish_reason": None,
                    }
                )
            yield self._event({"text": "", "index": 0, "finish_reason": "stop"})
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @staticmethod
    def _event(choice: dict[str, Any]) -> str:
        return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\r\n\r\n"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ForeignServer]:
        app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/chat/completions", self.completions, methods=["POST"]),
                Route("/api/version", self.version),
            ]
        )
        config = uvicorn.Config(
            app, http="h11", lifespan="off", log_config=None, port=0, timeout_graceful_shutdown=1
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve())
        async with asyncio.timeout(PATIENCE_S):
            while not server.started:
                await asyncio.sleep(0.005)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield self
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def raw_server(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives each connection the next answer as it is, and closes; yields (URL, the requests' heads)."""
    heads: list[bytes] = []
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                await reader.readexactly(int(value))
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
