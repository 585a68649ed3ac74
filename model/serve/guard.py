"""Who may use the engine: the check in front of every request.

Knows headers and addresses; what is behind it is another ASGI application.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from model.local.listen import is_loopback
from model.serve.answers import access_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """An ASGI application in front of another.

    With a token it lets in whoever has it. Without one, on a loopback port, it keeps web pages out, to
    which browsers leave two ways open (a "simple" POST across origins, and DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, token: str | None, local_only: bool) -> None:
        self._app = app
        self._token = token
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand over."""
        answer = self._refusal(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is not None and not _is_bearer(headers.get("authorization", ""), self._token):
            if scope["path"] == "/health":  # a load balancer may ask, and learns nothing else
                return JSONResponse({"status": "ok"})
            return _refuse(401, "send the engine's token as Authorization: Bearer TOKEN")
        if self._local_only and not _names_this_machine(headers.get("host", "")):
            return _refuse(
                403, f"Host {headers.get('host')!r} is not this machine: use 127.0.0.1 or localhost"
            )
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and content_type != "application/json":
            return _refuse(415, f"Content-Type is {content_type!r}: send application/json")
        return None


def _is_bearer(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _names_this_machine(host_header: str) -> bool:
    host = host_header.rsplit(":", 1)[0] if not host_header.endswith("]") else host_header
    return is_loopback(host.strip("[]"))


def _refuse(status: int, message: str) -> Response:
    return JSONResponse(access_error(message), status_code=status)
