"""The parts that answer one user, put together: engine link, completer, assistant, attribution.

An editor window and the terminal's commands are both made of them, so they answer alike. Knows no message
of the protocol. An `Observer` hears what is told besides answers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lsp.assistant.assistant import Assistant, caution_of
from lsp.completion.completion import Completer
from lsp.context.query import DEFAULT_CONTEXT_TOKENS, QueryMaker
from lsp.documents.documents import Document, Documents, file_path
from lsp.documents.notebooks import notebook_uri
from lsp.documents.place import Place
from lsp.link.engine_link import PATIENCE_S, EngineLink
from lsp.link.engines import engine_of
from lsp.settings.exclusions import Exclusions
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
    ) -> None:
        self.settings = settings
        self.documents = documents
        self.book = LatencyBook()
        self.board = StatusBoard(observer.status_changed)
        self.link = EngineLink(
            engine_of(settings), self.board, on_connected=self._connected, patience_s=patience_s
        )
        self.queries = QueryMaker(is_allowed=self._is_allowed, roots=documents.roots)
        self.attribution = Attribution(
            settings, documents=documents, book=self.book, board=self.board, observer=observer
        )
        self.completer = Completer(
            link=self.link,
            board=self.board,
            book=self.book,
            settings=settings,
            why_excluded=self.why_excluded,
            queries=self.queries,
            check=self.attribution.shown_check,
            observer=observer,
        )
        self.assistant = Assistant(
            link=self.link,
            board=self.board,
            check=AnswerCheck(self.attribution),
            context_tokens=lambda: self.queries.context_tokens,
        )
        self.caution: str | None = None
        """What the user should know of the model that answers."""
        self._observer = observer
        self._exclusions: Exclusions | None = None

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next question on; for another engine call `link.restart`."""
        self.settings = settings
        self._exclusions = None
        self.completer.configure(settings)
        self.attribution.configure(settings)

    def folders_changed(self) -> None:
        """Folders came or went: exclusions depend on them."""
        self._exclusions = None

    async def aclose(self) -> None:
        """Stop what runs and let go of the engine and the index."""
        await self.completer.aclose()
        await self.link.aclose()
        await self.attribution.aclose()

    @property
    def exclusions(self) -> Exclusions:
        """What is never completed in, by the present settings and folders."""
        if self._exclusions is None:
            self._exclusions = Exclusions.from_settings(
                self.settings, roots=self.documents.roots(), environ=os.environ
            )
        return self._exclusions

    def why_excluded(self, place: Place) -> str | None:
        """Why nothing is completed at a place, or None."""
        return self.exclusions.reason(self._path(place.document), language=place.language)

    def why_withheld(self, document: Document) -> str | None:
        """Why a document's text must not be put into a question, or None."""
        path = self._path(document)
        return None if path is None else self.exclusions.file_reason(path)

    def _path(self, document: Document) -> Path | None:
        """The file of a document; of a notebook's cell, the notebook's."""
        return file_path(notebook_uri(self.documents, document) or document.uri)

    def _is_allowed(self, path: Path) -> bool:
        return self.exclusions.file_reason(path) is None

    def _connected(self, health: EngineHealth) -> None:
        self.caution = caution_of(health)
        self.queries.context_tokens = health.context_tokens or DEFAULT_CONTEXT_TOKENS
        self._observer.connected(health)
