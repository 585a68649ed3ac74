"""What the requests of one engine process share: the engine, its counters, its end.

Owns the idle clock and the tokenizer's thread. Knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from model.errors import RequestError
from model.serve.metrics import Metrics

if TYPE_CHECKING:
    from model.engine.generation import Delta, GenerationRequest
    from model.engine.stats import EngineStats
    from model.serve.chat_protocol import ChatBody
    from model.serve.protocol import CompletionBody

    AnyBody = CompletionBody | ChatBody

# Encoding this much takes a millisecond at first. More of it goes to a thread, and the other streams flow on.
_INLINE_CHARS = 4_000
# This much takes a tenth of a second, and goes to another thread than a key's prompt.
_LONG_CHARS = 200_000
# What an idle engine computes ahead is of a key's size.
_AHEAD_CHARS = 32_000


@dataclass(frozen=True, kw_only=True)
class Served:
    """What an engine process says about itself in `/health` and `/v1/models`."""

    name: str
    license: str | None = None
    restrictions: str | None = None
    context_tokens: int | None = None
    """Positions of the model: prompt and answer together."""
    chat: str | None = None
    """How it is asked in chats: by its own `template`, or as a base model by a `dialogue`."""
    details: tuple[tuple[str, str], ...] = ()
    """How it runs (dtype, quantize, device …): labels of `starcoder_engine_info`."""


class Generator(Protocol):
    """What serving needs of `model.engine.async_engine.AsyncEngine`."""

    def generate(self, request: GenerationRequest, owner: str) -> AsyncGenerator[Delta, None]:
        """Stream one request; closing the generator cancels it. Owners take turns."""

    def foresee(self, *requests: GenerationRequest) -> None:
        """Bring prompts that are likely to come into the cache, exact ones, if nothing else is to do."""

    def stats(self) -> EngineStats:
        """The engine's counters now."""


class Serving:
    """The state of one engine process between its first and its last request.

    `prepare` turns a body into work for the engine, `read` one whose prompt says where its parts are into one
    with the parts apart, `token_bytes` are those that one token stands for.
    """

    def __init__(
        self,
        engine: Generator,
        served: Served,
        *,
        prepare: Callable[[AnyBody], GenerationRequest],
        token_bytes: Callable[[int], bytes],
        read: Callable[[CompletionBody], CompletionBody] = lambda body: body,
    ) -> None:
        self.engine = engine
        self.served = served
        self.token_bytes = token_bytes
        self.metrics = Metrics()
        self.stopping = asyncio.Event()
        self._prepare, self._read = prepare, read
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer")
        self._tokenizing_long = ThreadPoolExecutor(max_workers=1, thread_name_prefix="long-tokenizer")
        self._running = 0
        self._last_busy_s = _now_s()

    async def prepare(self, body: AnyBody) -> GenerationRequest:
        """Tokenize and check. Raises `RequestError`."""
        if body.n_chars <= _INLINE_CHARS:
            return self._prepare(body)
        pool = self._tokenizing if body.n_chars <= _LONG_CHARS else self._tokenizing_long
        return await asyncio.get_running_loop().run_in_executor(pool, self._prepare, body)

    def answered(self, body: CompletionBody, answer: str) -> None:
        """Let an idle engine compute prompts that are likely to come.

        The prompt itself, where its suffix was kept or a shorter one was answered; and the one that follows
        if the answer is accepted. The cache has not all of that: its last tokens are others than were
        generated, and its window may begin elsewhere.
        """
        body = self._read(body)
        if not body.is_fim or body.n_chars + len(answer) > _AHEAD_CHARS:
            return
        assert isinstance(body.prompt, str)
        with contextlib.suppress(RuntimeError):  # the engine is ending
            self._tokenizing.submit(self._foresee, body, body.prompt, answer)

    def _foresee(self, body: CompletionBody, prompt: str, answer: str) -> None:
        """In the tokenizer's thread."""
        is_exact = not body.keep_suffix and body.max_prompt_ms is None
        prompts = [*([] if is_exact else [prompt]), *([prompt + answer] if answer else [])]
        with contextlib.suppress(RequestError):  # the answer filled the context
            self.engine.foresee(*(self._prepare(body.model_copy(update={"prompt": one})) for one in prompts))

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the idle clock from running out while a request is served."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._last_busy_s = _now_s()

    async def stop_when_idle(self, idle_seconds: float) -> None:
        """Set `stopping` once no completion has run for `idle_seconds`.

        Health checks do not count: a window left open would keep the engine for ever.
        """
        while (left_s := self._last_busy_s + idle_seconds - _now_s()) > 0 or self._running:
            await asyncio.sleep(left_s if left_s > 0 else idle_seconds)
        self.stopping.set()

    def close(self) -> None:
        """Let the tokenizer's threads end."""
        for pool in (self._tokenizing, self._tokenizing_long):
            pool.shutdown(wait=False, cancel_futures=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
