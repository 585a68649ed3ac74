"""Counters of the engine process in Prometheus' text format.

Owns what is counted per request; the engine's own counters come in with each scrape. Written by
hand: two metric types are less code than a registry is to set up, and one dependency fewer.
Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.engine.generation import Timings
    from model.engine.stats import EngineStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Upper bounds in seconds: a keystroke should fall into the first four.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """Durations in milliseconds, reported in seconds as Prometheus wants them."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, milliseconds: float) -> None:
        """Count one duration."""
        seconds = milliseconds / 1e3
        self._counts[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def lines(self, name: str) -> Iterator[str]:
        """The samples: cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum_s:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What the HTTP face counts over the life of the process."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """Completion requests by the HTTP status of their answer; 499 is a client that left."""
        self._durations = {"queue": Histogram(), "prefill": Histogram(), "decode": Histogram()}

    def observe(self, timings: Timings) -> None:
        """Count the times of one finished alternative."""
        self._durations["queue"].observe(timings.queue_ms)
        self._durations["prefill"].observe(timings.prefill_ms)
        self._durations["decode"].observe(timings.decode_ms)

    def render(self, stats: EngineStats, info: Mapping[str, str]) -> str:
        """The whole scrape. `info` becomes the labels of `starcoder_engine_info`."""
        return "\n".join([*self._lines(stats, info), ""])

    def _lines(self, stats: EngineStats, info: Mapping[str, str]) -> Iterator[str]:
        labels = ",".join(f'{key}="{_escape(value)}"' for key, value in info.items())
        yield from _head("engine_info", "gauge", "What this engine serves, as labels.")
        yield f"starcoder_engine_info{{{labels}}} 1"
        for metric, value in stats.metrics():
            yield from _head(metric.name, metric.kind, metric.help)
            yield f"starcoder_{metric.name} {value}"
        yield from _head("requests_total", "counter", "Completion requests by HTTP status.")
        for status, count in sorted(self.requests.items()):
            yield f'starcoder_requests_total{{status="{status}"}} {count}'
        for phase, histogram in self._durations.items():
            yield from _head(f"{phase}_seconds", "histogram", f"Time in the {phase} of one alternative.")
            yield from histogram.lines(f"starcoder_{phase}_seconds")


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP starcoder_{name} {text}"
    yield f"# TYPE starcoder_{name} {kind}"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
