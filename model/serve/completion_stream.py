"""One request for a completion or a chat while it runs: from its body to the last byte of its answer.

Owns the race between the work, a client that leaves and an engine that ends: whichever comes first
ends the generation within one step. Knows ASGI's messages; routes and sockets are `model.serve.server`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model.errors import EngineUnavailableError, ModelError, RequestError
from model.serve.answers import AnswerBuilder, Json, dump, error_object, event, stopping_error
from model.serve.merging import merged
from model.serve.protocol import CompletionBody

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from model.serve.chat_protocol import ChatBody
    from model.serve.serving import Serving

logger = logging.getLogger(__name__)

_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_JSON = (b"content-type", b"application/json")
_UNCACHED = (b"cache-control", b"no-store")

# nginx's number for a client that left before its answer began; only ever seen in /metrics.
CLIENT_LEFT = 499


class CompletionStream:
    """An ASGI application that answers one request."""

    def __init__(self, serving: Serving, body: CompletionBody | ChatBody, answer: AnswerBuilder) -> None:
        self._serving = serving
        self._body = body
        self._answer = answer
        self._status = CLIENT_LEFT  # until the answer's head is sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run until the answer is complete, the client is gone or the engine stops."""
        work = asyncio.ensure_future(self._respond(send))
        left = asyncio.ensure_future(_client_left(receive))
        stopping = asyncio.ensure_future(self._serving.stopping.wait())
        with self._serving.busy():
            try:
                await asyncio.wait({work, left, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done() and not work.done() and not left.done():
                    await _cancel(work)
                    await self._fail(send, 503, stopping_error())
            finally:
                await _cancel(work, left, stopping)

    async def _respond(self, send: Send) -> None:
        """Answer; the one place where an exception becomes an HTTP answer."""
        try:
            async with aclosing(self._chunks()) as chunks:
                if self._body.stream:
                    await self._send_events(send, chunks)
                else:
                    await self._send_whole(send, [chunk async for chunk in chunks])
        except Exception as error:
            if not isinstance(error, ModelError):
                logger.exception("request %s failed", self._answer.request_id)
            await self._fail(send, _status(error), error_object(error))

    async def _chunks(self) -> AsyncGenerator[Json, None]:
        """The answer's chunks; closing this cancels the generation."""
        n = self._body.n
        requests = [await self._serving.prepare(one) for one in self._body.each]
        for number, request in enumerate(requests):
            self._answer.begin(range(number * n, (number + 1) * n), request)
        owner = self._answer.request_id
        streams = [self._serving.engine.generate(request, owner) for request in requests]
        text = ""
        async with aclosing(merged(streams)) as deltas:
            async for number, delta in deltas:
                if delta.timings is not None:
                    self._serving.metrics.observe(delta.timings)
                text += delta.text
                yield self._answer.chunk(replace(delta, index=number * n + delta.index))
        if isinstance(self._body, CompletionBody) and n == len(requests) == 1:
            self._serving.answered(self._body, text)

    async def _send_events(self, send: Send, chunks: AsyncGenerator[Json, None]) -> None:
        """Stream. The head waits for the first chunk, so that a bad request has its own status."""
        async for chunk in chunks:
            if self._failed(chunk):
                await self._fail(send, 500, chunk)
                return
            if self._status == CLIENT_LEFT:
                await self._send_head(send, 200, _EVENTS)
            if self._answer.says_something(chunk):
                await send({"type": "http.response.body", "body": event(chunk), "more_body": True})
        options = self._body.stream_options
        usage = event(self._answer.usage_chunk()) if options and options.include_usage else b""
        await send({"type": "http.response.body", "body": usage + self._answer.last_event})

    async def _send_whole(self, send: Send, chunks: list[Json]) -> None:
        failed = [chunk for chunk in chunks if "error" in chunk]
        if len(failed) == self._n_alternatives:
            await self._fail(send, 500, failed[0])
            return
        await self._send_head(send, 200, _JSON)
        await send({"type": "http.response.body", "body": dump(self._answer.whole(chunks))})

    def _failed(self, chunk: Json) -> bool:
        """Whether the whole answer failed. Where one of several alternatives fails, the others go on."""
        return "error" in chunk and self._n_alternatives == 1

    @property
    def _n_alternatives(self) -> int:
        return self._body.n * len(self._body.each)

    async def _fail(self, send: Send, status: int, error: Json) -> None:
        """End with an error: as the answer while nothing was sent, else as its last event."""
        only_error = {"error": error["error"]}
        if self._status == CLIENT_LEFT:
            await self._send_head(send, status, _JSON)
            await send({"type": "http.response.body", "body": dump(only_error)})
        else:
            await send({"type": "http.response.body", "body": event(only_error) + self._answer.last_event})

    async def _send_head(self, send: Send, status: int, content_type: tuple[bytes, bytes]) -> None:
        self._status = status
        await send({"type": "http.response.start", "status": status, "headers": [content_type, _UNCACHED]})


def _status(error: Exception) -> int:
    if isinstance(error, RequestError):
        return 400
    return 503 if isinstance(error, EngineUnavailableError) else 500


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for its clean-up; raise what a finished one raised."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
