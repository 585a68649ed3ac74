"""TCP and WebSocket: every connection has a server of its own; stdio: exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets import Origin
from websockets.asyncio.client import ClientConnection, connect

from tests.lsp.editor import SERVER, TIMEOUT_S, server_environment
from tests.lsp.fake_engine import FakeEngine

URI = "file:///project/a.py"


@asynccontextmanager
async def listening(kind: str, home: Path) -> AsyncIterator[tuple[str, int]]:
    """A server on a free port; its host and port."""
    process = await asyncio.create_subprocess_exec(
        *SERVER,
        "serve",
        f"--{kind}",
        "127.0.0.1:0",
        stderr=asyncio.subprocess.PIPE,
        env=server_environment(home),
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), TIMEOUT_S)).decode()
        found = re.search(r"listens on \w+://(.+):(\d+)", line)
        assert found, line
        yield found[1], int(found[2])
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def framed(message: dict[str, Any]) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


class TcpClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, **message: Any) -> None:
        self.writer.write(framed(message))

    async def answer(self, request_id: int) -> dict[str, Any]:
        while True:
            length = 0
            while line := (await self._reader.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message: dict[str, Any] = json.loads(await self._reader.readexactly(length))
            if message.get("id") == request_id:
                return message

    async def at_end(self) -> bool:
        return await self._reader.read() == b""


def greetings(engine: FakeEngine, text: str) -> list[dict[str, Any]]:
    document = {"uri": URI, "languageId": "python", "version": 1, "text": text}
    options = {
        "processId": None,
        "rootUri": None,
        "capabilities": {},
        "initializationOptions": engine.options(),
    }
    return [
        {"id": 1, "method": "initialize", "params": options},
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": document}},
        {
            "id": 2,
            "method": "textDocument/inlineCompletion",
            "params": {
                "textDocument": {"uri": URI},
                "position": {"line": 0, "character": len(text)},
                "context": {"triggerKind": 1},
            },
        },
    ]


async def test_clients_on_tcp_do_not_see_each_other(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: [body["prompt"].upper()]
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path) as address:
        clients = [TcpClient(*await asyncio.open_connection(*address)) for _ in range(2)]
        # The same URI with different texts: a shared server would mix them up.
        for client, text in zip(clients, ("first", "second"), strict=True):
            for message in greetings(engine, text):
                client.send(**message)
        for client, text in zip(clients, ("FIRST", "SECOND"), strict=True):
            assert (await client.answer(2))["result"]["items"][0]["insertText"] == text
        first, second = clients
        first.send(id=3, method="shutdown")
        await first.answer(3)
        first.send(id=4, method="textDocument/inlineCompletion", params={})
        first.send(id=5, method="workspace/executeCommand", params={"command": "starcoder.showStatus"})
        assert [(await first.answer(number))["error"]["code"] for number in (4, 5)] == [-32600, -32600]
        first.send(method="exit")
        assert await first.at_end()
        first.writer.close()
        # A client that vanishes in the middle of a message does no harm either.
        second.writer.write(b"Content-Length: 1000\r\n\r\n{")
        second.writer.close()
        third = TcpClient(*await asyncio.open_connection(*address))
        for message in greetings(engine, "third"):
            third.send(**message)
        assert (await third.answer(2))["result"]["items"][0]["insertText"] == "THIRD"
        third.writer.close()


async def test_a_request_before_initialize_and_a_broken_message_are_answered_or_logged(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path) as address:
        client = TcpClient(*await asyncio.open_connection(*address))
        for method in ("textDocument/inlineCompletion", "llm-ls/getCompletions"):
            params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
            client.send(id=1, method=method, params=params)
            error = (await client.answer(1))["error"]
            assert (error["code"], "initialize" in error["message"]) == (-32002, True)
        client.writer.write(b"Content-Length: 5\r\n\r\n{oops")
        client.send(id=2, method="no/such/method")
        assert (await client.answer(2))["error"]["code"] == -32601
        client.writer.close()


async def answer(socket: ClientConnection, request_id: int) -> dict[str, Any]:
    while True:
        frame = await socket.recv()
        assert isinstance(frame, str), "LSP over WebSocket is text"
        message: dict[str, Any] = json.loads(frame)
        if message.get("id") == request_id:
            return message


async def test_websocket_clients_get_text_frames_in_order(engine: FakeEngine, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        listening("ws", tmp_path) as (host, port),
        connect(f"ws://{host}:{port}", origin=Origin("http://localhost:3000")) as socket,
    ):
        for message in greetings(engine, "x = "):
            await socket.send(json.dumps({"jsonrpc": "2.0", **message}))
        assert (await answer(socket, 2))["result"]["items"][0]["insertText"] == "pass"
        await socket.send("this is no JSON")
        large = {"uri": "file:///b.py", "languageId": "python", "version": 1, "text": "x = 1\n" * 400_000}
        opened = {"method": "textDocument/didOpen", "params": {"textDocument": large}}
        await socket.send(json.dumps({"jsonrpc": "2.0", **opened}))
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 5, "method": "shutdown"}))
        assert (await answer(socket, 5))["result"] is None
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "exit"}))
        await socket.wait_closed()
        assert socket.close_code == 1000


async def test_a_web_page_of_somebody_else_may_not_connect(tmp_path: Path) -> None:
    async with asyncio.timeout(TIMEOUT_S), listening("ws", tmp_path) as (host, port):
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await connect(f"ws://{host}:{port}", origin=Origin("https://example.com"))


@pytest.mark.parametrize(("polite", "code"), [(True, 0), (False, 1)])
async def test_exit_without_shutdown_is_a_failure(tmp_path: Path, polite: bool, code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *SERVER[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=server_environment(tmp_path),
    )
    messages = [{"id": 1, "method": "initialize", "params": {"capabilities": {}}}]
    if polite:
        messages.append({"id": 2, "method": "shutdown"})
    messages.append({"method": "exit"})
    output, _ = await asyncio.wait_for(process.communicate(b"".join(map(framed, messages))), TIMEOUT_S)
    assert b'"inlineCompletionProvider": {}' in output
    assert process.returncode == code
