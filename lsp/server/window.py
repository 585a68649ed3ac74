"""One editor window: its documents and settings, and the parts that answer its user.

Keeps the parts in step with the settings, and speaks to the user through an `Editor`. Knows no message
of the protocol.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types

from lsp.assistant.assistant import Answer, Question
from lsp.completion.acceptance import Acceptances
from lsp.completion.completion import Ask
from lsp.completion.reading import Update
from lsp.documents.client_facts import ClientFacts
from lsp.documents.documents import Document, Documents, Edit, file_path
from lsp.documents.notebooks import notebook_uri, text_of_earlier_cells
from lsp.documents.place import Place, Selected, find_place
from lsp.link.engines import engine_of
from lsp.server.assist_actions import AssistActions
from lsp.server.attribution_actions import AttributionActions
from lsp.server.parts import Parts
from lsp.settings.settings import Settings
from lsp.status.latencies import remember
from lsp.status.observer import Observer
from lsp.status.status import TROUBLE, Status
from model.catalogue.published import AUTO

if TYPE_CHECKING:
    from lsp.settings.by_place import PlaceSettings
    from lsp.settings.config_sources import ConfigSources
    from lsp.status.telemetry import Quantiles
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
        """Show progress while the block runs; gives a function: has the user cancelled it?"""

    async def apply(self, edit: types.WorkspaceEdit, label: str) -> str | None:
        """Offer an edit; None if it was applied, else why not."""


class Window(Observer):
    """Everything that one client has. Made at `initialize`, started at `initialized`."""

    def __init__(
        self,
        editor: Editor,
        facts: ClientFacts,
        documents: Documents,
        options: object,
        *,
        trusts_client: bool = True,
    ) -> None:
        self.facts = facts
        self.documents = documents
        self.parts = Parts(Settings(), documents, self)
        self.acceptances = Acceptances(documents, self.parts.book)
        self.attribution_actions = AttributionActions(self.parts.attribution, documents, facts, editor)
        self.assist_actions = AssistActions(self, editor)
        self._editor = editor
        self._options = options
        self._trusts_client = trusts_client
        self._sources: ConfigSources | None = None
        self._places: PlaceSettings | None = None
        self._settings = Settings()
        self._warned: set[str] = set()
        self._is_toggled = False
        self._started = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, pulled: object = None) -> None:
        """Read the settings' other sources and begin to connect. `pulled` are the editor's settings."""
        from lsp.settings.config_sources import read_sources  # 20 ms that `initialize` need not wait for

        self._loop = asyncio.get_running_loop()
        self._sources = read_sources(None, os.environ)
        self._apply(self._resolve(pulled))
        await self.parts.link.restart(engine_of(self._settings))
        self._started.set()

    async def suggest(self, ask: Ask) -> AsyncGenerator[Update, None]:
        """The completer's updates, once the settings are known: the editor may still be sending them."""
        await self._started.wait()
        await self.parts.access.read_ahead(ask.place.document)
        self.parts.attribution.prepare()
        return self.parts.completer.suggest(ask)

    async def ask(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """The assistant's answer, once the settings are known."""
        await self._started.wait()
        return self.parts.assistant.answer(question)

    async def configure(self, changed: object) -> None:
        """The editor's settings have changed."""
        await self._started.wait()
        before = self._settings
        self._apply(self._resolve(changed))
        if (before.model, before.engine) != (self._settings.model, self._settings.engine):
            await self.parts.link.restart(engine_of(self._settings))

    @property
    def model_setting(self) -> str:
        """The model that is set, which may be `auto`."""
        return self._settings.model

    @property
    def latencies(self) -> Mapping[str, Quantiles]:
        """From a key to the first text, by the model that answered on this machine."""
        return {} if self._settings.engine.url else self.parts.book.first_ms_by_model()

    async def model_came(self, name: str) -> None:
        """A model was fetched: use it, if it is the one that the settings mean."""
        if self._places is not None:
            self._apply(self._places)
        if self._settings.engine.url is None and self._settings.model in (AUTO, name):
            await self.parts.link.restart(engine_of(self._settings))

    def toggle(self) -> bool:
        """Switch completions off or on again in this window; returns whether they are on now."""
        self._is_toggled = not self._is_toggled
        if self._places is not None:
            self._places.clear()
            self._apply(self._places)
        return self.parts.settings.completion.enabled

    async def aclose(self) -> None:
        """Stop what runs and let go of the engine and the index."""
        remember(self.latencies)
        await self.parts.aclose()
        self.attribution_actions.close()
        self.assist_actions.close()

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
            self.parts.queries.opened(document)

    def closed(self, uri: str) -> None:
        """A document was closed."""
        self.parts.completer.forget(uri)
        self.parts.attribution.marks.closed(uri)
        if (path := file_path(uri)) is not None:
            self.parts.queries.closed(str(path))

    def edited(self, document: Document, edit: Edit) -> None:
        """A document was edited, by one of the changes of a notification."""
        self.parts.completer.key_pressed()
        self.parts.attribution.marks.edited(document, edit)
        if notebook_uri(self.documents, document) is None:
            self.parts.queries.edited(document, edit.start_line)

    def status_changed(self, status: Status) -> None:
        """See `Observer`."""
        self._editor.tell_status(status)
        # Editors without our status bar get the reason once.
        trouble = status.state in TROUBLE and not self.facts.wants_deltas
        reason, _, _ = status.message.partition("\n")  # below it, the engine's log
        if trouble and reason and reason not in self._warned:
            self._warned.add(reason)
            self._editor.warn(reason)

    def connected(self, health: EngineHealth) -> None:
        """See `Observer`."""
        if health.restrictions:
            from model.weights.hub import first_notice

            if notice := first_notice(health.model, health.restrictions):
                self._editor.inform(notice)

    def publish(self, uri: str, diagnostics: Sequence[types.Diagnostic]) -> None:
        """See `Observer`."""
        self._editor.publish(uri, diagnostics)

    def note(self, message: str) -> None:
        """See `Observer`. May be called from any thread."""
        self._soon(self._editor.note, message)

    def trace(self, message: str) -> None:
        """See `Observer`."""
        self._editor.trace(message)

    def _resolve(self, given: object) -> PlaceSettings:
        """The settings with the editor's present ones."""
        from lsp.settings.by_place import PlaceSettings
        from lsp.settings.config_sources import editor_layer

        assert self._sources is not None
        editor = _merged(self._options, given)
        return PlaceSettings(
            self._sources,
            roots=self.documents.roots,
            editor=editor_layer(editor, trusted=self._trusts_client),
            change=self._switched,
            warn=partial(self._soon, self._complain),
        )

    def _apply(self, places: PlaceSettings) -> None:
        """Use these. The engine and the index are the window's: its first folder says which."""
        self._places = places
        effective = places.effective(next(iter(self.documents.roots()), None))
        for message in effective.messages:
            self._complain(message)
        self._settings = effective.settings
        self.parts.configure(self._switched(self._settings), places.at)

    def _switched(self, settings: Settings) -> Settings:
        if not self._is_toggled:
            return settings
        completion = replace(settings.completion, enabled=not settings.completion.enabled)
        return replace(settings, completion=completion)

    def _soon(self, tell: Callable[[str], None], message: str) -> None:
        """Tell the user on the event loop, which alone writes to the editor: files are read in threads."""
        if self._loop is None:
            tell(message)
        else:
            self._loop.call_soon_threadsafe(tell, message)

    def _complain(self, message: str) -> None:
        """Show a complaint about the settings, once."""
        if message not in self._warned:
            self._warned.add(message)
            self._editor.warn(message)


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
