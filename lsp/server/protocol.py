"""The wire: our message types, and corrections of pygls and lsprotocol.

- `InlineCompletionParams` gets its `partialResultToken` back, which lsprotocol 2025.0.0 drops.
- Trigger kinds 0, 1 and 2 are all accepted: older clients count from 0, LSP 3.18 from 1.
- Items may carry `starcoder` data; other clients pass over it.
- Parameters of methods that LSP does not know stay plain dicts (pygls makes named tuples of them,
  and fails on a message without `params`).
- A change may come without a version, or with null: `Documents` counts it.
- `initialize` comes first and once, and nothing after `shutdown` but `exit`; pygls starts anew, or lets the
  client wait.
- A message that cannot be read is answered with an error; pygls only logs it, and the client waits. An object
  within one is never taken for a message.

Knows nothing about engines or completions, and of documents only how they are named.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import attrs
import cattrs
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)
from pygls.workspace import Workspace

from lsp.documents.documents import readable_uri
from lsp.server.framing import decoded

COMPLETION_DELTA = "starcoder/completionDelta"
STATUS = "starcoder/status"
LLM_LS_GET_COMPLETIONS = "llm-ls/getCompletions"
LLM_LS_ACCEPT_COMPLETION = "llm-ls/acceptCompletion"
LLM_LS_REJECT_COMPLETION = "llm-ls/rejectCompletion"
DID_SHOW_COMPLETION = "textDocument/didShowCompletion"
DID_PARTIALLY_ACCEPT_COMPLETION = "textDocument/didPartiallyAcceptCompletion"
DID_FOCUS = "textDocument/didFocus"


@attrs.define
class InlineCompletionContext(types.InlineCompletionContext):
    """As in LSP, but with the trigger kind as the client sent it: older clients count otherwise."""

    trigger_kind: int = attrs.field(default=1)  # type: ignore[assignment]  # wider than the enumeration


@attrs.define
class VersionedTextDocumentIdentifier(types.VersionedTextDocumentIdentifier):
    """As in LSP, but the version may be missing: some clients number none."""

    version: int | None = attrs.field(default=None)  # type: ignore[assignment]  # wider than LSP's
    uri: str = attrs.field(default="")


@attrs.define
class InlineCompletionParams(types.InlineCompletionParams):
    """As in LSP 3.18 with `PartialResultParams`, which lsprotocol's class lacks."""

    partial_result_token: types.ProgressToken | None = attrs.field(default=None)


@attrs.define
class InlineCompletionItem(types.InlineCompletionItem):
    """As in LSP, with fields for our own clients: identity, latency, timings, sources."""

    starcoder: dict[str, Any] | None = attrs.field(default=None)
    references: list[dict[str, Any]] | None = attrs.field(default=None)
    label: str | None = attrs.field(default=None)


