"""HTTP to one completion server: JSON in, events out, over kept connections.

Owns retries, time limits and turning failures into this package's exceptions, with the URL, the
status and the remedy. Knows nothing about what is asked: the two clients do. How connections are kept and
closed is `model.client.connections`'s.

httpx is imported at the first request: 100 ms, a third of the language server's start, which imports
it in a thread. Over a unix socket a request takes 0.9 ms to the first token. Bare asyncio streams would
save 0.4 ms of them, but know neither proxies nor TLS (`benchmarks/http_overhead.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from model.client.connections import Connections
from model.client.retries import asked_again
from model.client.sse import DONE, EventDecoder
from model.errors import ContextLengthError, EngineUnavailableError, ModelError, RequestError
from model.local.backoff import NO_RETRIES, Backoff
from model.local.listen import is_loopback
from model.local.redaction import without_credentials

if TYPE_CHECKING:
    import ssl

    import httpx

Json = dict[str, Any]
# Stands for the end of a stream.
END: Json = {}

_CONNECT_S = 5.0
# Less than the engine's 75 s, so that we never write to a connection that it is just closing.
_KEEP_ALIVE_S = 60.0
_MAX_RETRY_AFTER_S = 5.0
# How long `[DONE]` may be ahead of the end of its answer before we close instead of waiting.
_LAST_BYTE_S = 0.05
_MAX_MESSAGE_CHARS = 500
# Too many requests, bad gateway, unavailable, gateway time-out.
_PASSING = (429, 502, 503, 504)
# The codes for a prompt that does not fit: OpenAI's and ours, llama.cpp's. vLLM and TGI only say it in words.
_TOO_LONG_CODES = ("context_length_exceeded", "exceed_context_size_error")
_TOO_LONG = re.compile(
    r"maximum context length|must have less than \d+ (input )?tokens|max_new_tokens` must be"
)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server's address and how patient to be with it."""

    url: str
    """Base of all paths. Over a unix socket its host is only a label."""
    unix_path: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    token: Callable[[], str | None] = lambda: None
    """A token that may change while the session lasts; asked for before each request."""
    backoff: Backoff = NO_RETRIES
    """Pauses before the second, third … attempt, as long as nothing has been received."""
    silence_s: float = 120.0
    """How long nothing may come: a long prompt on a slow machine takes a minute to the first token."""
    remedy: str = "Is the server running?"
    ca_file: Path | None = None
    """The certificates of the authorities to trust; None: SSL_CERT_FILE, or those that come with httpx."""

    def __str__(self) -> str:
        return without_credentials(self.url) if self.unix_path is None else f"unix:{self.unix_path}"


