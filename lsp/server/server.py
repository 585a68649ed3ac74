"""The language server: its messages and their handlers, which only translate.

Importing this module must stay cheap (no torch, transformers, numpy, httpx or pydantic): the editor
waits for `initialize`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from lsprotocol import types
from pygls.exceptions import FeatureRequestError, JsonRpcServerNotInitialized
from pygls.lsp.server import LanguageServer

from lsp.documents.client_facts import ClientFacts
from lsp.documents.documents import Document, Documents, Edit
from lsp.server import assist, assist_actions, models
from lsp.server import attribution_actions as attribution
from lsp.server import protocol as wire
from lsp.server.inline import ACCEPTED, TriggerNumbering, answer_inline_completion
from lsp.server.other_clients import LlmLs, copilot_accepted_length, copilot_item_id
from lsp.server.progress import working
from lsp.server.quiet import quieten_libraries, quieten_loop
from lsp.server.window import Window
from lsp.status.status import Status
from model.local.private import ANSWERS, SOURCES, sweep
from model.local.redaction import without_credentials
from model.version import package_version

NAME = "starcoder-lsp"
SECTION = "starcoder"
# An editor that does not answer about its settings must not keep the engine from starting.
CONFIGURATION_TIMEOUT_S = 3.0
NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithNotebook(notebook="*"),
    ]
)

CODE_ACTIONS = types.CodeActionOptions(code_action_kinds=[*attribution.KINDS, assist_actions.KIND])


class StarcoderServer(LanguageServer):
    """pygls's server for one client, and that client's window once it is initialized."""

    protocol: wire.StarcoderProtocol

    def __init__(self, *, trusts_client: bool = True) -> None:
        super().__init__(
            NAME,
            package_version(),
            notebook_document_sync=NOTEBOOKS,
            protocol_cls=wire.StarcoderProtocol,
            converter_factory=wire.converter_factory,
        )
        self.hang_up: Callable[[], None] | None = None
        self.triggers = TriggerNumbering()
        self._trusts_client = trusts_client
        self._window: Window | None = None
        self._llm_ls: LlmLs | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def window(self) -> Window:
        """The client's window. Raises a JSON-RPC error before `initialize`."""
        if self._window is None:
            raise JsonRpcServerNotInitialized("initialize has not been sent yet")
        return self._window

    @property
    def llm_ls(self) -> LlmLs:
        """llm-ls's methods. Raises a JSON-RPC error before `initialize`."""
        if self._llm_ls is None:
            raise JsonRpcServerNotInitialized("initialize has not been sent yet")
        return self._llm_ls

    def open_window(self, params: types.InitializeParams) -> None:
        """Set up what the client has, in place of pygls's workspace."""
        given = self.workspace
        self.protocol.trace = params.trace or types.TraceValue.Off  # pygls heeds only `$/setTrace`
        documents = Documents(
            given.root_uri,
            folders=list(given.folders.values()),
            encoding=given.position_encoding or types.PositionEncodingKind.Utf16,
            on_edit=self._edited,
        )
        self.protocol.use_documents(documents)
        options = params.initialization_options
        if isinstance(options, dict):
            options.pop("token", None)  # a port's, which is no setting
        facts = ClientFacts.of(params)
        self._window = Window(self, facts, documents, options, trusts_client=self._trusts_client)
        self._llm_ls = LlmLs(self._window)

    async def pull_configuration(self) -> object:
        """The editor's settings in section `starcoder`; None if it does not answer."""
        if not self.window.facts.pulls_configuration:
            return None
        params = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        try:
            async with asyncio.timeout(CONFIGURATION_TIMEOUT_S):
                answer = await self.workspace_configuration_async(params)
        except TimeoutError:
            self.log(types.MessageType.Warning, "the editor did not answer workspace/configuration in time")
            return None
        return answer[0] if answer else None

    def watch_configuration(self) -> None:
        """Register for changes of the settings, with clients that want it registered."""
        if self.window.facts.registers_configuration:
            registration = types.Registration(
                id="starcoder-configuration",
                method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                register_options=types.DidChangeConfigurationRegistrationOptions(section=SECTION),
            )
            self.client_register_capability(types.RegistrationParams(registrations=[registration]))

    async def aclose(self) -> None:
        """End what runs for this client."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._window is not None:
            await self._window.aclose()

    # How a window speaks to its user.

    def tell_status(self, status: Status) -> None:
        """See `lsp.server.window.Editor`."""
        self.protocol.notify(wire.STATUS, status.to_wire())

    def warn(self, message: str) -> None:
        """See `lsp.server.window.Editor`."""
        self.window_show_message(
            types.ShowMessageParams(type=types.MessageType.Warning, message=without_credentials(message))
        )

    def inform(self, message: str) -> None:
        """See `lsp.server.window.Editor`."""
        self.window_show_message(
            types.ShowMessageParams(type=types.MessageType.Info, message=without_credentials(message))
        )

    def note(self, message: str) -> None:
        """See `lsp.server.window.Editor`."""
        self.log(types.MessageType.Info, without_credentials(message))

    def trace(self, message: str) -> None:
        """See `lsp.server.window.Editor`."""
        if self.protocol.trace != types.TraceValue.Off:
            self.log_trace(types.LogTraceParams(message=without_credentials(message)))

    def publish(self, uri: str, diagnostics: Sequence[types.Diagnostic]) -> None:
        """See `lsp.server.window.Editor`."""
        shown = types.PublishDiagnosticsParams(uri=uri, diagnostics=list(diagnostics))
        self.text_document_publish_diagnostics(shown)

    async def show(self, uri: str, place: types.Range | None) -> bool:
        """See `lsp.server.window.Editor`."""
        if not self.window.facts.shows_documents:
            return False
        external = None if uri.startswith("file:") else True
        params = types.ShowDocumentParams(uri=uri, external=external, take_focus=True, selection=place)
        return (await self.window_show_document_async(params)).success

    def working(self, title: str) -> AbstractAsyncContextManager[Callable[[], bool]]:
        """See `lsp.server.window.Editor`."""
        return working(self, title)

    async def apply(self, edit: types.WorkspaceEdit, label: str) -> str | None:
        """See `lsp.server.window.Editor`."""
        params = types.ApplyWorkspaceEditParams(edit=edit, label=label)
        result = await self.workspace_apply_edit_async(params)
        return None if result.applied else result.failure_reason or "the editor did not take it"

    def log(self, kind: types.MessageType, message: str) -> None:
        """Write into the editor's log of this server."""
        self.window_log_message(types.LogMessageParams(type=kind, message=message))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log errors outside of requests, for which pygls would open message boxes."""
        if source is not FeatureRequestError:
            self.log(types.MessageType.Error, f"{source.__name__}: {error}")

    def _edited(self, document: Document, edit: Edit) -> None:
        self.window.edited(document, edit)


def create_server(*, trusts_client: bool = True) -> StarcoderServer:
    """A server for one client, with all features registered.

    A client that is not trusted, as one on a port, cannot set where code and keys are sent.
    """
    quieten_libraries()
    server = StarcoderServer(trusts_client=trusts_client)
    _register_lifecycle(server)
    _register_documents(server)
    _register_completion(server)
    _register_commands(server)
    _register_attribution(server)
    _register_assistant(server)
    _register_models(server)
    return server


def _register_lifecycle(server: StarcoderServer) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(ls: StarcoderServer, params: types.InitializeParams) -> None:
        ls.open_window(params)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: StarcoderServer, params: types.InitializedParams) -> None:
        quieten_loop(asyncio.get_running_loop())
        asyncio.get_running_loop().run_in_executor(None, sweep, ANSWERS, SOURCES)
        ls.watch_configuration()
        await ls.window.start(await ls.pull_configuration())

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(
        ls: StarcoderServer, params: types.DidChangeConfigurationParams
    ) -> None:
        pulled = await ls.pull_configuration()
        await ls.window.configure(params.settings if pulled is None else pulled)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(ls: StarcoderServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
        ls.window.parts.folders_changed()

    @server.feature(types.SHUTDOWN)
    async def shutdown(ls: StarcoderServer, params: None) -> None:
        await ls.aclose()


def _register_documents(server: StarcoderServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: StarcoderServer, params: types.DidOpenTextDocumentParams) -> None:
        ls.window.opened(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: StarcoderServer, params: types.DidCloseTextDocumentParams) -> None:
        ls.window.closed(params.text_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def notebook_did_close(ls: StarcoderServer, params: types.DidCloseNotebookDocumentParams) -> None:
        for cell in params.cell_text_documents:
            ls.window.closed(cell.uri)

    @server.feature(wire.DID_FOCUS)
    def did_focus(ls: StarcoderServer, params: dict[str, Any]) -> None:
        ls.window.opened(str((params.get("textDocument") or {}).get("uri")))


def _register_completion(server: StarcoderServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(
        ls: StarcoderServer, params: wire.InlineCompletionParams
    ) -> types.InlineCompletionList:
        return await answer_inline_completion(ls, params)

    @server.feature(wire.LLM_LS_GET_COMPLETIONS)
    async def get_completions(ls: StarcoderServer, params: dict[str, Any]) -> dict[str, Any]:
        return await ls.llm_ls.get_completions(params)

    @server.feature(wire.LLM_LS_ACCEPT_COMPLETION)
    def accept_completion(ls: StarcoderServer, params: dict[str, Any]) -> None:
        ls.llm_ls.accept(params)

    @server.feature(wire.LLM_LS_REJECT_COMPLETION)
    def reject_completion(ls: StarcoderServer, params: dict[str, Any]) -> None:
        ls.llm_ls.reject(params)

    @server.feature(wire.DID_SHOW_COMPLETION)
    def did_show(ls: StarcoderServer, params: dict[str, Any]) -> None:
        if (item_id := copilot_item_id(params)) is not None:
            ls.window.acceptances.shown(item_id)

    @server.feature(wire.DID_PARTIALLY_ACCEPT_COMPLETION)
    def did_partially_accept(ls: StarcoderServer, params: dict[str, Any]) -> None:
        if (item_id := copilot_item_id(params)) is not None:
            ls.window.acceptances.partially_accepted(item_id, copilot_accepted_length(params))


def _register_commands(server: StarcoderServer) -> None:
    @server.command(ACCEPTED)
    def accepted(ls: StarcoderServer, *arguments: Any) -> None:
        for item_id in arguments[:1]:
            ls.window.acceptances.accepted(str(item_id))

    @server.command("starcoder.restartEngine")
    async def restart_engine(ls: StarcoderServer, *arguments: Any) -> None:
        await ls.window.parts.link.restart()

    @server.command("starcoder.showStatus")
    async def show_status(ls: StarcoderServer, *arguments: Any) -> dict[str, Any]:
        ls.window.parts.board.repeat()
        attribution = await ls.window.parts.attribution.describe()
        return {**ls.window.parts.board.current.to_wire(), "attribution": attribution}

    @server.command("starcoder.showLatencyBook")
    def show_latency_book(ls: StarcoderServer, *arguments: Any) -> dict[str, Any]:
        return {**ls.window.parts.book.report(), "text": ls.window.parts.book.table()}

    @server.command("starcoder.toggle")
    def toggle(ls: StarcoderServer, *arguments: Any) -> dict[str, bool]:
        return {"enabled": ls.window.toggle()}


def _register_attribution(server: StarcoderServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, CODE_ACTIONS)
    def code_action(ls: StarcoderServer, params: types.CodeActionParams) -> list[types.CodeAction]:
        return [*ls.window.attribution_actions.actions(params), *ls.window.assist_actions.actions(params)]

    @server.command(attribution.CHECK)
    async def check_attribution(ls: StarcoderServer, *arguments: Any) -> dict[str, Any]:
        return await ls.window.attribution_actions.check(attribution.object_of(arguments))

    @server.command(attribution.SOURCE)
    async def attribution_source(ls: StarcoderServer, *arguments: Any) -> dict[str, Any] | None:
        return await ls.window.parts.attribution.source(attribution.match_id_of(arguments))

    @server.command(attribution.OPEN_SOURCE)
    async def open_attribution_source(ls: StarcoderServer, *arguments: Any) -> None:
        given = attribution.object_of(arguments)
        actions, match_id = ls.window.attribution_actions, attribution.match_id_of(arguments)
        await (actions.show_text(match_id) if given.get("text") else actions.open_source(match_id))

    @server.command(attribution.SHOW_LICENSE)
    def show_attribution_license(ls: StarcoderServer, *arguments: Any) -> None:
        ls.window.attribution_actions.show_license(attribution.match_id_of(arguments))


def _register_assistant(server: StarcoderServer) -> None:
    @server.feature(assist.ASSIST)
    async def answer(ls: StarcoderServer, params: dict[str, Any] | None) -> dict[str, Any]:
        asked = params or {}

        def tell(text: str) -> None:
            ls.protocol.notify(assist.ASSIST_DELTA, {"token": asked.get("token"), "text": text})

        return await assist.answer_assist(ls.window, asked, tell)

    @server.command(assist_actions.RUN)
    async def run_assist(ls: StarcoderServer, *arguments: Any) -> dict[str, Any] | None:
        return await ls.window.assist_actions.run(attribution.object_of(arguments))

    @server.command(assist.FORGET)
    def forget_conversations(ls: StarcoderServer, *arguments: Any) -> None:
        conversations = ls.window.parts.assistant.conversations
        conversations.forget(*(str(each) for each in arguments[:1] if each is not None))


def _register_models(server: StarcoderServer) -> None:
    @server.feature(models.MODELS)
    async def list_models(ls: StarcoderServer, params: Any) -> dict[str, Any]:
        window = ls.window
        return await asyncio.to_thread(models.describe_models, window.model_setting, window.latencies)

    @server.feature(models.GET_MODEL)
    async def get_model(ls: StarcoderServer, params: dict[str, Any] | None) -> None:
        def tell(done_bytes: int) -> None:
            ls.protocol.notify(models.MODEL_PROGRESS, {**(params or {}), "bytes": done_bytes})

        await ls.window.model_came(await models.fetch_model(params, tell))
