"""What lsprotocol and pygls get wrong on the wire, and ours gets right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
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
    return protocol.structure_message(message)


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


def initialized(protocol: StarcoderProtocol) -> Recorder:
    writer = Recorder()
    protocol.set_writer(writer, include_headers=False)
    protocol.take({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}})
    assert "result" in writer.sent.pop()
    return writer


def test_an_unreadable_request_is_answered_with_what_is_wrong(protocol: StarcoderProtocol) -> None:
    writer = initialized(protocol)
    message = inline_completion({"triggerKind": 9})
    protocol.take(message)
    del message["params"]["position"]
    protocol.take(message)
    first, second = writer.sent
    assert (first["id"], first["error"]["code"]) == (7, -32602)
    assert "inlineCompletion: triggerKind 9 is not 0, 1 or 2" in first["error"]["message"]
    assert second["error"]["message"] == "textDocument/inlineCompletion: 'position' is missing"


def test_an_unreadable_notification_is_not_answered(protocol: StarcoderProtocol) -> None:
    writer = initialized(protocol)
    protocol.take({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {}})
    assert not any("id" in told for told in writer.sent)


@pytest.mark.parametrize("request_id", [[], {}, None, 5])
def test_to_cancel_what_is_no_request_does_no_harm(protocol: StarcoderProtocol, request_id: Any) -> None:
    writer = initialized(protocol)
    protocol.take({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": request_id}})
    assert not any("id" in told for told in writer.sent)


def request(method: Any, params: Any = None, request_id: Any = 1) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


@pytest.mark.parametrize(
    ("body", "request_id", "code"),
    [
        ("{oops", None, -32700),
        ("[" * 100_000, None, -32700),
        ("9" * 5_000, None, -32700),
        ("5", None, -32600),
        ("null", None, -32600),
        (f"[{request('shutdown')}]", None, -32600),
        ('{"id": 1, "method": "shutdown"}', 1, -32600),
        (request("shutdown", request_id={}), None, -32600),
        (request("shutdown", request_id=True), None, -32600),
        (request(5), 1, -32600),
        (request("initialize", {"capabilities": {}}), 1, -32600),
        (request("no/such"), 1, -32601),
        (request("textDocument/inlineCompletion", [1]), 1, -32602),
        (request("llm-ls/getCompletions", "x"), 1, -32602),
        (request("llm-ls/getCompletions", 0), 1, -32602),
    ],
)
def test_a_message_that_is_none_is_answered(
    protocol: StarcoderProtocol, body: str, request_id: int | None, code: int
) -> None:
    writer = initialized(protocol)
    protocol.take_bytes(body)
    (answer,) = writer.sent
    assert (answer["id"], answer["error"]["code"]) == (request_id, code)


def test_before_initialize_and_after_shutdown_requests_are_refused(protocol: StarcoderProtocol) -> None:
    writer = Recorder()
    protocol.set_writer(writer, include_headers=False)
    protocol.take_bytes(request("workspace/executeCommand", {"command": "x"}))
    assert writer.sent.pop()["error"]["code"] == -32002
    writer = initialized(protocol)
    for number, method in enumerate(("shutdown", "shutdown", "no/such", "textDocument/inlineCompletion")):
        protocol.take_bytes(request(method, request_id=number))
    protocol.take({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {}})
    answered = [(each["id"], each.get("error", {}).get("code")) for each in writer.sent]
    assert answered == [(0, None), (1, -32600), (2, -32600), (3, -32600)]
    assert protocol.was_shut_down


def test_a_key_of_json_rpc_within_parameters_is_an_ordinary_one(protocol: StarcoderProtocol) -> None:
    inner = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "result": None}
    assert read(protocol, json.loads(request("x/y", {"a": inner}))).params == {"a": inner}


async def test_an_answer_that_cannot_be_read_is_a_failure_and_not_awaited_for_ever(
    protocol: StarcoderProtocol,
) -> None:
    initialized(protocol)
    asked = protocol.send_request_async("workspace/applyEdit", {}, msg_id="7")
    protocol.take({"jsonrpc": "2.0", "id": "7", "result": 5})
    with pytest.raises(JsonRpcException):
        await asked


@pytest.mark.parametrize("uri", ["file:///a%00", "file:///\ud800", "x://[y"])
def test_a_folder_that_cannot_be_named_is_none(protocol: StarcoderProtocol, uri: str) -> None:
    writer = Recorder()
    protocol.set_writer(writer, include_headers=False)
    folders = [{"uri": uri, "name": ""}]
    options = {"capabilities": {}, "rootUri": uri, "workspaceFolders": folders}
    protocol.take_bytes(request("initialize", options))
    assert "result" in writer.sent.pop()


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
