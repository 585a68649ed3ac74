"""The HTTP face of the engine: routes, access, and the life of the process's socket.

Owns `/v1/completions`, `/v1/chat/completions`, `/v1/fim/completions`, `/infill`, `/v1/models`, `/health`,
`/metrics` and `/shutdown`.
Knows nothing about models: `model.serve.serving` holds what the requests share,
`model.serve.completion_stream` runs one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from model.errors import RequestError
from model.serve.answers import AnswerBuilder, Json, error_object, route_error
from model.serve.chat_answers import ChatAnswerBuilder
from model.serve.chat_protocol import ChatBody
from model.serve.completion_stream import CLIENT_LEFT, CompletionStream
from model.serve.fim_completions import FimAnswerBuilder, FimBody
from model.serve.guard import Guard
from model.serve.infill import InfillAnswerBuilder, InfillBody
from model.serve.metrics import CONTENT_TYPE
from model.serve.patience import PatientProtocol
from model.serve.protocol import Body, CompletionBody, parse_body
from model.version import PROTOCOL, package_version

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from model.local.listen import Listener
    from model.serve.serving import Serving

logger = logging.getLogger(__name__)

# Reading this much JSON holds up the other streams for a fifth of a second.
MAX_BODY_BYTES = 4 * 2**20
# Somebody who sends a body for longer than this holds a connection, not a question.
_BODY_S = 30
# A pause at the keyboard must not cost a new connection; the client gives up its own a little earlier.
_KEEP_ALIVE_S = 75
# Once `stopping` is set, one event per stream is left to write.
_LAST_WORDS_S = 2


def make_app(serving: Serving, *, token: str | None, local_only: bool) -> ASGIApp:
    """The routes behind the guard. `local_only` is true for a loopback port without a token."""
    routes = _Routes(serving, tells_timings=not local_only)
    app = Starlette(
        routes=[
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/chat/completions", routes.chat_completions, methods=["POST"]),
            Route("/v1/fim/completions", routes.fim_completions, methods=["POST"]),
            Route("/infill", routes.infill, methods=["POST"]),
            Route("/v1/models", routes.models, methods=["GET"]),
            Route("/v1/models/{name:path}", routes.model, methods=["GET"]),
            Route("/health", routes.health, methods=["GET"]),
            Route("/metrics", routes.metrics, methods=["GET"]),
            Route("/shutdown", routes.shutdown, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _no_route},
    )
    return _Counting(Guard(app, token=token, local_only=local_only), serving.metrics.requests)


class _Counting:
    """An ASGI application in front of another: counts its answers to questions by their status."""

    def __init__(self, app: ASGIApp, counts: Counter[int]) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over, and count the status of what is answered; `CLIENT_LEFT` if nothing is."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] == "/shutdown":
            await self._app(scope, receive, send)
            return
        status = CLIENT_LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._counts[status] += 1


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail.lower()}"
    return JSONResponse(route_error(message), status_code=error.status_code, headers=error.headers)


Answer = TypeVar("Answer", bound=AnswerBuilder)


class _Routes:
    """Handlers: they only translate."""

    def __init__(self, serving: Serving, *, tells_timings: bool) -> None:
        self._serving = serving
        self._tells_timings = tells_timings

    async def completions(self, request: Request) -> ASGIApp:
        body = await self._body(request, CompletionBody)
        if isinstance(body, Response):
            return body
        answer = self._answer(
            AnswerBuilder, "cmpl", logprobs=body.logprobs, echo=body.echo, answers=body.max_tokens > 0
        )
        return CompletionStream(self._serving, body, answer)

    async def chat_completions(self, request: Request) -> ASGIApp:
        body = await self._body(request, ChatBody)
        if isinstance(body, Response):
            return body
        return CompletionStream(self._serving, body, self._answer(ChatAnswerBuilder, "chatcmpl"))

    async def fim_completions(self, request: Request) -> ASGIApp:
        body = await self._body(request, FimBody)
        if isinstance(body, Response):
            return body
        return CompletionStream(self._serving, body.completion, self._answer(FimAnswerBuilder, "fim"))

    async def infill(self, request: Request) -> ASGIApp:
        body = await self._body(request, InfillBody)
        if isinstance(body, Response):
            return body
        answer = self._answer(
            InfillAnswerBuilder,
            "infill",
            answers=body.n_predict != 0,
            response_fields=body.response_fields,
        )
        return CompletionStream(self._serving, body.completion, answer)

    def _answer(self, kind: type[Answer], label: str, **particulars: Any) -> Answer:
        """The builder of one answer, with what all kinds are told."""
        return kind(
            request_id=f"{label}-{uuid.uuid4().hex}",
            model=self._serving.served.name,
            token_bytes=self._serving.token_bytes,
            tells_timings=self._tells_timings,
            **particulars,
        )

    async def _body(self, request: Request, kind: type[Body]) -> Body | Response:
        """The request's body, or the answer to one that cannot be served."""
        try:
            async with asyncio.timeout(_BODY_S):
                raw = await _read_body(request)
            body = parse_body(raw, kind)
        except TimeoutError:
            late = RequestError(f"the body was not there after {_BODY_S} seconds")
            return JSONResponse(error_object(late), status_code=408, headers={"connection": "close"})
        except _BodyTooLongError as error:
            return JSONResponse(error_object(error), status_code=413)
        except RequestError as error:
            return JSONResponse(error_object(error), status_code=400)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        return body if not body.model else self._unserved(body.model) or body

    def _unserved(self, model: str) -> Response | None:
        """The answer to somebody who asks for another model."""
        if model == (name := self._serving.served.name):
            return None
        unserved = RequestError(f"model = {model!r}: this engine serves {name!r}", field="model")
        return JSONResponse(error_object(unserved), status_code=404)

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model_object()]})

    async def model(self, request: Request) -> Response:
        return self._unserved(request.path_params["name"]) or JSONResponse(self._model_object())

    def _model_object(self) -> Json:
        served = self._serving.served
        model = {"id": served.name, "object": "model", "created": 0, "owned_by": "starcoder-lsp"}
        return {**model, "license": served.license}

    async def health(self, request: Request) -> Response:
        served = self._serving.served
        return JSONResponse(
            {
                "status": "stopping" if self._serving.stopping.is_set() else "ok",
                "version": package_version(),
                "protocol": PROTOCOL,
                "model": served.name,
                "license": served.license,
                "restrictions": served.restrictions,
                "context_tokens": served.context_tokens,
                "chat": served.chat,
                "pid": os.getpid(),
            }
        )

    async def metrics(self, request: Request) -> Response:
        served = self._serving.served
        info = {"version": package_version(), "model": served.name, **dict(served.details)}
        text = self._serving.metrics.render(self._serving.engine.stats(), info)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    async def shutdown(self, request: Request) -> Response:
        logger.info("asked to shut down")
        self._serving.stopping.set()
        return JSONResponse({"status": "stopping"}, status_code=202)


