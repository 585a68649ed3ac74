"""TCP and WebSocket: every connection has a server of its own; stdio: exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import websockets
from websockets import Origin
from websockets.asyncio.client import ClientConnection, connect

from tests.lsp.editor import SERVER, TIMEOUT_S, server_environment
from tests.lsp.fake_engine import FakeEngine

URI = "file:///project/a.py"


class Listening(NamedTuple):
    """Where a server listens, and the file that says what its clients need."""

    host: str
    port: int
    token_file: str | None

    @property
    def token(self) -> str:
        assert self.token_file is not None
        assert Path(self.token_file).stat().st_mode & 0o077 == 0
        return Path(self.token_file).read_text()


@asynccontextmanager
async def listening(
    kind: str, home: Path, engine: FakeEngine | None = None, *options: str
) -> AsyncIterator[Listening]:
    """A server on a free port. The user has set the engine, if one is given."""
    environment = server_environment(home)
    if engine is not None:
        environment |= {"STARCODER_ENGINE_URL": engine.url, "STARCODER_ENGINE_FIM_TEMPLATE": "suffix"}
    process = await asyncio.create_subprocess_exec(
        *SERVER,
        "serve",
        f"--{kind}",
        "127.0.0.1:0",
        *options,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), TIMEOUT_S)).decode()
        found = re.search(r"listens on \w+://(.+):(\d+): (clients need the token in (.+)|anybody)", line)
        assert found, line
        yield Listening(found[1], int(found[2]), found[4])
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

    async def answer(self, request_id: int | None) -> dict[str, Any]:
        while True:
            length = 0
            while line := (await self._reader.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message: dict[str, Any] = json.loads(await self._reader.readexactly(length))
            if "method" not in message and message["id"] == request_id:
                return message

    async def at_end(self) -> bool:
        return await self._reader.read() == b""


def greetings(token: str | None, text: str, **options: Any) -> list[dict[str, Any]]:
    document = {"uri": URI, "languageId": "python", "version": 1, "text": text}
    given = {"completion": {"debounceMs": 0}, **options} | ({} if token is None else {"token": token})
    start = {"processId": None, "rootUri": None, "capabilities": {}, "initializationOptions": given}
    return [
        {"id": 1, "method": "initialize", "params": start},
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
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path, engine) as address:
        secret = address.token
        clients = [TcpClient(*await asyncio.open_connection(*address[:2])) for _ in range(2)]
        # The same URI with different texts: a shared server would mix them up.
        for client, text in zip(clients, ("first", "second"), strict=True):
            for message in greetings(secret, text):
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
        third = TcpClient(*await asyncio.open_connection(*address[:2]))
        for message in greetings(secret, "third"):
            third.send(**message)
        assert (await third.answer(2))["result"]["items"][0]["insertText"] == "THIRD"
        third.writer.close()


async def test_a_request_before_initialize_and_a_broken_message_are_answered_or_logged(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path, None, "--no-token") as address:
        client = TcpClient(*await asyncio.open_connection(*address[:2]))
        for method in ("textDocument/inlineCompletion", "llm-ls/getCompletions"):
            params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
            client.send(id=1, method=method, params=params)
            error = (await client.answer(1))["error"]
            assert (error["code"], "initialize" in error["message"]) == (-32002, True)
        client.writer.write(b"Content-Length: 5\r\n\r\n{oops")
        assert (await client.answer(None))["error"]["code"] == -32700
        client.send(id=2, method="no/such/method")
        assert (await client.answer(2))["error"]["code"] == -32002
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
        listening("ws", tmp_path, engine) as address,
        connect(f"ws://{address.host}:{address.port}", origin=Origin("http://localhost:3000")) as socket,
    ):
        for message in greetings(address.token, "x = "):
            await socket.send(json.dumps({"jsonrpc": "2.0", **message}))
        assert (await answer(socket, 2))["result"]["items"][0]["insertText"] == "pass"
        for frame in ("this is no JSON", "5", "[]", "[" * 100_000):
            await socket.send(frame)
        large = {"uri": "file:///b.py", "languageId": "python", "version": 1, "text": "x = 1\n" * 400_000}
        opened = {"method": "textDocument/didOpen", "params": {"textDocument": large}}
        await socket.send(json.dumps({"jsonrpc": "2.0", **opened}))
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 5, "method": "shutdown"}))
        assert (await answer(socket, 5))["result"] is None
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "exit"}))
        await socket.wait_closed()
        assert socket.close_code == 1000


async def test_a_web_page_or_a_program_without_the_token_may_not_connect(tmp_path: Path) -> None:
    """A browser sends an origin; a program sends none and needs the token all the same."""
    async with asyncio.timeout(TIMEOUT_S), listening("ws", tmp_path) as address:
        place = f"ws://{address.host}:{address.port}"
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await connect(place, origin=Origin("https://example.com"))
        for given in (None, "wrong", address.token + "x"):
            async with connect(place) as socket:
                for message in greetings(given, "x = "):
                    await socket.send(json.dumps({"jsonrpc": "2.0", **message}))
                assert json.loads(await socket.recv())["error"]["code"] == -32600
                await socket.wait_closed()


async def test_on_a_port_nothing_comes_before_the_token(tmp_path: Path) -> None:
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path) as address:
        secret = address.token
        hello = greetings(secret, "x = ")[0]
        first: list[bytes] = [
            framed(greetings(None, "x")[0]),
            framed({**hello, "method": "workspace/executeCommand"}),
            framed({**hello, "params": {"initializationOptions": secret}}),
            b"Content-Length: 5\r\n\r\n{oops",
        ]
        for sent in first:
            client = TcpClient(*await asyncio.open_connection(*address[:2]))
            client.writer.write(sent + framed(hello))
            assert (await client.answer(None))["error"]["code"] == -32600
            assert await client.at_end()
            client.writer.close()
        # What a web page can send without asking first.
        page = TcpClient(*await asyncio.open_connection(*address[:2]))
        page.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n" + framed(hello))
        assert await page.at_end()
        page.writer.close()


async def test_a_client_on_a_port_does_not_say_where_code_and_keys_are_sent(
    engine: FakeEngine, tmp_path: Path
) -> None:
    stolen = {"engine": {"url": "http://127.0.0.1:9", "apiKeyEnv": "HOME"}, "model": "/tmp/x"}
    async with asyncio.timeout(TIMEOUT_S), listening("tcp", tmp_path, engine) as address:
        client = TcpClient(*await asyncio.open_connection(*address[:2]))
        hello, initialized, *rest = greetings(address.token, "x = ", **stolen)
        changed = {"method": "workspace/didChangeConfiguration", "params": {"settings": stolen}}
        for message in (hello, initialized, changed, *rest):
            client.send(**message)
        assert (await client.answer(2))["result"]["items"][0]["insertText"] == "pass"
        client.writer.close()


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
