"""What lsprotocol and pygls get wrong on the wire, and ours gets right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage

from lsp.server.protocol import (
    InlineCompletionItem,
    InlineCompletionParams,
    StarcoderProtocol,
    converter_factory,
)


class Recorder:
    """A writer that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self.sent.append(json.loads(data))

    def close(self) -> None:
        pass


@pytest.fixture
def protocol() -> StarcoderProtocol:
    server = LanguageServer("t", "1", protocol_cls=StarcoderProtocol, converter_factory=converter_factory)
    assert isinstance(server.protocol, StarcoderProtocol)
    return server.protocol


def read(protocol: StarcoderProtocol, message: dict[str, Any]) -> Any:
    return json.loads(json.dumps(message), object_hook=protocol.structure_message)


def inline_completion(context: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    params = {"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 2}, **more}
    if context is not None:
        params["context"] = context
    return {"jsonrpc": "2.0", "id": 7, "method": "textDocument/inlineCompletion", "params": params}


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_every_trigger_kind_and_the_partial_result_token_arrive(
    protocol: StarcoderProtocol, kind: int
) -> None:
    message = read(protocol, inline_completion({"triggerKind": kind}, partialResultToken="p"))
    assert isinstance(message.params, InlineCompletionParams)
    assert message.params.partial_result_token == "p"
    assert message.params.context.trigger_kind == kind
    assert message.params.position == types.Position(1, 2)


def test_the_selected_completion_arrives(protocol: StarcoderProtocol) -> None:
    place = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 2}}
    message = read(
        protocol,
        inline_completion({"triggerKind": 2, "selectedCompletionInfo": {"range": place, "text": "print"}}),
    )
    assert message.params.context.selected_completion_info.text == "print"
    assert message.params.context.selected_completion_info.range.end == types.Position(1, 2)


def test_a_request_without_context_is_an_explicit_one(protocol: StarcoderProtocol) -> None:
    assert read(protocol, inline_completion(None)).params.context.trigger_kind == 1


def test_an_unreadable_request_is_answered_with_what_is_wrong(protocol: StarcoderProtocol) -> None:
    writer = Recorder()
    protocol.set_writer(writer, include_headers=False)
    message = inline_completion({"triggerKind": 9})
    protocol.handle_message(read(protocol, message))
    del message["params"]["position"]
    protocol.handle_message(read(protocol, message))
    first, second = writer.sent
    assert (first["id"], first["error"]["code"]) == (7, -32602)
    assert "inlineCompletion: triggerKind 9 is not 0, 1 or 2" in first["error"]["message"]
    assert second["error"]["message"] == "textDocument/inlineCompletion: 'position' is missing"


def test_an_unreadable_notification_is_not_answered(protocol: StarcoderProtocol) -> None:
    message = {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {}}
    with pytest.raises(Exception, match="Invalid Params"):
        read(protocol, message)


def test_unknown_methods_keep_their_parameters_as_dicts(protocol: StarcoderProtocol) -> None:
    request = read(protocol, {"jsonrpc": "2.0", "id": 1, "method": "x/y", "params": {"class": [{"def": 1}]}})
    assert isinstance(request, JsonRPCRequestMessage)
    assert request.params == {"class": [{"def": 1}]}
    notification = read(protocol, {"jsonrpc": "2.0", "method": "x/z"})
    assert isinstance(notification, JsonRPCNotification)
    assert notification.params is None


def test_items_carry_our_data_and_omit_what_is_not_set() -> None:
    items = [InlineCompletionItem(insert_text="x", starcoder={"id": "1"}), types.InlineCompletionItem("y")]
    wire = converter_factory().unstructure(types.InlineCompletionList(items=items))
    assert wire == {"items": [{"insertText": "x", "starcoder": {"id": "1"}}, {"insertText": "y"}]}
