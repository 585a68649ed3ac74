"""The status of completions, as the user sees it: `starcoder/status`.

Owns the current status and the rule for when it changes. Knows neither engines nor editors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from model.local.redaction import without_credentials


class State(StrEnum):
    """States of completions, as editors show them."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    OFFLINE = "offline"
    EXCLUDED = "excluded"
    ERROR = "error"


# Editors that do not know our notification show these once, as a message.
TROUBLE = (State.OFFLINE, State.ERROR)


@dataclass(frozen=True, kw_only=True)
class Status:
    """One status; `latency_ms` is the last request's time to its first token."""

    state: State = State.STARTING
    model: str = ""
    message: str = ""
    latency_ms: float | None = None

    def to_wire(self) -> dict[str, Any]:
        """The parameters of `starcoder/status`."""
        return {
            "state": self.state.value,
            "model": self.model,
            "message": self.message,
            "latencyMs": None if self.latency_ms is None else round(self.latency_ms, 1),
        }


class StatusBoard:
    """The current status. `tell` hears every change of it, and no repetition."""

    def __init__(self, tell: Callable[[Status], None]) -> None:
        self._tell = tell
        self._engine = Status()
        self._excluded: str | None = None
        self._told: Status | None = None
        self._n_busy = 0

    @property
    def current(self) -> Status:
        """The engine's state; of a ready engine, whether it is busy or the document is excluded."""
        if self._engine.state is State.READY and self._n_busy:
            return replace(self._engine, state=State.BUSY)
        if self._engine.state is State.READY and self._excluded is not None:
            return replace(self._engine, state=State.EXCLUDED, message=self._excluded)
        return self._engine

    def set(self, state: State, message: str = "", *, model: str | None = None) -> None:
        """The engine's state has changed."""
        model = self._engine.model if model is None else model
        self._engine = replace(self._engine, state=state, message=without_credentials(message), model=model)
        self._publish()

    def exclude(self, reason: str | None) -> None:
        """Why nothing is completed where the user is; None: the exclusion is over."""
        self._excluded = reason
        self._publish()

    def measured(self, latency_ms: float) -> None:
        """A request had something to show after `latency_ms`. The next change of state tells it."""
        self._engine = replace(self._engine, latency_ms=latency_ms)

    def proven(self) -> None:
        """A request worked, so an earlier complaint is over."""
        if self._engine.state is not State.READY:
            self.set(State.READY)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count as busy while the block runs."""
        self._n_busy += 1
        self._publish()
        try:
            yield
        finally:
            self._n_busy -= 1
            self._publish()

    def repeat(self) -> None:
        """Tell the current status again (a client asked for it)."""
        self._told = None
        self._publish()

    def _publish(self) -> None:
        if self.current != self._told:
            self._told = self.current
            self._tell(self.current)
