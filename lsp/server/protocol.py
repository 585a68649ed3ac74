"""The wire: our message types, and corrections of pygls and lsprotocol.

- `InlineCompletionParams` gets its `partialResultToken` back, which lsprotocol 2025.0.0 drops.
- Trigger kinds 0, 1 and 2 are all accepted: older clients count from 0, LSP 3.18 from 1.
- Items may carry `starcoder` data; other clients pass over it.
- Parameters of methods that LSP does not know stay plain dicts (pygls makes named tuples of them,
  and fails on a message without `params`).
- A change may come without a version, or with null: `Documents` counts it.
- After `shutdown` a request is answered with InvalidRequest (LSP, shutdown); pygls lets the client wait.
- A request that cannot be read is answered with an error; pygls only logs it, and the client waits.

Knows nothing about documents, engines or completions.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import attrs
import cattrs
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams, JsonRpcInvalidRequest
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)
from pygls.protocol.json_rpc import RPCRequest
from pygls.workspace import Workspace

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


@dataclass(frozen=True, kw_only=True)
class UnreadableRequest:
    """A request whose parameters do not fit its method; `error` says which and why."""

    id: int | str
    method: str
    error: JsonRpcException
    jsonrpc: str = LanguageServerProtocol.VERSION


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
    """pygls's protocol, with unreadable requests answered and `exit` left to the connection's owner."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """One JSON object as a message; json calls this for every object, however deep."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "id" not in data or "method" not in data:
                raise
            described = JsonRpcInvalidParams(f"{data['method']}: {_reasons(error)}")
            return UnreadableRequest(id=data["id"], method=data["method"], error=described)

    def handle_message(self, message: Any) -> None:
        """Dispatch a message, or answer one that could not be read."""
        if self._shutdown and isinstance(message, UnreadableRequest | RPCRequest):
            error = JsonRpcInvalidRequest(f"{message.method}: the server has been shut down")
            self._send_response(message.id, error=error.to_response_error())
            return
        if isinstance(message, UnreadableRequest):
            self._send_response(message.id, error=message.error.to_response_error())
            return
        super().handle_message(message)

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

    @property
    def was_shut_down(self) -> bool:
        """Whether the client asked for `shutdown`: without it, `exit` means failure (LSP, exit)."""
        return self._shutdown


def _reasons(error: BaseException) -> str:
    """What is wrong with a message: the leaves of cattrs's tree of errors."""
    if isinstance(error, JsonRpcException) and error.__cause__ is not None:
        return _reasons(error.__cause__)
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reasons(part) for part in error.exceptions)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
