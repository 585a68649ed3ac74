"""What is told as it happens, apart from answers.

An editor window overrides what its user should see; a command of the terminal, little or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsprotocol import types

    from lsp.status.status import Status
    from model.client.client import EngineHealth
    from model.errors import ModelError


class Observer:
    """Hears everything and does nothing: override what matters."""

    def status_changed(self, status: Status) -> None:
        """The state of completions has changed."""

    def connected(self, health: EngineHealth) -> None:
        """An engine was reached; `health` is what it says of itself."""

    def failed(self, error: ModelError) -> None:
        """A completion could not be finished."""

    def publish(self, uri: str, diagnostics: Sequence[types.Diagnostic]) -> None:
        """A document has these diagnostics and no others."""

    def note(self, message: str) -> None:
        """Something for the log."""

    def trace(self, message: str) -> None:
        """Something for the log of a user who follows each step (LSP, `$/setTrace`)."""
