"""What the engine counts over its life and what it holds now, each described once for /metrics.

Knows neither who counts nor how the numbers are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

_METRIC = "metric"


@dataclass(frozen=True)
class Metric:
    """How Prometheus is told of a number; `name` stands after the prefix that all metrics share."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str


def _gauge(name: str, help: str) -> int:
    return field(default=0, metadata={_METRIC: Metric(name, "gauge", help)})


def _counter(name: str, help: str) -> int:
    return field(default=0, metadata={_METRIC: Metric(f"{name}_total", "counter", help)})


@dataclass(kw_only=True)
class EngineStats:
    """Gauges of now, and counters since the start."""

    running: int = _gauge("running_sequences", "Sequences being decoded.")
    waiting: int = _gauge("waiting_sequences", "Sequences waiting for a place in the batch.")
    kv_tokens_used: int = _gauge("kv_tokens_used", "Tokens held in the KV cache, kept prefixes included.")
    kv_tokens_pinned: int = _gauge("kv_tokens_pinned", "Those of them that running sequences need.")
    kv_tokens_capacity: int = _gauge("kv_tokens_capacity", "Tokens that the KV cache can hold.")
    prompt_tokens: int = _counter("prompt_tokens", "Prompt tokens of all sequences that have ended.")
    prefix_hit_tokens: int = _counter("prefix_hit_tokens", "Those of them that were found in the cache.")
    moved_tokens: int = _counter("moved_tokens", "Those of them in suffixes kept from another prefix.")
    computed_tokens: int = _counter("computed_tokens", "Tokens that went through the model.")
    generated_tokens: int = _counter("generated_tokens", "Tokens generated.")
    drafted_tokens: int = _counter("drafted_tokens", "Tokens drafted.")
    accepted_tokens: int = _counter("accepted_tokens", "Drafted tokens that were accepted.")
    evicted_tokens: int = _counter("evicted_tokens", "Tokens dropped from the KV cache for others.")
    finished: int = _counter("finished", "Sequences that ended by themselves.")
    cancelled: int = _counter("cancelled", "Sequences cancelled by their client.")
    failed: int = _counter("failed", "Sequences that ended in an error.")

    def metrics(self) -> Iterator[tuple[Metric, int]]:
        """Each number with its description."""
        return ((each.metadata[_METRIC], getattr(self, each.name)) for each in fields(self))
