"""The local latency book: how fast completions were and what became of them.

Its memory is bounded, it has no clock (callers give seconds), and it writes and sends nothing (the medians by
model are `lsp.status.latencies`').
The status command shows `report`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model.languages.words import words_and_marks

RETAINED_AFTER_S = 30.0
_BOOK_ENTRIES = 2000
_PENDING = 200
_PHASES = ("debounce", "queue", "prefill", "decode", "first", "total")


@dataclass(frozen=True, kw_only=True)
class CompletionTiming:
    """One completion's times in milliseconds. `first_ms`: from the key to the first shown text, if any."""

    model: str = ""
    debounce_ms: float = 0.0
    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    first_ms: float | None = None
    total_ms: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Text that the user accepted at `at_s`, to be looked for again 30 s later."""

    uri: str
    line: int
    text: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Median and 95th percentile of `count` values, in milliseconds."""

    p50_ms: float
    p95_ms: float
    count: int


@dataclass
class _Counts:
    requested: int = 0
    shown: int = 0
    accepted: int = 0
    partially_accepted: int = 0
    rejected: int = 0
    cancelled: int = 0
    failed: int = 0
    typed_through: int = 0
    shown_chars: int = 0
    accepted_chars: int = 0
    not_shown: dict[str, int] = field(default_factory=dict)
    attributed: int = 0
    late_checks: int = 0


class LatencyBook:
    """Counts since the server's start, and the times of its last 2,000 completions."""

    def __init__(self, entries: int = _BOOK_ENTRIES) -> None:
        self._timings: deque[CompletionTiming] = deque(maxlen=entries)
        self._pending: deque[Acceptance] = deque(maxlen=_PENDING)
        self._retained: deque[float] = deque(maxlen=entries)
        self._checks_ms: deque[float] = deque(maxlen=entries)
        self._checks_by_hand_ms: deque[float] = deque(maxlen=entries)
        self._counts = _Counts()

    def requested(self) -> None:
        """A completion was asked for."""
        self._counts.requested += 1

    def completed(self, timing: CompletionTiming) -> None:
        """The engine has answered in full."""
        self._timings.append(timing)

    def cancelled(self) -> None:
        """A newer key or the client has ended a request."""
        self._counts.cancelled += 1

    def failed(self) -> None:
        """The engine has failed to answer."""
        self._counts.failed += 1

    def typed_through(self) -> None:
        """An older suggestion was served again, since the typed text agrees with it."""
        self._counts.typed_through += 1

    def not_shown(self, reason: str) -> None:
        """A filter, the confidence gate or an exclusion has dropped a suggestion."""
        reasons = self._counts.not_shown
        if reason in reasons or len(reasons) < 50:
            reasons[reason] = reasons.get(reason, 0) + 1

    def checked(self, took_ms: float, *, by_hand: bool) -> None:
        """A text was looked up in the attribution index: a suggestion, or what the user asked about."""
        (self._checks_by_hand_ms if by_hand else self._checks_ms).append(took_ms)

    def attributed(self) -> None:
        """A suggestion was found to be a copy."""
        self._counts.attributed += 1

    def check_late(self) -> None:
        """A suggestion was not looked up because the index takes too long."""
        self._counts.late_checks += 1

    def shown(self, chars: int) -> None:
        """The client has shown a suggestion."""
        self._counts.shown += 1
        self._counts.shown_chars += chars

    def rejected(self) -> None:
        """The user dismissed a suggestion."""
        self._counts.rejected += 1

    def accepted(self, acceptance: Acceptance, *, partially: bool = False) -> None:
        """The user took a suggestion, or a part of it (then `text` is that part)."""
        if partially:
            self._counts.partially_accepted += 1
        else:
            self._counts.accepted += 1
        self._counts.accepted_chars += len(acceptance.text)
        self._pending.append(acceptance)

    def due(self, now_s: float) -> list[Acceptance]:
        """The acceptances that are 30 s old, each once. Give each to `judged`."""
        found: list[Acceptance] = []
        while self._pending and self._pending[0].at_s + RETAINED_AFTER_S <= now_s:
            found.append(self._pending.popleft())
        return found

    def judged(self, acceptance: Acceptance, nearby: str) -> float:
        """Record how much of an accepted text is left in the document's text near its place (0 … 1)."""
        fraction = retained_fraction(acceptance.text, nearby)
        self._retained.append(fraction)
        return fraction

    def recent_total_ms(self, count: int = 10) -> list[float]:
        """The latest response times without the debounce, the newest last: for the adaptive debounce."""
        return [timing.total_ms - timing.debounce_ms for timing in list(self._timings)[-count:]]

    def first_ms_by_model(self) -> dict[str, Quantiles]:
        """From a key to the first text, by the model that answered."""
        times: dict[str, list[float]] = {}
        for timing in self._timings:
            if timing.first_ms is not None:
                times.setdefault(timing.model, []).append(timing.first_ms)
        return {model: quantiles(each) for model, each in times.items()}

    def report(self) -> dict[str, Any]:
        """Everything as a JSON-able mapping."""
        counts = self._counts
        prompt = sum(timing.prompt_tokens for timing in self._timings)
        cached = sum(timing.cached_tokens for timing in self._timings)
        decode_s = sum(timing.decode_ms for timing in self._timings) / 1000
        tokens = sum(timing.completion_tokens for timing in self._timings)
        return {
            "completions": len(self._timings),
            "latencyMs": {name: _as_mapping(self._quantiles(name)) for name in _PHASES},
            "kvHitRate": _ratio(cached, prompt),
            "tokensPerSecond": _ratio(tokens, decode_s),
            "requested": counts.requested,
            "shown": counts.shown,
            "accepted": counts.accepted,
            "partiallyAccepted": counts.partially_accepted,
            "rejected": counts.rejected,
            "cancelled": counts.cancelled,
            "failed": counts.failed,
            "typedThrough": counts.typed_through,
            "shownChars": counts.shown_chars,
            "acceptedChars": counts.accepted_chars,
            "acceptanceRate": _ratio(counts.accepted + counts.partially_accepted, counts.shown),
            "retained": _ratio(sum(self._retained), len(self._retained)),
            "retainedJudged": len(self._retained),
            "attribution": {
                "suggestions": _as_mapping(quantiles(self._checks_ms)),
                "byHand": _as_mapping(quantiles(self._checks_by_hand_ms)),
                "found": counts.attributed,
                "late": counts.late_checks,
            },
            "notShown": dict(sorted(counts.not_shown.items(), key=lambda item: -item[1])),
        }

    def table(self) -> str:
        """The report as lines of text."""
        return format_report(self.report())

    def _quantiles(self, phase: str) -> Quantiles:
        values = (getattr(timing, f"{phase}_ms") for timing in self._timings)
        return quantiles(value for value in values if value is not None)


