"""The parts that answer one user, put together: engine link, completer, assistant, attribution.

An editor window and the terminal's commands are both made of them, so they answer alike. Knows no message
of the protocol. An `Observer` hears what is told besides answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lsp.assistant.assistant import Assistant, caution_of
from lsp.completion.completion import Completer
from lsp.context.query import DEFAULT_CONTEXT_TOKENS, QueryMaker
from lsp.documents.documents import Documents
from lsp.link.engine_link import PATIENCE_S, EngineLink
from lsp.link.engines import engine_of
from lsp.server.access import Access
from lsp.settings.settings import Settings
from lsp.sources.answer_check import AnswerCheck
from lsp.sources.attribution import Attribution
from lsp.status.observer import Observer
from lsp.status.status import StatusBoard
from lsp.status.telemetry import LatencyBook

if TYPE_CHECKING:
    from model.client.client import EngineHealth


class Parts:
    """What one user's questions go through. A question waits `patience_s` for an engine that starts."""

    def __init__(
        self,
        settings: Settings,
        documents: Documents,
        observer: Observer,
        *,
        patience_s: float = PATIENCE_S,
        settings_at: Callable[[Path], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.documents = documents
        self._at = settings_at
        self.book = LatencyBook()
        self.board = StatusBoard(observer.status_changed)
        self.link = EngineLink(
            engine_of(settings), self.board, on_connected=self._connected, patience_s=patience_s
        )
        self.access = Access(documents, self._settings_at, observer.note)
        self.queries = QueryMaker(is_allowed=self.access.is_context, roots=documents.roots)
        self.attribution = Attribution(
            settings,
            documents=documents,
            book=self.book,
            board=self.board,
            observer=observer,
            why_not=self.access.why_not_looked_up,
            settings_at=lambda place: self.access.settings_of(place.document),
        )
        self.completer = Completer(
            link=self.link,
            board=self.board,
            book=self.book,
            settings_at=lambda place: self.access.settings_of(place.document),
            why_excluded=self.access.why_not_completed,
            queries=self.queries,
            check=self.attribution.shown_check,
            observer=observer,
        )
        self.assistant = Assistant(
            link=self.link,
            board=self.board,
            check=AnswerCheck(self.attribution),
            context_tokens=lambda: self.queries.context_tokens,
            is_base_model=lambda: self.caution is not None,
        )
        self.caution: str | None = None
        """What the user should know of the model that answers."""
        self._observer = observer

    def configure(self, settings: Settings, settings_at: Callable[[Path], Settings]) -> None:
        """Use other settings from the next question on; for another engine call `link.restart`.

        `settings` hold for the window, `settings_at` for the documents of a path.
        """
        self.settings = settings
        self._at = settings_at
        self.completer.configure(settings)
        self.attribution.configure(settings)

    def folders_changed(self) -> None:
        """Folders came or went: exclusions depend on them."""
        self.access.clear()

    async def aclose(self) -> None:
        """Stop what runs and let go of the engine and the index."""
        await self.completer.aclose()
        await self.link.aclose()
        await self.attribution.aclose()

    def _settings_at(self, path: Path) -> Settings:
        return self.settings if self._at is None else self._at(path)

    def _connected(self, health: EngineHealth) -> None:
        self.caution = caution_of(health)
        self.queries.context_tokens = health.context_tokens or DEFAULT_CONTEXT_TOKENS
        self._observer.connected(health)
