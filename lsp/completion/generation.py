"""One running answer of the engine, which several requests of the editor may read.

While the user types what is being suggested anyway, each key brings a new request of the editor. The
engine's answer goes on, and the new request reads the rest of it. A generation without a reader ends
after a short grace time, in which such a request may still come. Knows neither the editor's protocol
nor what is done with the text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.errors import ModelError

if TYPE_CHECKING:
    from model.client.client import CompletionDelta

# An editor cancels the old request before it sends the edit and the new request. This long the typist
# and the editor's debounce may take in between; meanwhile the engine works for nobody.
GRACE_S = 0.35


@dataclass
class Alternative:
    """One alternative so far."""

    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether it was stopped before its end."""
        return self.finish_reason not in (None, "stop", "length")

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, by itself or at the token limit."""
        return self.finish_reason in ("stop", "length")


class Generation:
    """The engine's answer to one query, collected by a task of its own."""

    def __init__(self, deltas: AsyncGenerator[CompletionDelta, None], *, n: int) -> None:
        self.alternatives = [Alternative() for _ in range(n)]
        self.error: BaseException | None = None
        self.timings: Mapping[str, float] = {}
        self.finished = False
        self._is_cancelled = False
        self._n_readers = 0
        self._grace: asyncio.TimerHandle | None = None
        self._change = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._collect(deltas))
        # Not a `finally` of the task: a task that is cancelled before its first step runs none.
        self._task.add_done_callback(self._ended)

    @property
    def is_ending(self) -> bool:
        """Whether it has ended or is being cancelled."""
        return self.finished or self._is_cancelled

    def conclude(self, index: int, finish_reason: str) -> None:
        """No more of an alternative is needed. Once none is, the engine's work is cancelled."""
        if self.alternatives[index].finish_reason is not None:
            return
        self.alternatives[index].finish_reason = finish_reason
        if all(each.finish_reason for each in self.alternatives):
            self._cancel()

    async def progress(self) -> AsyncGenerator[None, None]:
        """Yield now and after each change, until the end. A failure is in `error`."""
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
                self._grace = asyncio.get_running_loop().call_later(GRACE_S, self._cancel)

    def stop_if_unread(self) -> None:
        """End now, without the grace time, unless somebody reads."""
        if not self._n_readers:
            self._cancel()

    async def stop(self) -> None:
        """End now, also with readers, and wait until the engine's stream is closed."""
        self._cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._task.cancel()

    async def _collect(self, deltas: AsyncGenerator[CompletionDelta, None]) -> None:
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    self._take(delta)
        except ModelError as error:
            self.error = error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.finished = True
        if not task.cancelled() and (unexpected := task.exception()) is not None:
            self.error = unexpected
        if self._grace is not None:
            self._grace.cancel()
        self._changed()

    def _take(self, delta: CompletionDelta) -> None:
        alternative = self.alternatives[delta.index]
        alternative.text += delta.text
        alternative.logprobs.extend(delta.logprobs)
        alternative.finish_reason = delta.finish_reason or alternative.finish_reason
        self.timings = delta.timings or self.timings
        self._changed()

    def _changed(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()
