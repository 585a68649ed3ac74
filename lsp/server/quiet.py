"""Keeps meaningless noise out of the editor's log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any


def quieten_libraries() -> None:
    """Silence pygls, which warns of every cancellation that comes after the answer; many do."""
    logging.getLogger("pygls").setLevel(logging.ERROR)


def quieten_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Install the exception handler below; call it on the loop's own thread."""
    loop.set_exception_handler(_handle)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # anyio 4.16, UNIXSocketStream: when a read is cancelled in the same turn in which data arrives, the
    # reader's callback still runs and finds its future done. The connection is being closed anyway.
    is_late = isinstance(context.get("exception"), asyncio.InvalidStateError)
    if not (is_late and "Future.set_result" in str(context.get("message"))):
        loop.default_exception_handler(context)