def quantiles(values: Iterable[float]) -> Quantiles:
    """Median and 95th percentile by the nearest-rank method; zeros for no values."""
    ordered = sorted(values)
    if not ordered:
        return Quantiles(p50_ms=0.0, p95_ms=0.0, count=0)

    def rank(share: float) -> float:
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

    return Quantiles(p50_ms=rank(0.5), p95_ms=rank(0.95), count=len(ordered))


def retained_fraction(accepted: str, nearby: str) -> float:
    """The share of an accepted text's tokens that stand in `nearby`, in their order (0 … 1).

    White space does not count: what a formatter moves is still retained.
    """
    import difflib  # 5 ms: only at the first judgement

    wanted, found = words_and_marks(accepted), words_and_marks(nearby)
    if not wanted:
        return 1.0
    matcher = difflib.SequenceMatcher(None, wanted, found, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(wanted)


def format_report(report: Mapping[str, Any]) -> str:
    """A report as a small text table."""
    lines = [f"{report['completions']} completions", "", f"{'ms':<10}{'p50':>9}{'p95':>9}{'n':>7}"]
    for name, row in report["latencyMs"].items():
        lines.append(f"{name:<10}{row['p50']:>9.1f}{row['p95']:>9.1f}{row['count']:>7}")
    lines += [
        "",
        f"KV hit rate        {_percent(report['kvHitRate'])}",
        f"tokens per second  {_number(report['tokensPerSecond'])}",
        f"requested          {report['requested']} ({report['typedThrough']} typed through, "
        f"{report['cancelled']} cancelled, {report['failed']} failed)",
        f"shown              {report['shown']}",
        f"accepted           {report['accepted']} + {report['partiallyAccepted']} in part "
        f"({_percent(report['acceptanceRate'])})",
        f"retained after {RETAINED_AFTER_S:.0f} s {_percent(report['retained'])} "
        f"of {report['retainedJudged']}",
    ]
    lines += _lines_of_checks(report["attribution"])
    lines += [f"not shown: {reason} × {count}" for reason, count in report["notShown"].items()]
    return "\n".join(lines)


def _lines_of_checks(report: Mapping[str, Any]) -> list[str]:
    rows = [("suggestions", report["suggestions"]), ("texts by hand", report["byHand"])]
    lines = [
        f"attribution: {row['count']} {name} looked up, p50 {row['p50']:.1f} ms, p95 {row['p95']:.1f} ms"
        for name, row in rows
        if row["count"]
    ]
    if report["found"] or report["late"]:
        lines.append(f"attribution: {report['found']} copies, {report['late']} shown without a check")
    return lines


def _as_mapping(values: Quantiles) -> dict[str, float | int]:
    return {"p50": round(values.p50_ms, 2), "p95": round(values.p95_ms, 2), "count": values.count}


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