class _BodyTooLongError(RequestError):
    """A request body beyond `MAX_BODY_BYTES`."""


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _BodyTooLongError(f"the body is longer than {MAX_BODY_BYTES} bytes: send less of the file")
    return bytes(body)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (they would end the process before our clean-up)."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    serving: Serving,
    listener: Listener,
    *,
    on_ready: Callable[[], None],
    idle_seconds: float | None = None,
    token: str | None = None,
) -> None:
    """Answer requests until `serving.stopping` is set, then end the running streams and return.

    `on_ready` is called once, when `/health` answers. `idle_seconds` None means never to stop alone.
    """
    local_only = listener.address.host is not None and listener.address.is_private and token is None
    config = uvicorn.Config(
        make_app(serving, token=token, local_only=local_only),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_LAST_WORDS_S,
    )
    server = _Server(config, on_ready)
    watches = [asyncio.ensure_future(_exit_when_stopping(server, serving.stopping))]
    if idle_seconds is not None:
        watches.append(asyncio.ensure_future(serving.stop_when_idle(idle_seconds)))
    try:
        await server.serve(sockets=[listener.socket])
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        serving.close()


async def _exit_when_stopping(server: uvicorn.Server, stopping: asyncio.Event) -> None:
    await stopping.wait()
    server.should_exit = True


@contextlib.contextmanager
def stopping_on_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT (Ctrl+Break on Windows) set an event of the running loop."""
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)

    numbers = [signal.SIGTERM, signal.SIGINT]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    previous = [(number, signal.signal(number, stop)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
