"""Random messages to the language server: valid ones, mutated ones, broken frames. Completions go on."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from tests.reliability.outcome import Outcome
from tests.reliability.part import Part, outcome
from tests.reliability.processes import Held, Json, Session, language_server

URI = "file:///project/a.py"
_EVERY = 100
_URIS = (URI, "file:///b%00.py", "file:///\ud800", "x://[y", "untitled:1", "", "file:///project/.env")
_METHODS = (
    "textDocument/inlineCompletion",
    "textDocument/didOpen",
    "textDocument/didChange",
    "textDocument/didClose",
    "textDocument/codeAction",
    "workspace/executeCommand",
    "workspace/didChangeConfiguration",
    "workspace/didChangeWorkspaceFolders",
    "notebookDocument/didOpen",
    "llm-ls/getCompletions",
    "llm-ls/acceptCompletion",
    "starcoder/models",
    "initialize",
    "initialized",
    "$/cancelRequest",
    "$/setTrace",
    "no/such",
)
_LEAVES: tuple[Any, ...] = (None, True, 0, -1, 2**63, 1e308, "", "x" * 300, "\ud800", [], {}, "2.0")
_KEYS = ("textDocument", "uri", "position", "line", "character", "context", "triggerKind", "jsonrpc", "id")
_BROKEN = (
    b"Content-Length: 5\r\n\r\n{oops",
    b"Content-Length: 99999999999\r\n\r\n",
    b"content-length: 2\r\n\r\n[]",
    b"Content-Length: 1\r\n\r\n5",
    b"garbage without an end of line " * 3,
    b"\r\n\r\n",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 2000\r\n\r\n" + b"[" * 2000,
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
)


async def random_messages(home: Path, *, count: int, seed: int) -> Part:
    """Send them, and after each hundred ask for a completion, which must come."""
    chance, failures, half = random.Random(seed), list[str](), None
    async with language_server(home) as session:
        for number in range(1, count + 1):
            _send_one(session, chance, number)
            if number % _EVERY == 0 and (failure := await _failure(session)) is not None:
                failures.append(f"after {number}: {failure}")
                if session.process.returncode is not None:
                    return Part(name="random LSP messages", count=number, failures=tuple(failures))
            if number == count // 2:
                half = session.held
        end: Held = session.held
    return Part(name="random LSP messages", count=count, failures=tuple(failures), half=half, end=end)


def _send_one(session: Session, chance: random.Random, number: int) -> None:
    if chance.random() < 0.15:
        session.write(chance.choice(_BROKEN) + b"\r\n")
        return
    message: Json = {"method": chance.choice(_METHODS), "params": _params(chance)}
    if chance.random() < 0.6:
        message["id"] = number if chance.random() < 0.9 else _value(chance, 1)
    for _ in range(chance.choice((0, 0, 1, 2))):
        message[chance.choice([*message, "jsonrpc", "result", "error"])] = _value(chance, 3)
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    session.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


def _params(chance: random.Random) -> Any:
    if chance.random() < 0.2:
        return _value(chance, 4)
    document = {"uri": chance.choice(_URIS), "languageId": "python", "version": 1, "text": "x = 1\n" * 5}
    place = {"line": chance.randrange(-1, 9), "character": chance.randrange(-1, 9)}
    params: Json = {
        "textDocument": document,
        "position": place,
        "context": {"triggerKind": chance.randrange(4), "diagnostics": []},
        "contentChanges": [{"text": "y\n", "range": {"start": place, "end": place}}],
        "range": {"start": place, "end": place},
        "command": chance.choice(("starcoder.showStatus", "starcoder.showLatencyBook", "no.such")),
        "settings": {"completion": {"alternatives": chance.randrange(9)}},
        "id": chance.randrange(100),
    }
    for _ in range(chance.randrange(3)):
        params[chance.choice([*params])] = _value(chance, 3)
    return params


def _value(chance: random.Random, depth: int) -> Any:
    if depth == 0 or chance.random() < 0.5:
        return chance.choice(_LEAVES)
    if chance.random() < 0.5:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(_KEYS): _value(chance, depth - 1) for _ in range(chance.randrange(4))}


async def _failure(session: Session) -> str | None:
    """Why no completion comes, or None."""
    document = {"uri": URI, "languageId": "python", "version": 1, "text": "def add(a, b):\n    return "}
    session.write(b"\r\n\r\n")  # the end of whatever was begun
    session.notify("workspace/didChangeConfiguration", {"settings": {}})
    session.notify("textDocument/didOpen", {"textDocument": document})
    try:
        answer = await session.complete(URI, 1, 11)
    except (TimeoutError, ConnectionError) as error:
        code = session.process.returncode
        return f"no answer ({type(error).__name__}, exit code {code})"
    await asyncio.sleep(0)
    return None if "result" in answer else str(answer["error"])


def run(*, seed: int, is_long: bool) -> Outcome:
    """See the module."""
    return outcome(random_messages, count=100_000 if is_long else 20_000, seed=seed)