def converter_factory() -> cattrs.Converter:
    """pygls's converter with the corrections above."""
    converter: cattrs.Converter = default_converter()  # type: ignore[no-untyped-call]

    def context(data: dict[str, Any]) -> InlineCompletionContext:
        selected = data.get("selectedCompletionInfo")
        if selected is not None:
            selected = converter.structure(selected, types.SelectedCompletionInfo)
        kind = data.get("triggerKind", 1)
        if kind not in (0, 1, 2):
            raise ValueError(f"triggerKind {kind!r} is not 0, 1 or 2")
        return InlineCompletionContext(trigger_kind=kind, selected_completion_info=selected)

    def params(data: dict[str, Any], _: type) -> InlineCompletionParams:
        return InlineCompletionParams(
            text_document=converter.structure(data["textDocument"], types.TextDocumentIdentifier),
            position=converter.structure(data["position"], types.Position),
            context=context(data.get("context") or {}),
            work_done_token=data.get("workDoneToken"),
            partial_result_token=data.get("partialResultToken"),
        )

    def item(item: types.InlineCompletionItem) -> dict[str, Any]:
        fields = {
            "insertText": converter.unstructure(item.insert_text),
            "filterText": item.filter_text,
            "range": converter.unstructure(item.range),
            "command": converter.unstructure(item.command),
            "starcoder": getattr(item, "starcoder", None),
            "references": getattr(item, "references", None),
            "label": getattr(item, "label", None),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def versioned(data: dict[str, Any], _: type) -> VersionedTextDocumentIdentifier:
        return VersionedTextDocumentIdentifier(version=data.get("version"), uri=data["uri"])

    converter.register_structure_hook(types.VersionedTextDocumentIdentifier, versioned)
    converter.register_structure_hook(types.InlineCompletionParams, params)
    converter.register_unstructure_hook(types.InlineCompletionItem, item)
    converter.register_structure_hook(JsonRPCRequestMessage, _request)
    converter.register_structure_hook(JsonRPCNotification, _notification)
    converter.register_structure_hook(JsonRPCResponseMessage, _response)
    return converter


def _request(data: dict[str, Any], _: type) -> JsonRPCRequestMessage:
    return JsonRPCRequestMessage(
        id=data["id"], method=data["method"], jsonrpc=data["jsonrpc"], params=data.get("params")
    )


def _notification(data: dict[str, Any], _: type) -> JsonRPCNotification:
    return JsonRPCNotification(method=data["method"], jsonrpc=data["jsonrpc"], params=data.get("params"))


def _response(data: dict[str, Any], _: type) -> JsonRPCResponseMessage:
    return JsonRPCResponseMessage(id=data["id"], jsonrpc=data["jsonrpc"], result=data.get("result"))


class StarcoderProtocol(LanguageServerProtocol):
    """pygls's protocol behind a check of each message, with `exit` left to the connection's owner."""

    was_shut_down = False
    """Whether the client asked for `shutdown`: without it, `exit` means failure (LSP, exit)."""
    _was_initialized = False

    def take_bytes(self, body: bytes | str | JsonRpcException) -> None:
        """Take a message as it arrived; what is none is answered without an id (JSON-RPC 2.0, §5)."""
        try:
            if isinstance(body, JsonRpcException):
                raise body
            data = decoded(body)
        except JsonRpcException as error:
            self._answer(None, error)
        else:
            self.take(data)

    def take(self, data: dict[str, Any]) -> None:
        """Dispatch a message, or answer why not. A notification is not answered, only logged."""
        try:
            _check_form(data)
            if self._is_for_now(data):
                self.handle_message(self.structure_message(data))
        except JsonRpcException as error:
            self._refuse(data, error)
        except Exception as error:  # whatever broke, the next message must be read
            self._refuse(data, JsonRpcInternalError(f"{type(error).__name__}: {error}"))

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message of the right form as an object. Raises `JsonRpcInvalidParams` with the reasons."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            name = data.get("method", "the answer")
            raise JsonRpcInvalidParams(f"{name}: {_reasons(error)}") from error

    def _is_for_now(self, data: dict[str, Any]) -> bool:
        """Whether the message may come at this time. False for a notification that is to be dropped; raises
        for a request (LSP, initialize and shutdown)."""
        method, is_request = data.get("method"), "id" in data
        if method in (None, types.EXIT):
            return True
        if self.was_shut_down:
            if is_request:
                raise JsonRpcInvalidRequest(f"{method}: the server has been shut down")
            return False
        if method == types.INITIALIZE:
            if self._was_initialized:
                raise JsonRpcInvalidRequest("initialize has been sent already")
        elif not self._was_initialized:
            if is_request:
                raise JsonRpcServerNotInitialized("initialize has not been sent yet")
            return False
        self.was_shut_down = method == types.SHUTDOWN
        return True

    def _refuse(self, data: dict[str, Any], error: JsonRpcException) -> None:
        given = data.get("id")
        known = given if isinstance(given, str | int) and not isinstance(given, bool) else None
        if "method" in data and "id" in data:
            self._answer(known, error)
        elif known in self._request_futures and "method" not in data:
            self._handle_response(known, None, error.to_response_error())
        else:
            self._server._report_server_error(error, JsonRpcException)

    def _answer(self, request_id: int | str | None, error: JsonRpcException) -> None:
        answer = {"jsonrpc": self.VERSION, "id": request_id}
        self._send_data({**answer, "error": self._converter.unstructure(error.to_response_error())})

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """As pygls has it, with folders that can be named."""
        params.root_uri = None if params.root_uri is None else readable_uri(params.root_uri)
        for folder in params.workspace_folders or ():
            folder.uri = readable_uri(folder.uri)
        result = yield from super().lsp_initialize(params)
        self._was_initialized = True
        return result

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Generator[Any, Any, None]:
        """End the process on stdio (as pygls does), the connection only on TCP and WebSocket."""
        hang_up = getattr(self._server, "hang_up", None)
        if hang_up is None:
            yield from super().lsp_exit(*args)
        else:
            hang_up()

    def use_documents(self, documents: Workspace) -> None:
        """Keep the client's documents in ours instead of pygls's workspace (at `initialize`)."""
        self._workspace = documents


def _check_form(data: dict[str, Any]) -> None:
    """Raise a `JsonRpcException` for what is no message, or whose parameters are not of LSP's kind."""
    if data.get("jsonrpc") != StarcoderProtocol.VERSION:
        raise JsonRpcInvalidRequest(f"jsonrpc is not {StarcoderProtocol.VERSION!r}")
    request_id = data.get("id", "")
    if not isinstance(request_id, str | int) or isinstance(request_id, bool):
        raise JsonRpcInvalidRequest("id is neither a text nor a whole number")
    if "method" not in data:
        return
    if not isinstance(data["method"], str):
        raise JsonRpcInvalidRequest("method is not a text")
    if not isinstance(data.get("params"), dict | None):
        raise JsonRpcInvalidParams(f"{data['method']}: params is not an object")


def _reasons(error: BaseException) -> str:
    """What is wrong with a message: the leaves of cattrs's tree of errors."""
    if isinstance(error, JsonRpcException) and error.__cause__ is not None:
        return _reasons(error.__cause__)
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reasons(part) for part in error.exceptions)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
