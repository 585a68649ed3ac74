"""How long to wait before an engine that keeps ending is started once more."""

from __future__ import annotations

from model.local.backoff import Backoff

_BACKOFF = Backoff(first_s=1.0, max_s=60.0)
_RESTARTS_AT_ONCE = 2
# An engine that lived longer than this (and than the pause before it) did not end because of its start.
_QUICK_END_S = 30.0


class RestartBackoff:
    """Two restarts at once, then pauses of 1, 2, 4 … 60 s while engines keep ending quickly.

    Times are in seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self.n_quick_ends = 0
        self._last_start_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start may be tried; 0 for now."""
        if self._last_start_s is None:
            return 0.0
        return max(0.0, self._last_start_s + self._pause_s() - now_s)

    def started(self, now_s: float) -> None:
        """An engine is being started: the one before it has ended."""
        if self._last_start_s is not None:
            ended_quickly = now_s - self._last_start_s < self._pause_s() + _QUICK_END_S
            self.n_quick_ends = self.n_quick_ends + 1 if ended_quickly else 0
        self._last_start_s = now_s

    def reset(self) -> None:
        """Forget what happened: the user asked for a new start."""
        self.n_quick_ends = 0
        self._last_start_s = None

    def _pause_s(self) -> float:
        return _BACKOFF.pause_s(self.n_quick_ends - _RESTARTS_AT_ONCE + 1)
