"""llama.cpp's server as a peer: found, started for one model on a socket of its own, asked, stopped.

`benchmarks/build_llama_cpp FOLDER` builds it for this CPU. Knows nothing of what is asked, nor of ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROGRAM = "llama-server"
_START_SECONDS = 120.0
_ANSWER_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class PeerAnswer:
    """What the server generated, and when: milliseconds from the request."""

    text: str
    first_ms: float
    whole_ms: float
    prompt_tokens: int
    computed_tokens: int
    """Of the prompt, those that did not come from its cache."""


class LlamaServer:
    """A running server; `ready_s` is what it took to load its model."""

    def __init__(self, socket: Path, pid: int) -> None:
        self.pid, self.ready_s = pid, 0.0
        # It closes a connection after each stream, so none is kept.
        transport = httpx.AsyncHTTPTransport(
            uds=str(socket), limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._http = httpx.AsyncClient(transport=transport, base_url="http://llama", timeout=_ANSWER_SECONDS)

    async def ask(self, route: str, body: dict[str, Any]) -> PeerAnswer:
        """The whole answer of `/infill` or `/completion`."""
        began = time.perf_counter()
        text, first_s, timings = "", None, dict[str, Any]()
        async with self._http.stream("POST", route, json=body | {"stream": True}) as response:
            if response.is_error:
                raise RuntimeError(f"{PROGRAM} {route}: {(await response.aread()).decode()}")
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    continue
                piece = json.loads(line.removeprefix("data: "))
                text += piece.get("content", "")
                if first_s is None and text:
                    first_s = time.perf_counter() - began
                timings = piece.get("timings") or timings
        whole_s = time.perf_counter() - began
        computed = int(timings.get("prompt_n", 0))
        return PeerAnswer(
            text=text,
            first_ms=(first_s or whole_s) * 1e3,
            whole_ms=whole_s * 1e3,
            prompt_tokens=computed + int(timings.get("cache_n", 0)),
            computed_tokens=computed,
        )

    async def healthy(self) -> bool:
        """Whether it has loaded its model."""
        try:
            return (await self._http.get("/health")).is_success
        except httpx.TransportError:
            return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def find_program(given: str | None) -> str | None:
    """Where the program is: as given, else on the path; None if it is not installed."""
    return shutil.which(given or PROGRAM)


@asynccontextmanager
async def running(
    program: str, model: Path, *, threads: int, context_tokens: int, more: Sequence[str] = ()
) -> AsyncIterator[LlamaServer]:
    """Start the server with one slot, and stop it in the end.

    Without flash attention, which on a CPU takes longer; with threads that sleep while they wait, as ours
    do: spinning ones would be measured in what comes next.
    """
    with tempfile.TemporaryDirectory(prefix="llama-server-") as folder:
        socket = Path(folder, "llama.sock")
        command = [program, "--model", str(model), "--host", str(socket), "--threads", str(threads)]
        command += ["--ctx-size", str(context_tokens), "--parallel", "1", "--flash-attn", "off"]
        command += ["--no-ui", "--offline", *more]
        with Path(folder, "log").open("wb") as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
            )
        server = LlamaServer(socket, process.pid)
        try:
            while not await server.healthy():
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    raise RuntimeError(f"{' '.join(command)} did not start:\n{_end_of(Path(folder, 'log'))}")
                await asyncio.sleep(0.01)
            server.ready_s = time.perf_counter() - began
            yield server
        finally:
            await server.aclose()
            process.terminate()
            process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
