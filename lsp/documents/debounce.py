"""How long to wait after a key before a completion is computed.

The form is Tabby's (clients/tabby-agent, `codeCompletion/debounce`):
clamp(100, 1000, (3.0 − 1.5·score)·mean key gap − mean response). Changed here:

- It is half as long. A request is cheap to lose: typed text that matches keeps the suggestion running, and
  the engine reuses its cache and drops a cancelled request within one step.
- It takes medians of the last gaps and responses, not means, so that one pause for thought or one cold
  start does not slow the next ten keys.
- The lower end is 15 ms instead of 100; the upper end is 250 ms where the engine answers at once.
- The score also counts a cursor in mid-line, where few suggestions are accepted, and a place that asks for
  more text: after an operator, an opening bracket, a dot.

Pure: the caller keeps the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MIN_DELAY_MS = 15
MAX_DELAY_MS = 1000
# Above this, the user was thinking, not typing.
PAUSE_MS = 1000.0
_TYPICAL_GAP_MS = 180.0
_RECENT = 10
_FAST_RESPONSE_MS = 150.0
_MAX_DELAY_FAST_MS = 250

# Names in initialize's `clientInfo` whose inline completion debounces before it asks.
_DEBOUNCING_CLIENTS = (
    "visual studio code",
    "code - oss",
    "vscodium",
    "code-server",
    "cursor",
    "windsurf",
)


@dataclass(frozen=True, kw_only=True)
class CursorLine:
    """The cursor's line before and after it, and whether the document ends here."""

    line_before: str
    line_tail: str
    at_document_end: bool = False


def debounce_ms(
    place: CursorLine,
    *,
    key_gaps_ms: Sequence[float] = (),
    responses_ms: Sequence[float] = (),
    setting: int | Literal["auto"] = "auto",
    client_debounces: bool = False,
    manual: bool = False,
) -> int:
    """Milliseconds to wait. `key_gaps_ms` and `responses_ms` are the latest ones, the newest last."""
    if manual or (client_debounces and setting == "auto"):
        return 0
    if setting != "auto":
        return setting
    gaps = [gap for gap in key_gaps_ms[-_RECENT:] if 0 <= gap <= PAUSE_MS]
    response = _median(responses_ms[-_RECENT:]) if responses_ms else 0.0
    gap = _median(gaps) if gaps else _TYPICAL_GAP_MS
    longest = _MAX_DELAY_FAST_MS if responses_ms and response <= _FAST_RESPONSE_MS else MAX_DELAY_MS
    delay = (1.5 - 0.75 * score(place)) * gap - response
    return round(min(max(delay, MIN_DELAY_MS), longest))


def score(place: CursorLine) -> float:
    """How likely the user wants a suggestion here, 0 … 1 (Tabby's weights, and two more)."""
    last = place.line_before.rstrip(" \t")[-1:]
    value = 0.0
    if not place.line_before[-1:].isalnum() and place.line_before[-1:] != "_":
        value += 0.5
    if last and last in ".([{=,:<>+-*/|&":
        value += 0.1
    if not place.line_tail.strip(")]}\"'`;,: \t\r\n"):
        value += 0.3
    if place.at_document_end:
        value += 0.1
    return value


def client_debounces(name: str | None, *, declared: bool | None = None) -> bool:
    """Whether the client waits before it asks. `declared`: what it says under `experimental.starcoder`."""
    if declared is not None:
        return declared
    return (name or "").lower().startswith(_DEBOUNCING_CLIENTS)


def _median(values: Sequence[float]) -> float:
    # `statistics` would cost 7 ms of the server's start.
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
