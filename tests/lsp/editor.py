"""A real LSP client (pytest-lsp's) with the server as a subprocess, as an editor would have it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.protocol import JsonRPCNotification, JsonRPCResponseMessage, default_converter
from pytest_lsp import ClientServerConfig, LanguageClient
from pytest_lsp.client import configuration as answer_configuration
from pytest_lsp.client import register_lsp_features

from lsp.server.protocol import _notification, _response
from tests.lsp import warm_server

SERVER = [sys.executable, "-I", "-m", "lsp"]
# Bounds a failure, not a success: a loaded machine may take a quarter of a minute to load torch.
TIMEOUT_S = 90.0


@dataclass
class Heard:
    """What the server said on its own account; `wait` ends when something new makes a condition true."""

    statuses: list[dict[str, Any]] = field(default_factory=list)
    deltas: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    edits: list[types.ApplyWorkspaceEditParams] = field(default_factory=list)
    partials: list[tuple[Any, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    diagnostics: dict[str, list[types.Diagnostic]] = field(default_factory=dict)
    shown: list[types.ShowDocumentParams] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        self._news.set()

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def state(self, wanted: str) -> dict[str, Any]:
        """Wait until the latest status has this state; returns it."""
        await self.wait(lambda: bool(self.statuses) and self.statuses[-1]["state"] == wanted)
        return self.statuses[-1]


class Editor:
    """One editor window with its documents."""

    def __init__(self, client: LanguageClient, heard: Heard, encoding: str) -> None:
        self.client = client
        self.heard = heard
        self.encoding = encoding
        self.versions: dict[str, int] = {}

    def open(
        self, marked: str, *, uri: str = "file:///project/a.py", language: str = "python"
    ) -> types.Position:
        """Open a document whose cursor is drawn as ║; returns the cursor's position."""
        text, position = cursor(marked, self.encoding)
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return position

    def type(self, at: types.Position, text: str, *, uri: str = "file:///project/a.py") -> types.Position:
        """Insert text at a position; returns the position behind it."""
        self.versions[uri] += 1
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(version=self.versions[uri], uri=uri),
                content_changes=[
                    types.TextDocumentContentChangePartial(range=types.Range(at, at), text=text)
                ],
            )
        )
        _, behind = cursor(text + "║", self.encoding)
        column = behind.character + (0 if behind.line else at.character)
        return types.Position(at.line + behind.line, column)

    def ask(
        self, at: types.Position, *, uri: str = "file:///project/a.py", kind: int = 1, **more: Any
    ) -> asyncio.Future[Any]:
        """Send `textDocument/inlineCompletion`; the future has the raw result. `message_id` names it."""
        params = {
            "textDocument": {"uri": uri},
            "position": {"line": at.line, "character": at.character},
            "context": {"triggerKind": kind, **more.pop("context", {})},
            **{key: value for key, value in more.items() if key != "message_id"},
        }
        return self.request("textDocument/inlineCompletion", params, message_id=more.get("message_id"))

    async def items(self, at: types.Position, **more: Any) -> list[dict[str, Any]]:
        """The items for a position, as they are on the wire."""
        result = await self.ask(at, **more)
        items: list[dict[str, Any]] = result["items"]
        return items

    async def texts(self, at: types.Position, **more: Any) -> list[str]:
        """The insert texts for a position."""
        return [item["insertText"] for item in await self.items(at, **more)]

    def request(self, method: str, params: Any, *, message_id: str | None = None) -> asyncio.Future[Any]:
        """Send a request as a plain dict, so that the wire is seen as it is."""
        protocol = self.client.protocol
        sent = asyncio.wrap_future(_send_raw(protocol, method, params, message_id))
        return asyncio.ensure_future(asyncio.wait_for(sent, TIMEOUT_S))

    def notify(self, method: str, params: Any) -> None:
        """Send a notification as a plain dict."""
        self.client.protocol._send_data({"jsonrpc": "2.0", "method": method, "params": params})

    def cancel(self, message_id: str) -> None:
        self.client.cancel_request(types.CancelParams(id=message_id))

    async def command(self, name: str, *arguments: Any) -> Any:
        """Run a server command."""
        params = {"command": name, "arguments": list(arguments)}
        return await self.request("workspace/executeCommand", params)


def _send_raw(protocol: Any, method: str, params: Any, message_id: str | None) -> Any:
    import uuid
    from concurrent.futures import Future

    message_id = message_id or str(uuid.uuid4())
    future: Future[Any] = Future()
    protocol._request_futures[message_id] = future
    protocol._send_data({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params})
    return future


def cursor(marked: str, encoding: str = "utf-16") -> tuple[str, types.Position]:
    """The text without the ║, and the position where it stood."""
    before, after = marked.split("║")
    line = before.replace("\r\n", "\n").replace("\r", "\n").rsplit("\n", 1)[-1]
    width = (
        len(line) if encoding == "utf-32" else len(line.encode(_CODECS[encoding])) // _UNIT_BYTES[encoding]
    )
    n_lines = before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    return before + after, types.Position(n_lines, width)


_CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le"}
_UNIT_BYTES = {"utf-8": 1, "utf-16": 2}


def make_client(heard: Heard) -> LanguageClient:
    """pytest-lsp's client; results of our raw requests stay raw, `$/progress` takes lists."""

    def converter() -> Any:
        made = default_converter()  # type: ignore[no-untyped-call]  # pygls does not annotate it
        made.register_structure_hook(JsonRPCNotification, _notification)
        made.register_structure_hook(JsonRPCResponseMessage, _response)
        return made

    client = LanguageClient(converter_factory=converter)
    register_lsp_features(client, {types.WORKSPACE_CONFIGURATION: answer_configuration})

    def keep(place: list[Any], value: Any) -> None:
        place.append(value)
        heard.tell()

    def apply(ls: LanguageClient, params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        keep(heard.edits, params)
        return types.ApplyWorkspaceEditResult(applied=True)

    def show(ls: LanguageClient, params: types.ShowDocumentParams) -> types.ShowDocumentResult:
        keep(heard.shown, params)
        return types.ShowDocumentResult(success=True)

    def diagnostics(ls: LanguageClient, params: types.PublishDiagnosticsParams) -> None:
        heard.diagnostics[params.uri] = list(params.diagnostics)
        heard.tell()

    handlers: dict[str, Callable[[LanguageClient, Any], object]] = {
        "starcoder/status": lambda ls, params: keep(heard.statuses, params),
        "starcoder/completionDelta": lambda ls, params: keep(heard.deltas, params),
        "starcoder/assistDelta": lambda ls, params: keep(heard.answers, params),
        types.PROGRESS: lambda ls, params: keep(heard.partials, (params.token, params.value)),
        types.WINDOW_SHOW_MESSAGE: lambda ls, params: keep(heard.messages, params.message),
        types.WINDOW_LOG_MESSAGE: lambda ls, params: keep(heard.messages, params.message),
        types.LOG_TRACE: lambda ls, params: keep(heard.traces, params.message),
        types.WORKSPACE_APPLY_EDIT: apply,
        types.WINDOW_SHOW_DOCUMENT: show,
        types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS: diagnostics,
    }
    for method, handler in handlers.items():
        client.feature(method)(handler)
    return client


@asynccontextmanager
async def editor(
    options: dict[str, Any] | None = None,
    *,
    home: Path,
    encodings: list[str] | None = None,
    experimental: Any = None,
    configuration: dict[str, Any] | None = None,
    folder: Path | None = None,
    client_name: str = "Test",
    command: list[str] | None = None,
    environment: dict[str, str] | None = None,
    shows_documents: bool = False,
    edits: types.WorkspaceEditClientCapabilities | None = None,
) -> AsyncIterator[Editor]:
    """A running server with its client, initialized. `home` keeps the user's own files out."""
    heard = Heard()
    config = ClientServerConfig(
        server_command=command or warm_command(),
        client_factory=lambda: make_client(heard),
        server_env=server_environment(home) | (environment or {}),
    )
    client = await config.start()
    assert isinstance(client, LanguageClient)
    if configuration is not None:
        client.set_configuration(configuration, section="starcoder")
    workspace = types.WorkspaceClientCapabilities(
        configuration=configuration is not None, workspace_edit=edits
    )
    general = types.GeneralClientCapabilities(
        position_encodings=None if encodings is None else [types.PositionEncodingKind(e) for e in encodings]
    )
    capabilities = types.ClientCapabilities(
        workspace=workspace,
        window=types.WindowClientCapabilities(
            show_document=types.ShowDocumentClientCapabilities(support=shows_documents)
        ),
        general=general,
        experimental=experimental,
        notebook_document=types.NotebookDocumentClientCapabilities(
            synchronization=types.NotebookDocumentSyncClientCapabilities()
        ),
    )
    result = await client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities,
            client_info=types.ClientInfo(name=client_name),
            initialization_options=options,
            workspace_folders=(
                None if folder is None else [types.WorkspaceFolder(uri=folder.as_uri(), name=folder.name)]
            ),
        )
    )
    encoding = str(
        getattr(result.capabilities.position_encoding, "value", result.capabilities.position_encoding)
    )
    try:
        yield Editor(client, heard, encoding)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.shutdown_session(), TIMEOUT_S)
        await client.stop()  # type: ignore[no-untyped-call]  # pygls does not annotate it


@functools.cache
def warm_command() -> list[str]:
    """`SERVER`, to be started often: forked from a process that has imported it. On Linux; else `SERVER`."""
    if sys.platform != "linux":
        return SERVER
    address = f"starcoder-tests-{os.getpid()}"
    pipes = subprocess.Popen(
        warm_server.serve_command(address), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert pipes.stdout is not None
    assert pipes.stdout.readline() == "ready\n"
    atexit.register(pipes.communicate)
    return warm_server.command(address)


def server_environment(home: Path) -> dict[str, str]:
    """An environment in which no settings, sockets or caches of the real user are seen."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    (home / "run").mkdir(mode=0o700, exist_ok=True)  # where it is missing, all tests would share another
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_RUNTIME_DIR": str(home / "run"),
    }
