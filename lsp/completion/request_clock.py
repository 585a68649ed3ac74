"""The times of one request, from its arrival on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from lsp.completion.reading import Update
from lsp.status.telemetry import CompletionTiming


class RequestClock:
    """Starts when it is made. `delay_ms` is the part of the debounce."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self.delay_ms = 0
        self.first_ms: float | None = None

    def now_ms(self) -> float:
        """Since the request's arrival."""
        return (time.perf_counter() - self._started_s) * 1e3

    def is_first(self, update: Update) -> bool:
        """Whether this update is the first with something to show; notes its time if so."""
        if self.first_ms is not None or not (update.shown or update.item is not None):
            return False
        self.first_ms = self.now_ms()
        return True

    def stamped(self, update: Update, engine: Mapping[str, float]) -> Update:
        """The update, with the times so far in its item."""
        if update.item is None:
            return update
        item = replace(update.item, latency_ms=self.now_ms(), timings=engine)
        return replace(update, item=item)

    def timing(self, engine: Mapping[str, float], model: str) -> CompletionTiming:
        """The entry for the latency book: our times, and what the engine says of its own."""
        return CompletionTiming(
            model=model,
            debounce_ms=self.delay_ms,
            queue_ms=engine.get("queue_ms", 0.0),
            prefill_ms=engine.get("prefill_ms", 0.0),
            decode_ms=engine.get("decode_ms", 0.0),
            first_ms=self.first_ms,
            total_ms=self.now_ms(),
            prompt_tokens=int(engine.get("prompt_tokens", 0)),
            cached_tokens=int(engine.get("cached_tokens", 0)),
            completion_tokens=int(engine.get("completion_tokens", 0)),
        )
