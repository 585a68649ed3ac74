"""llm-ls's and Copilot's methods, the commands, and what the latency book makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp.server.other_clients import copilot_item_id
from lsp.server.server import create_server
from tests.lsp.editor import editor
from tests.lsp.fake_engine import FakeEngine
from tests.lsp.server.test_completion_requests import documented

# What llm.nvim sends, its settings included.
LLM_NVIM: dict[str, Any] = {
    "model": "bigcode/starcoder2-7b",
    "backend": "huggingface",
    "url": None,
    "apiToken": None,
    "tokensToClear": ["<|endoftext|>"],
    "requestBody": {"parameters": {"max_new_tokens": 60}},
    "fim": {"enabled": True, "prefix": "<fim_prefix>", "middle": "<fim_middle>", "suffix": "<fim_suffix>"},
    "contextWindow": 1024,
    "tlsSkipVerifyInsecure": False,
    "ide": "neovim",
    "tokenizerConfig": None,
    "disableUrlPathCompletion": False,
}


@pytest.mark.parametrize("settings", [LLM_NVIM, {}])
async def test_llm_ls(engine: FakeEngine, tmp_path: Path, settings: dict[str, Any]) -> None:
    engine.answer = lambda body: ["print(", "value)"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("value = 1\n║\n")
        params = {
            **settings,
            "textDocument": {"uri": "file:///project/a.py"},
            "position": {"line": at.line, "character": at.character},
        }
        result = await ed.request("llm-ls/getCompletions", params)
        UUID(result["request_id"])
        assert result["completions"] == [{"generated_text": "print(value)"}]
        accepted = {"requestId": result["request_id"], "acceptedCompletion": 0, "shownCompletions": [0]}
        assert await ed.request("llm-ls/acceptCompletion", accepted) is None
        rejected = {"request_id": result["request_id"], "shown_completions": [0]}
        assert await ed.request("llm-ls/rejectCompletion", rejected) is None
        book = await ed.command("starcoder.showLatencyBook")
        assert (book["accepted"], book["rejected"], book["acceptedChars"]) == (1, 1, len("print(value)"))


async def test_llm_ls_without_a_position_is_an_error_that_says_so(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        with pytest.raises(JsonRpcException, match="position"):
            await ed.request("llm-ls/getCompletions", {"textDocument": {"uri": "file:///a"}})
        unknown = {"requestId": "no such request", "acceptedCompletion": 3}
        assert await ed.request("llm-ls/acceptCompletion", unknown) is None


async def test_copilots_notifications_and_the_acceptance_command(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: ['print("🎉", value)']
    async with editor(engine.options(), home=tmp_path) as ed:
        (item,) = await ed.items(ed.open("value = 1\n║\n"))
        ed.notify("textDocument/didShowCompletion", {"item": item})
        ed.notify("textDocument/didShowCompletion", {"item": item})
        length = len('print("🎉') + 1  # UTF-16 units: the emoji is two
        ed.notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": length})
        ed.notify("textDocument/didFocus", {"textDocument": {"uri": "file:///project/a.py"}})
        await ed.command(item["command"]["command"], *item["command"]["arguments"])
        await ed.command("starcoder.accepted", "an id of nobody")
        book = await ed.command("starcoder.showLatencyBook")
        assert (book["shown"], book["partiallyAccepted"], book["accepted"]) == (1, 1, 1)
        assert book["acceptedChars"] == len('print("🎉') + len('print("🎉", value)')
        assert book["completions"] == 1
        assert "completions" in book["text"]


@pytest.mark.parametrize(
    "params", [None, {}, {"item": None}, {"item": {"command": {"arguments": []}}}, {"item": {"command": 3}}]
)
def test_notifications_about_items_of_others_are_passed_over(params: object) -> None:
    assert copilot_item_id(params) is None


async def test_the_commands_are_announced_and_work(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        await ed.heard.state("ready")
        at = ed.open("x = ║\n")
        assert (await ed.command("starcoder.showStatus"))["state"] == "ready"
        assert await ed.command("starcoder.toggle") == {"enabled": False}
        assert "completions are off" in (await ed.heard.state("excluded"))["message"]
        assert await ed.items(at) == []
        assert await ed.command("starcoder.toggle") == {"enabled": True}
        await ed.heard.state("ready")
        assert await ed.texts(at) == ["pass"]
        n_statuses = len(ed.heard.statuses)
        await ed.command("starcoder.restartEngine")
        await ed.heard.wait(lambda: len(ed.heard.statuses) >= n_statuses + 2)
        assert [s["state"] for s in ed.heard.statuses[n_statuses:]] == ["starting", "ready"]
        with pytest.raises(JsonRpcException, match=r"starcoder\.unknown"):
            await ed.command("starcoder.unknown")


def test_what_the_server_announces() -> None:
    protocol, sent = create_server().protocol, list[bytes]()
    protocol.set_writer(SimpleNamespace(write=sent.append), include_headers=False)
    start: dict[str, Any] = {"processId": None, "rootUri": None, "capabilities": {}}
    protocol.take({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start})
    capabilities = json.loads(sent[0])["result"]["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["textDocumentSync"]["change"] == types.TextDocumentSyncKind.Incremental
    assert set(capabilities["executeCommandProvider"]["commands"]) == documented("Commands")
