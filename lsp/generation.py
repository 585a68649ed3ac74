"""One running answer of the engine, which several requests of the editor may read.

While the user types what is being suggested anyway, each keystroke brings a new request of the
editor, but the engine's answer goes on: the new request reads the rest of it. A generation that
nobody reads any more ends after a short grace time, in which such a request may still come.
Knows nothing about the editor's protocol or about what is done with the text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.errors import ModelError

if TYPE_CHECKING:
    from model.client import CompletionDelta

# An editor cancels the old request before it sends the edit and the new request. How long a
# typist and the editor's own debounce may take in between; the engine works for nobody meanwhile.
GRACE_S = 0.35


@dataclass
class Alternative:
    """One alternative so far."""

    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str | None = None


class Generation:
    """The engine's answer to one query, collected by a task of its own."""

    def __init__(
        self, deltas: AsyncGenerator[CompletionDelta, None], *, n: int, on_end: Callable[[Generation], None]
    ) -> None:
        self.alternatives = [Alternative() for _ in range(n)]
        self.error: BaseException | None = None
        self.timings: Mapping[str, float] = {}
        self.started_s = time.perf_counter()
        self.first_token_ms: float | None = None
        self.total_ms: float | None = None
        self._on_end = on_end
        self._n_readers = 0
        self._grace: asyncio.TimerHandle | None = None
        self._change = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._collect(deltas))
        # Not a `finally` of the task: one that is cancelled before its first step never runs any.
        self._task.add_done_callback(self._ended)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.total_ms is not None

    @property
    def complete(self) -> bool:
        """Whether the engine said all it had to say."""
        return self.finished and all(each.finish_reason is not None for each in self.alternatives)

    async def progress(self) -> AsyncIterator[None]:
        """Yield now and after each change, until the end (a failure is in `error`)."""
        while True:
            change = self._change
            yield
            if self.finished and change is self._change:
                return
            await change.wait()

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Keep the generation running while the block reads it."""
        self._n_readers += 1
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        try:
            yield
        finally:
            self._n_readers -= 1
            if not self._n_readers and not self.finished:
                self._grace = asyncio.get_running_loop().call_later(GRACE_S, self._task.cancel)

    def stop_if_unread(self) -> None:
        """End now instead of after the grace time: the document has moved on elsewhere."""
        if not self._n_readers:
            self._task.cancel()

    async def stop(self) -> None:
        """End now, whoever reads, and wait until the engine has been told."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _collect(self, deltas: AsyncGenerator[CompletionDelta, None]) -> None:
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    self._take(delta)
        except ModelError as error:
            self.error = error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.total_ms = (time.perf_counter() - self.started_s) * 1e3
        if not task.cancelled() and (unexpected := task.exception()) is not None:
            self.error = unexpected
        if self._grace is not None:
            self._grace.cancel()
        self._changed()
        self._on_end(self)

    def _take(self, delta: CompletionDelta) -> None:
        if self.first_token_ms is None and delta.text:
            self.first_token_ms = (time.perf_counter() - self.started_s) * 1e3
        alternative = self.alternatives[delta.index]
        alternative.text += delta.text
        alternative.logprobs.extend(delta.logprobs)
        alternative.finish_reason = delta.finish_reason or alternative.finish_reason
        self.timings = delta.timings or self.timings
        self._changed()

    def _changed(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()
