"""What is told as it happens, apart from answers: to the user of a window, or to nobody.

Decides nothing: who has a user overrides what that user should see.
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
    """Does nothing with what it hears."""

    def status_changed(self, status: Status) -> None:
        """The state of completions is another one."""

    def connected(self, health: EngineHealth) -> None:
        """An engine has been reached, and says this of itself."""

    def failed(self, error: ModelError) -> None:
        """A completion could not be finished."""

    def publish(self, uri: str, diagnostics: Sequence[types.Diagnostic]) -> None:
        """These are the diagnostics of a document, and no others."""

    def note(self, message: str) -> None:
        """Something for the log."""

    def trace(self, message: str) -> None:
        """Something for the log of a user who follows each step (LSP, `$/setTrace`)."""
