"""How long a connection may take to ask: the HTTP protocol of uvicorn, with an end to waiting for a head.

uvicorn closes connections that are idle between two requests, but waits for ever for the rest of a request's
head. Bodies are `model.serve.server`'s. Source: uvicorn 0.35 and newer, `uvicorn.protocols.http.h11_impl`.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 30.0


class PatientProtocol(H11Protocol):
    """Closes a connection whose request's head is not complete `HEAD_S` seconds after it began."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The wait for the first head begins."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """The wait ends with a head, and begins with the first bytes of the next one."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
