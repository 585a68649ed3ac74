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


_OWNERS_ROUTES = ("/metrics", "/shutdown")


class Guard:
    """An ASGI application in front of another.

    With a token it lets in whoever has it. Without one, on a loopback port, it keeps web pages out, to
    which browsers leave two ways open (a "simple" POST across origins, and DNS rebinding), and keeps from
    this machine's other users what would tell of one another's prompts, and the engine's end.
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
        if self._local_only and (reason := _reason_without_token(scope["path"], headers)):
            return _refuse(403, reason)
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and content_type != "application/json":
            return _refuse(415, f"Content-Type is {content_type!r}: send application/json")
        return None


def _is_bearer(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _reason_without_token(path: str, headers: Headers) -> str | None:
    """Why a request to a port that asks for no token is refused."""
    if not _names_this_machine(headers.get("host", "")):
        return f"Host {headers.get('host')!r} is not this machine: use 127.0.0.1 or localhost"
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "a web page asks: start the engine with a token, which the page sends"
    if path in _OWNERS_ROUTES:
        return f"{path} is for the engine's owner: start it without --no-token, and send the token"
    return None


def _names_this_machine(host_header: str) -> bool:
    host = host_header.rsplit(":", 1)[0] if not host_header.endswith("]") else host_header
    return is_loopback(host.strip("[]"))


def _refuse(status: int, message: str) -> Response:
    return JSONResponse(access_error(message), status_code=status)
