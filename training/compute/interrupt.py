"""Ctrl+C and SIGTERM as a wish to stop that a run looks at between steps."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """While entered, `requested` turns true at SIGINT or SIGTERM instead of anything being cut short."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopOnSignal:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def ignore_signals() -> None:
    """From now on neither signal does anything, but while a `StopOnSignal` is entered."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
