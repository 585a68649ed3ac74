"""An engine in a thread of its own, driven from asyncio.

The step loop runs in one thread and owns the engine; the event loop only puts requests and
cancellations into an inbox, which the thread empties before every step. So a closed stream is
gone within one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace

from model.engine.engine import Engine, Handle
from model.engine.generation import Delta, GenerationRequest
from model.engine.stats import EngineStats
from model.errors import EngineUnavailableError, RequestError
from model.runner.sampling import SamplingParams

# A pause in which somebody thinks is shorter; a burst of a moment ago is not held for long.
_REST_SECONDS = 30.0

logger = logging.getLogger(__name__)

# What a stream's queue carries: one step's deltas, or why there will be none.
_Event = list[Delta] | Exception


class _Stream:
    """One request between the two threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, request: GenerationRequest, owner: str) -> None:
        self.request, self.owner = request, owner
        self.events: asyncio.Queue[_Event] = asyncio.Queue()
        self.handle: Handle | None = None  # the step thread's
        self.closed = False  # set once, by the event loop
        self._loop = loop

    def put(self, event: _Event) -> None:
        """Called by the step thread."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)


class AsyncEngine:
    """Owns the step thread of one `Engine` between `start` and `stop`.

    `rest_seconds` after the last step memory is given back (`Engine.rest`), once.
    """

    def __init__(self, engine: Engine, *, rest_seconds: float = _REST_SECONDS) -> None:
        self.engine = engine
        self._rest_seconds = rest_seconds
        self._inbox: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._streams: dict[Handle, _Stream] = {}
        # The step thread's, as the streams' handles are: what is computed ahead, and what will be.
        self._ahead: Handle | None = None
        self._coming: deque[GenerationRequest] = deque()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the step thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the step thread; streams that still run fail with `EngineUnavailableError`."""
        self._post(self._stop)
        await asyncio.to_thread(self._thread.join)

    async def generate(self, request: GenerationRequest, owner: str = "") -> AsyncGenerator[Delta, None]:
        """Stream a request's deltas until all its alternatives have ended.

        Closing the generator cancels within one step. Owners take turns. Raises `RequestError` before the
        first delta if the request can never be served.
        """
        stream = _Stream(asyncio.get_running_loop(), request, owner)
        self._post(lambda: self._submit(stream))
        n_ended = 0
        try:
            while n_ended < request.n:
                event = await stream.events.get()
                if isinstance(event, Exception):
                    raise event
                for delta in event:
                    n_ended += delta.finish_reason is not None
                    yield delta
        finally:
            if n_ended < request.n:
                stream.closed = True
                self._post(lambda: self._cancel(stream))

    def foresee(self, *requests: GenerationRequest) -> None:
        """Bring prompts that are likely to come next into the cache, one after another and each exact, if the
        engine is idle.

        Any request ends this work within one small step.
        """
        self._post(lambda: self._foresee(requests))

    def stats(self) -> EngineStats:
        """The engine's counters; a step may be under way.

        Whatever has ended is counted already and has given back its slots of the cache.
        """
        return self.engine.stats()

    def _post(self, call: Callable[[], None]) -> None:
        with self._wake:
            self._inbox.append(call)
            self._wake.notify()

    def _run(self) -> None:
        rests = True
        while not self._stopping:
            with self._wake:
                patience_s = None if rests else self._rest_seconds
                has_work = self._wake.wait_for(lambda: self._inbox or self.engine.busy, patience_s)
                inbox, self._inbox = self._inbox, []
            if not has_work:
                self.engine.rest()
            rests = not has_work
            for call in inbox:
                call()
            if self.engine.busy and not self._stopping:
                self._step()
                self._look_ahead()
        for stream in list(self._streams.values()):
            stream.put(EngineUnavailableError("the engine is stopping"))

    def _step(self) -> None:
        try:
            events = self.engine.step()
        except Exception as error:  # whatever broke, the next request must be served
            logger.exception("a step of the engine failed")
            events = self.engine.fail_all(f"{type(error).__name__}: {error}")
        by_handle: dict[Handle, list[Delta]] = {}
        for handle, delta in events:
            by_handle.setdefault(handle, []).append(delta)
        for handle, deltas in by_handle.items():
            stream = self._streams.get(handle)
            if stream is None:  # computed ahead, for nobody
                continue
            stream.put(deltas)
            if handle.done:
                del self._streams[handle]

    def _submit(self, stream: _Stream) -> None:
        if stream.closed:
            return
        self._coming.clear()
        if self._ahead is not None:
            self.engine.cancel(self._ahead)
            self._ahead = None
        try:
            stream.handle = self.engine.submit(stream.request, stream.owner)
        except Exception as error:  # this stream's caller gets it; the thread must live on
            stream.put(error)
            return
        self._streams[stream.handle] = stream

    def _foresee(self, requests: Iterable[GenerationRequest]) -> None:
        if not self.engine.busy:
            self._coming = deque(requests)
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Begin with the next prompt that is not in the cache, once there is nothing else to do."""
        while self._coming and not self.engine.busy:
            request = self._coming.popleft()
            ahead = replace(
                request,
                sampling=SamplingParams(max_new_tokens=1),
                healed=b"",
                keeps_suffix=False,
                shorter=None,
                n=1,
                ignore_eos=True,
                is_ahead=True,
            )
            if self.engine.n_unknown(ahead) <= 1:
                continue
            with contextlib.suppress(RequestError):  # too long, say: then the request itself will be told so
                self._ahead = self.engine.submit(ahead)

    def _cancel(self, stream: _Stream) -> None:
        if stream.handle is not None and stream.handle in self._streams:
            del self._streams[stream.handle]
            self.engine.cancel(stream.handle)

    def _stop(self) -> None:
        self._stopping = True
