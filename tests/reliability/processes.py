"""The language server and the engine as processes of their own, in a home of their own, and what they hold.

Knows how to speak to them, and nothing of what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
Json = dict[str, Any]


def environment(home: Path) -> dict[str, str]:
    """One in which nothing of the user's own is seen or touched."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    return {**kept, **folders, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}


@dataclass(frozen=True)
class Held:
    """What a process holds at one moment."""

    resident_bytes: int
    descriptors: int

    @classmethod
    def by(cls, pid: int) -> Held:
        """Read /proc."""
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))


@dataclass
class Session:
    """One language server on stdio, and the answers that it has given."""

    process: Process
    _answers: dict[int | str, asyncio.Future[Json]] = field(default_factory=dict)
    _n_asked: int = 0

    @property
    def held(self) -> Held:
        """What the server holds now."""
        return Held.by(self.process.pid)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def send(self, message: Json) -> None:
        """Send one message, framed."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        self.send({"method": method, "params": params})

    def ask(self, method: str, params: Json) -> asyncio.Future[Json]:
        """Send a request; the future gets the whole answer."""
        self._n_asked += 1
        name = f"own-{self._n_asked}"
        self._answers[name] = asyncio.get_running_loop().create_future()
        self.send({"id": name, "method": method, "params": params})
        return self._answers[name]

    async def read(self) -> None:
        """Read answers until the server ends."""
        assert self.process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await self.process.stdout.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                message = json.loads(await self.process.stdout.readexactly(length))
                waiting = self._answers.pop(message["id"], None) if "id" in message else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)

    async def complete(self, uri: str, line: int, column: int) -> Json:
        """Ask for a completion by hand, and wait for the answer."""
        return await asyncio.wait_for(self.ask(*completion(uri, line, column)), PATIENCE_S)


def completion(uri: str, line: int, column: int) -> tuple[str, Json]:
    """The request for a completion."""
    return "textDocument/inlineCompletion", {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": column},
        "context": {"triggerKind": 1},
    }


@contextlib.asynccontextmanager
async def language_server(home: Path) -> AsyncIterator[Session]:
    """A server that is initialized, with the bundled model."""
    command = [sys.executable, "-I", "-m", "lsp"]
    settings = environment(home) | {"STARCODER_MODEL": "starter", "STARCODER_COMPLETION_MAX_NEW_TOKENS": "8"}
    with (home / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=log, env=settings, limit=2**24
        )
    session = Session(process)
    reading = asyncio.ensure_future(session.read())
    try:
        await asyncio.wait_for(session.ask("initialize", {"capabilities": {}}), PATIENCE_S)
        session.notify("initialized", {})
        yield session
    finally:
        reading.cancel()
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # its pipes, before the loop ends


@contextlib.asynccontextmanager
async def engine(home: Path) -> AsyncIterator[tuple[Path, int]]:
    """An engine with the bundled model; its socket and its process."""
    socket = home / "e.sock"
    command = [
        sys.executable,
        "-I",
        "-m",
        "lsp",
        "engine",
        "--model",
        "starter",
        "--listen",
        f"unix:{socket}",
    ]
    with (home / "engine.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=log, env=environment(home)
        )
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        yield socket, process.pid
    finally:
        process.terminate()
        await process.wait()


async def end_shared_engine(home: Path) -> None:
    """End the engine that a language server has started, and has left to others."""
    from model.local.file_lock import FileLock

    for lock in (home / "run").rglob("*.sock.lock"):
        if (owner := FileLock(lock).signer()) is not None:
            owner.kill()