class HttpSession:
    """Requests to one endpoint. Closed, it opens itself again at the next request."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._connections: Connections | None = None

    async def aclose(self) -> None:
        """Close all connections; what still streams ends with `EngineUnavailableError`."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.aclose()

    async def get(self, path: str, *, timeout_s: float = _CONNECT_S) -> Json:
        """GET a JSON object. Raises `EngineUnavailableError` or `RequestError`."""
        return await self._whole("GET", path, None, timeout_s)

    async def post(self, path: str, body: Json, *, timeout_s: float = _CONNECT_S) -> Json:
        """POST a JSON object, get one. Raises `EngineUnavailableError` or `RequestError`."""
        return await self._whole("POST", path, body, timeout_s)

    def stream(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        """POST, then yield each event's object and at the answer's end `END`. Closing closes the connection.

        A connection that is closed where the answer may go on gives no `END`.

        Repeats the request after a passing failure, but not once something was received, because the
        caller has shown it already.
        """
        pauses_s = self.endpoint.backoff.pauses_s()

        async def pause(error: _PassingError) -> None:
            if (pause_s := next(pauses_s, None)) is None:
                raise error
            await asyncio.sleep(max(pause_s, error.retry_after_s))

        return asked_again(lambda: self._stream_once(path, body), pause, _PassingError)

    async def _stream_once(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        import httpx

        try:
            async with self._open("POST", path, body, self.endpoint.silence_s) as response:
                await self._raise_for_status(response, path)
                self._refuse_page(response, path)
                decoder = EventDecoder()
                async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as parts:
                    async for part in parts:
                        for data in decoder.push(part):
                            if data == DONE:
                                await _finish(parts)
                                yield END
                                return
                            yield self._object(data, path)
                if _has_known_end(response):
                    yield END
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def _whole(self, method: str, path: str, body: Json | None, timeout_s: float) -> Json:
        import httpx

        try:
            async with self._open(method, path, body, timeout_s) as response:
                await self._raise_for_status(response, path)
                return self._object((await response.aread()).decode(errors="replace"), path)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    @contextlib.asynccontextmanager
    async def _open(
        self, method: str, path: str, body: Json | None, silence_s: float
    ) -> AsyncIterator[httpx.Response]:
        import httpx

        if self._connections is None:
            self._connections = Connections(_client_maker(self.endpoint))
        timeout = httpx.Timeout(silence_s, connect=_CONNECT_S, pool=None)
        token = self.endpoint.token()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        content = None
        if body is not None:
            # A lone surrogate, half of a character that an edit cut in two, becomes "?".
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
            headers["content-type"] = "application/json"
        async with (
            self._connections.one() as client,
            client.stream(method, path, content=content, headers=headers, timeout=timeout) as response,
        ):
            yield response

    async def _raise_for_status(self, response: httpx.Response, path: str) -> None:
        if response.is_success:
            return
        failure = _failure_of((await response.aread()).decode(errors="replace"))
        message = failure.message
        where = f"{self.endpoint}{path} answered {response.status_code}"
        if response.status_code in _PASSING:
            retry_after_s = _seconds(response.headers.get("retry-after"))
            raise _PassingError(f"{where}: {message}. Try again in a while.", retry_after_s=retry_after_s)
        if response.status_code in (401, 403):
            raise EngineUnavailableError(
                f"{where}: {message}. Name the variable with the key in engine.apiKeyEnv.", is_passing=False
            )
        if response.status_code == 404:
            raise NotFoundError(
                f"{where}: {message}. Check engine.url and the model's name.", is_passing=False
            )
        raise failure.refusal(where)

    def _refuse_page(self, response: httpx.Response, path: str) -> None:
        """A company's log-in page, say, or a server that knows no such path."""
        if response.headers.get("content-type", "").startswith("text/html"):
            raise EngineUnavailableError(
                f"{self.endpoint}{path} answered with a web page: is engine.url a completion server?",
                is_passing=False,
            )

    def _object(self, data: str, path: str) -> Json:
        """Parse one object; an error in it is raised."""
        try:
            value = json.loads(data)
        except ValueError as error:
            raise EngineUnavailableError(
                f"{self.endpoint}{path} sent {data[:80]!r}, which is not JSON: is it a completion server?",
                is_passing=False,
            ) from error
        if not isinstance(value, dict):
            raise EngineUnavailableError(
                f"{self.endpoint}{path} sent {data[:80]!r}, not an object", is_passing=False
            )
        if "error" in value and not value.get("choices"):
            raise self._reported(value, data)
        return cast(Json, value)

    def _reported(self, value: Json, data: str) -> ModelError:
        failure = _failure_of(data)
        if failure.code == "shutting_down":
            return EngineUnavailableError(f"{self.endpoint}: {failure.message}")
        return failure.refusal(str(self.endpoint))

    def _unreachable(self, error: httpx.HTTPError) -> EngineUnavailableError:
        reason = str(error) or type(error).__name__
        if "CERTIFICATE" in reason.upper():
            return EngineUnavailableError(
                f"{self.endpoint}: the server's certificate is not trusted: {reason}. Name the file of the "
                "authority that signed it in engine.caFile, or in SSL_CERT_FILE.",
                is_passing=False,
            )
        return _PassingError(
            f"{self.endpoint} cannot be reached or broke off: {reason}. {self.endpoint.remedy}"
        )


class NotFoundError(EngineUnavailableError):
    """The server has no such page, or no such model."""


class _PassingError(EngineUnavailableError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message, is_passing=True)
        self.retry_after_s = retry_after_s


def _client_maker(endpoint: Endpoint) -> Callable[[], httpx.AsyncClient]:
    """Makes clients of one connection each."""
    import httpx

    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S)
    # Read once: an authority's certificates take 20 ms.
    verify = _trusted(endpoint)
    # A company's proxy does not reach this machine's ports, and few set NO_PROXY for them.
    use_proxy = not is_loopback(httpx.URL(endpoint.url).host)

    def make() -> httpx.AsyncClient:
        if endpoint.unix_path is None:
            return httpx.AsyncClient(
                base_url=endpoint.url,
                headers=endpoint.headers,
                limits=limits,
                verify=verify,
                trust_env=use_proxy,
            )
        transport = httpx.AsyncHTTPTransport(uds=str(endpoint.unix_path), limits=limits, verify=verify)
        return httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers, transport=transport)

    return make


def _trusted(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Whose certificates are trusted. Without TLS, loading them would only cost 20 ms."""
    if not endpoint.url.startswith("https:"):
        return False
    import ssl

    import httpx

    # httpx heeds SSL_CERT_FILE only where it heeds proxies, hence not for this machine's own ports.
    named = endpoint.ca_file or os.environ.get("SSL_CERT_FILE")
    if not named:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=named)
    except (OSError, ssl.SSLError) as error:
        setting = "engine.caFile" if endpoint.ca_file else "SSL_CERT_FILE"
        raise EngineUnavailableError(
            f"{setting} = {str(named)!r}: no certificates in it: {error}", is_passing=False
        ) from error


def _has_known_end(response: httpx.Response) -> bool:
    """Whether an answer that was read to its end is whole; else it goes on until the connection is closed."""
    return "content-length" in response.headers or "transfer-encoding" in response.headers


async def _finish(parts: AsyncGenerator[bytes, None]) -> None:
    """Read the (empty) rest of an answer: only then can its connection be used again."""
    try:
        async with asyncio.timeout(_LAST_BYTE_S):
            async for _ in parts:
                pass
    except TimeoutError:
        return  # no harm: the connection is closed instead


@dataclass(frozen=True)
class _Failure:
    """What a server says of a request that it will not do."""

    message: str
    field: str | None = None
    code: str | None = None

    def refusal(self, where: str) -> RequestError:
        """As an exception; a prompt that is too long is a class of its own."""
        too_long = self.code in _TOO_LONG_CODES or _TOO_LONG.search(self.message) is not None
        kind = ContextLengthError if too_long else RequestError
        return kind(f"{where}: {self.message}", field=self.field)


def _failure_of(text: str) -> _Failure:
    """The error in any of the servers' shapes."""
    try:
        value = json.loads(text)
    except ValueError:
        return _Failure((text.strip() or "no reason given")[:_MAX_MESSAGE_CHARS])
    value = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(value, dict):
        return _Failure(str(value)[:_MAX_MESSAGE_CHARS])
    message = value.get("message") or value.get("detail") or json.dumps(value)
    name, code = value.get("param"), value.get("code") or value.get("type")
    return _Failure(
        str(message)[:_MAX_MESSAGE_CHARS],
        field=name if isinstance(name, str) else None,
        code=code if isinstance(code, str) else None,
    )


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header in seconds (its other form, a date, counts as none), within reason."""
    return min(float(retry_after), _MAX_RETRY_AFTER_S) if retry_after and retry_after.isdigit() else 0.0
