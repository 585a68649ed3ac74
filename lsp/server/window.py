"""One editor window: its documents, settings and engine, and the completions made of them.

Wires the parts together and keeps them in step when the settings change. Speaks to the user through
an `Editor`; knows no message of the protocol.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path

from lsp.assistant.assistant import Answer, Assistant, Question, caution_of
from lsp.completion.acceptance import Acceptances
from lsp.completion.completion import Ask, Completer
from lsp.completion.reading import Update
from lsp.context.query import DEFAULT_CONTEXT_TOKENS, QueryMaker
from lsp.documents.client_facts import ClientFacts
from lsp.documents.documents import Document, Documents, Edit
from lsp.documents.notebooks import notebook_uri, text_of_earlier_cells
from lsp.documents.place import Place, Selected, find_place
from lsp.link.engine_link import EngineLink
from lsp.link.engines import engine_of
from lsp.server.assist_actions import AssistActions
from lsp.server.attribution_actions import AttributionActions
from lsp.settings.exclusions import Exclusions
from lsp.settings.settings import Settings
from lsp.sources.answer_check import AnswerCheck
from lsp.sources.attribution import Attribution
from lsp.status.status import TROUBLE, Status, StatusBoard
from lsp.status.telemetry import LatencyBook

if TYPE_CHECKING:
    from lsp.settings.config_sources import Sources
    from model.client.client import EngineHealth


class Editor(Protocol):
    """How a window speaks to its user."""

    def tell_status(self, status: Status) -> None:
        """The status has changed."""

    def warn(self, message: str) -> None:
        """Something is wrong that the user can mend."""

    def inform(self, message: str) -> None:
        """Something the user should know."""

    def note(self, message: str) -> None:
        """Something for the log."""

    def trace(self, message: str) -> None:
        """Something for the log of a user who follows each step (LSP, `$/setTrace`)."""

    def publish(self, uri: str, diagnostics: Sequence[types.Diagnostic]) -> None:
        """Show these diagnostics of a document, and no others."""

    async def show(self, uri: str, place: types.Range | None) -> bool:
        """Show a document, or an address in the browser; False if the editor cannot."""

    def working(self, title: str) -> AbstractAsyncContextManager[Callable[[], bool]]:
        """Show that something is under way; gives whether the user has cancelled it."""

    async def apply(self, edit: types.WorkspaceEdit, label: str) -> str | None:
        """Offer an edit; None if it was applied, else why not."""


class Window:
    """Everything that one client has. Made at `initialize`, started at `initialized`."""

    def __init__(self, editor: Editor, facts: ClientFacts, documents: Documents, options: object) -> None:
        self.facts = facts
        self.documents = documents
        self.settings = Settings()
        self.book = LatencyBook()
        self.board = StatusBoard(self._tell_status)
        self.acceptances = Acceptances(documents, self.book)
        self.link = EngineLink(engine_of(self.settings), self.board, on_connected=self._connected)
        self.queries = QueryMaker(is_allowed=self._is_allowed, roots=self.roots)
        self.attribution = Attribution(
            self.settings,
            documents=documents,
            book=self.book,
            publish=editor.publish,
            roots=self.roots,
            tell=self.board.exclude,
            log=editor.note,
        )
        self.completer = Completer(
            link=self.link,
            board=self.board,
            book=self.book,
            settings=self.settings,
            why_excluded=self._why_excluded,
            queries=self.queries,
            check=self.attribution.shown_check,
            trace=editor.trace,
        )
        self.attribution_actions = AttributionActions(self.attribution, documents, facts, editor)
        self.assistant = Assistant(
            link=self.link,
            board=self.board,
            check=AnswerCheck(self.attribution),
            context_tokens=lambda: self.queries.context_tokens,
        )
        self.assist_actions = AssistActions(self, editor)
        self.caution: str | None = None
        self._editor = editor
        self._options = options
        self._sources: Sources | None = None
        self._exclusions: Exclusions | None = None
        self._warned: set[str] = set()
        self._is_toggled = False
        self._started = asyncio.Event()

    async def start(self, pulled: object = None) -> None:
        """Read the settings' other sources and begin to connect. `pulled`: what the editor answered."""
        from lsp.settings.config_sources import read_sources  # 20 ms that `initialize` need not wait for

        self._sources = read_sources(next(iter(self.roots()), None), os.environ)
        self._apply(self._resolve(pulled))
        await self.link.restart(engine_of(self.settings))
        self._started.set()

    async def suggest(self, ask: Ask) -> AsyncGenerator[Update, None]:
        """The completer's answer, once the settings are known (the editor may still be telling them)."""
        await self._started.wait()
        self.attribution.prepare()
        async with aclosing(self.completer.suggest(ask)) as updates:
            async for update in updates:
                yield update

    async def ask(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """The assistant's answer, once the settings are known."""
        await self._started.wait()
        async with aclosing(self.assistant.answer(question)) as pieces:
            async for piece in pieces:
                yield piece

    async def configure(self, changed: object) -> None:
        """The editor's settings have changed."""
        await self._started.wait()
        before = self.settings
        self._apply(self._resolve(changed))
        if (before.model, before.engine) != (self.settings.model, self.settings.engine):
            await self.link.restart(engine_of(self.settings))

    def toggle(self) -> bool:
        """Switch completions off or on again in this window; returns whether they are on now."""
        self._is_toggled = not self._is_toggled
        self._apply(self.settings)
        return self.completer.settings.completion.enabled

    async def aclose(self) -> None:
        """Stop what runs and let go of the engine and the index."""
        await self.completer.aclose()
        await self.link.aclose()
        self.attribution_actions.close()
        self.assist_actions.close()
        await self.attribution.aclose()

    def place_at(
        self, uri: str, position: types.Position, selected: types.SelectedCompletionInfo | None = None
    ) -> Place | None:
        """The place of a client's position; None in a document that is not open."""
        document = self.documents.open_document(uri)
        if document is None:
            return None
        line, start_char = document.to_index(position)
        above = text_of_earlier_cells(self.documents, document)
        return find_place(
            document, line, start_char, selected=_selected(document, line, selected), above=above
        )

    def opened(self, uri: str) -> None:
        """A file was opened."""
        if (document := self.documents.open_document(uri)) is not None:
            self.queries.opened(document)

    def closed(self, uri: str) -> None:
        """A document was closed."""
        self.completer.forget(uri)
        self.attribution.marks.closed(uri)
        if (path := file_path(uri)) is not None:
            self.queries.closed(str(path))

    def edited(self, document: Document, edit: Edit) -> None:
        """A document was edited, by one of the changes of a notification."""
        self.completer.key_pressed()
        self.attribution.marks.edited(document, edit)
        if notebook_uri(self.documents, document) is None:
            self.queries.edited(document, edit.start_line)

    def roots(self) -> list[Path]:
        """The workspace's folders, or the root of older clients."""
        uris = [folder.uri for folder in self.documents.folders.values()] or [self.documents.root_uri]
        return [path for uri in uris if uri and (path := file_path(uri)) is not None]

    def folders_changed(self) -> None:
        """Folders came or went: exclusions depend on them."""
        self._exclusions = None

    def _resolve(self, given: object) -> Settings:
        """The settings with what the editor says now; complaints are shown once each."""
        assert self._sources is not None
        effective = self._sources.resolve(_merged(self._options, given))
        for message in effective.messages:
            if message not in self._warned:
                self._warned.add(message)
                self._editor.warn(message)
        return effective.settings

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        self._exclusions = None
        completion = settings.completion
        if self._is_toggled:
            completion = replace(completion, enabled=not completion.enabled)
        self.completer.configure(replace(settings, completion=completion))
        self.attribution.configure(settings)

    def _connected(self, health: EngineHealth) -> None:
        self.caution = caution_of(health)
        self.queries.context_tokens = health.context_tokens or DEFAULT_CONTEXT_TOKENS
        if health.restrictions:
            from model.weights.hub import first_notice

            if notice := first_notice(health.model, health.restrictions):
                self._editor.inform(notice)

    def _tell_status(self, status: Status) -> None:
        self._editor.tell_status(status)
        # Editors without our status bar get the reason once.
        trouble = status.state in TROUBLE and not self.facts.wants_deltas
        reason, _, _ = status.message.partition("\n")  # below it, the engine's log
        if trouble and reason and reason not in self._warned:
            self._warned.add(reason)
            self._editor.warn(reason)

    @property
    def exclusions(self) -> Exclusions:
        """What is never completed in, by the present settings and folders."""
        if self._exclusions is None:
            self._exclusions = Exclusions.from_settings(self.settings, roots=self.roots(), environ=os.environ)
        return self._exclusions

    def why_withheld(self, document: Document) -> str | None:
        """Why a document's text must not be put into a question, or None."""
        path = file_path(notebook_uri(self.documents, document) or document.uri)
        return None if path is None else self.exclusions.file_reason(path)

    def _is_allowed(self, path: Path) -> bool:
        return self.exclusions.file_reason(path) is None

    def _why_excluded(self, place: Place) -> str | None:
        uri = notebook_uri(self.documents, place.document) or place.uri
        return self.exclusions.reason(file_path(uri), language=place.language)


def file_path(uri: str) -> Path | None:
    """The path of a `file:` URI; None for documents that are no files (untitled, virtual)."""
    path = to_fs_path(uri) if urlsplit(uri).scheme == "file" else None
    return Path(path) if path else None


def _selected(document: Document, line: int, info: types.SelectedCompletionInfo | None) -> Selected | None:
    """The selected item of the editor's own list, if it is on the cursor's line."""
    if info is None:
        return None
    (start_line, start_char), (end_line, end_char) = map(
        document.to_index, (info.range.start, info.range.end)
    )
    if start_line != line or end_line != line:
        return None
    return Selected(start_char=start_char, end_char=end_char, text=info.text)


def _merged(options: object, given: object) -> object:
    """`initializationOptions` with later settings over them; each may be wrapped in `starcoder`."""
    below, above = _unwrapped(options), _unwrapped(given)
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return below if above is None else above
    merged: dict[str, Any] = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _unwrapped(values: object) -> object:
    if isinstance(values, Mapping) and isinstance(values.get("starcoder"), Mapping):
        return values["starcoder"]
    return values
