"""Asking a server again: what failed before its first item, and without a field that it refused.

Knows nothing about HTTP, and leaves to its callers which failures are worth another attempt.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Error = TypeVar("_Error", bound=Exception)


async def asked_again(
    attempt: Callable[[], AsyncGenerator[_Item, None]],
    prepare: Callable[[_Error], Awaitable[None]],
    kinds: type[_Error] | tuple[type[_Error], ...],
) -> AsyncGenerator[_Item, None]:
    """The items of the first attempt that gives any.

    `prepare` gets an error of `kinds` and makes ready for the next attempt, or raises the error. An error
    after the first item is raised at once: the items before it have been shown already.
    """
    while True:
        started = False
        try:
            async with aclosing(attempt()) as items:
                async for item in items:
                    started = True
                    yield item
            return
        except kinds as error:
            if started:
                raise
            await prepare(error)


class DispensableFields:
    """Fields of a request that we can do without, and which of them this server has refused."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._refused: set[str] = set()

    def drop_refused(self, error: Exception) -> bool:
        """Leave out from now on the field that an error names; False if no field can be left out."""
        name = next((name for name in self._names if re.search(rf"\b{name}\b", str(error))), None)
        if name is None or name in self._refused:
            return False
        self._refused.add(name)
        return True

    def kept(self, body: dict[str, Any]) -> dict[str, Any]:
        """The fields to send: those that have a value and were not refused."""
        return {k: v for k, v in body.items() if v is not None and k not in self._refused}
