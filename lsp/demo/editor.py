"""A minimal editor: the real language server in a process, one open document, one cursor.

Speaks LSP through pygls's client as any editor does, and declares `experimental.starcoder`, so that
text arrives while it is generated. Knows nothing about the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from lsp.server import protocol as wire
from lsp.status.status import State
from model.version import package_version

NAME = "starcoder-lsp demo"


class ServerFailedError(Exception):
    """The language server ended, or its engine cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class SuggestionProgress:
    """A suggestion so far; at its end, the item's text and the engine's timings.

    `first_ms` is the time from the question to the first text.
    """

    text: str
    first_ms: float | None
    timings: Mapping[str, float] = field(default_factory=dict)


class DemoEditor:
    """One document in a real server. Made by `open_editor`."""

    def __init__(self, client: LanguageClient, uri: str, text: str) -> None:
        self._client = client
        self._uri = uri
        self._before = ""
        self._after = text
        self._version = 0
        self._deltas: dict[str, asyncio.Queue[Mapping[str, Any]]] = {}
        self._status: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        # Functions, because pygls sets attributes on what it is given.
        client.feature(wire.COMPLETION_DELTA)(lambda params: self._on_delta(params))
        client.feature(wire.STATUS)(lambda params: self._status.put_nowait(params))

    async def start(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Initialize the server and open the document."""
        await self._client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(experimental={"starcoder": {"debounces": True}}),
                client_info=types.ClientInfo(name=NAME, version=package_version()),
                workspace_folders=[types.WorkspaceFolder(uri=folder.as_uri(), name=folder.name)],
                initialization_options=dict(settings),
            )
        )
        self._client.initialized(types.InitializedParams())
        document = types.TextDocumentItem(
            uri=self._uri, language_id="python", version=self._version, text=self._after
        )
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=document))

    async def ready(self) -> str:
        """Wait for the engine and return its model's name. Raises `ServerFailedError`."""
        while True:
            status = await self._status.get()
            if status.get("state") == State.READY:
                return str(status.get("model"))
            if status.get("state") in (State.ERROR, State.OFFLINE):
                raise ServerFailedError(str(status.get("message")))

    @property
    def before(self) -> str:
        """The text before the cursor."""
        return self._before

    def move_on(self, text: str) -> None:
        """Move the cursor behind `text`, which must follow it."""
        assert self._after.startswith(text), "the cursor can only move along the text"
        self._before += text
        self._after = self._after.removeprefix(text)

    def type(self, text: str) -> None:
        """Insert text at the cursor and tell the server."""
        here = _position(self._before)
        self._version += 1
        change = types.TextDocumentContentChangePartial(range=types.Range(here, here), text=text)
        self._client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=self._uri, version=self._version),
                content_changes=[change],
            )
        )
        self._before += text

    async def suggest(self) -> AsyncGenerator[SuggestionProgress, None]:
        """Ask for a suggestion and follow it. Closing the generator cancels the request."""
        start_s = time.perf_counter()
        first_ms: float | None = None
        request_id = str(uuid.uuid4())
        deltas = self._deltas[request_id] = asyncio.Queue()
        params = types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri=self._uri),
            position=_position(self._before),
            context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Automatic),
        )
        answer = asyncio.ensure_future(
            self._client.protocol.send_request_async(
                types.TEXT_DOCUMENT_INLINE_COMPLETION, params, msg_id=request_id
            )
        )
        try:
            async for delta in _until(answer, deltas):
                if first_ms is None and delta["text"]:
                    first_ms = (time.perf_counter() - start_s) * 1e3
                yield SuggestionProgress(text=str(delta["text"]), first_ms=first_ms)
            yield _final(await answer, first_ms)
        finally:
            del self._deltas[request_id]
            if not answer.done():
                self._client.cancel_request(types.CancelParams(id=request_id))
                answer.add_done_callback(_mark_as_seen)

    def _on_delta(self, params: Any) -> None:
        if (queue := self._deltas.get(params["requestId"])) is not None:
            queue.put_nowait(params)


@asynccontextmanager
async def open_editor(path: Path, settings: Mapping[str, Any]) -> AsyncIterator[DemoEditor]:
    """Start `python -I -m lsp` as editors do, open a file, and end the server at the end."""
    client = _Client()
    await client.start_io(sys.executable, "-I", "-m", "lsp")
    editor = DemoEditor(client, path.as_uri(), path.read_text(encoding="utf-8"))
    try:
        await editor.start(path.parent, settings)
        yield editor
    finally:
        with contextlib.suppress(RuntimeError):  # pygls's word for a server that has already ended
            await client.shutdown_async(None)
            client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]  # pygls does not annotate it


class _Client(LanguageClient):
    """pygls's client with our corrections to the protocol, and items that keep their `starcoder` data."""

    def __init__(self) -> None:
        super().__init__(
            NAME, package_version(), protocol_cls=wire.StarcoderProtocol, converter_factory=_converter
        )


def _converter() -> Any:
    converter = wire.converter_factory()

    def item(data: dict[str, Any], _: type) -> wire.InlineCompletionItem:
        return wire.InlineCompletionItem(insert_text=data["insertText"], starcoder=data.get("starcoder"))

    converter.register_structure_hook(types.InlineCompletionItem, item)
    return converter


async def _until(
    answer: asyncio.Future[Any], deltas: asyncio.Queue[Mapping[str, Any]]
) -> AsyncIterator[Mapping[str, Any]]:
    """The deltas that come before the answer."""
    while not (answer.done() and deltas.empty()):
        coming = asyncio.ensure_future(deltas.get())
        await asyncio.wait([answer, coming], return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            yield coming.result()
        else:
            coming.cancel()


def _mark_as_seen(answer: asyncio.Future[Any]) -> None:
    """The error that answers a cancelled request is expected."""
    if not answer.cancelled():
        answer.exception()


def _final(result: types.InlineCompletionList, first_ms: float | None) -> SuggestionProgress:
    if not result.items:
        return SuggestionProgress(text="", first_ms=first_ms)
    item = result.items[0]
    facts = getattr(item, "starcoder", None) or {}
    return SuggestionProgress(
        text=str(item.insert_text), first_ms=first_ms, timings=facts.get("timings") or {}
    )


def _position(before: str) -> types.Position:
    """The end of a text, in UTF-16 units as LSP counts."""
    last_line = before[before.rfind("\n") + 1 :]
    return types.Position(line=before.count("\n"), character=len(last_line.encode("utf-16-le")) // 2)
