"""How long to wait before an engine that keeps ending is started once more."""

from __future__ import annotations

_FIRST_WAIT_S = 1.0
_MAX_WAIT_S = 60.0
# An engine that lived longer than this did not end because of how it starts.
_QUICK_END_S = 30.0


class RestartBackoff:
    """One restart at once, then pauses of 1, 2, 4 … 60 s while engines keep ending quickly.

    Times are in seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self.n_quick_ends = 0
        self._last_start_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start may be tried; 0 for now."""
        if self.n_quick_ends < 2 or self._last_start_s is None:
            return 0.0
        pause_s = min(_FIRST_WAIT_S * 2.0 ** (self.n_quick_ends - 2), _MAX_WAIT_S)
        return max(0.0, self._last_start_s + pause_s - now_s)

    def started(self, now_s: float) -> None:
        """An engine is being started: the one before it has ended."""
        self.n_quick_ends += 1
        if self._last_start_s is None or now_s - self._last_start_s > _QUICK_END_S:
            self.n_quick_ends = 0
        self._last_start_s = now_s

    def reset(self) -> None:
        """Forget what happened: the user asked for a new start."""
        self.n_quick_ends = 0
        self._last_start_s = None
