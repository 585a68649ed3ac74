"""What HTTP costs a keystroke: from asking the client to the first token of an engine that needs no time.

    python -m benchmarks.http_overhead [--requests N]

The engine is another process behind a unix socket, as in use. `kept` reuses the connection; `new`
comes after a cancelled request, which closes it. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from model.client.client import CompletionQuery, EngineClient
from model.engine.generation import Delta, GenerationRequest, Timings
from model.engine.stats import EngineStats
from model.local.listen import Listen
from model.serve.server import serve
from model.serve.serving import Served, Serving

# About what a language server sends for a place in a long file.
QUERY = CompletionQuery(prefix="x = 1\n" * 700, suffix="y = 2\n" * 300, max_tokens=2)
_WARM_UP = 20


class InstantEngine:
    """Answers with two tokens at once."""

    async def generate(self, request: GenerationRequest, owner: str = "") -> AsyncGenerator[Delta, None]:
        """The two deltas."""
        yield Delta(index=0, text="a", token_ids=(0,), logprobs=(0.0,))
        timings = Timings(**{field.name: 0 for field in dataclasses.fields(Timings)})
        yield Delta(
            index=0, text="b", token_ids=(0,), logprobs=(0.0,), finish_reason="length", timings=timings
        )

    def foresee(self, *requests: GenerationRequest) -> None:
        """Nothing is computed."""

    def stats(self) -> EngineStats:
        """Nothing is counted."""
        return EngineStats()


async def serve_instantly(listen: Listen) -> None:
    """Serve until asked to shut down."""
    serving = Serving(
        InstantEngine(),
        Served(name="instant"),
        prepare=lambda body: GenerationRequest(prompt_ids=[0]),
        token_bytes=lambda token_id: b"",
    )
    with listen.open() as listener:
        await serve(serving, listener, on_ready=lambda: print("ready", flush=True))


async def measure(client: EngineClient, n_requests: int, *, cancel: bool) -> list[float]:
    """Milliseconds to the first token of each request, sorted; the first few do not count."""
    times_ms = []
    for _ in range(n_requests + _WARM_UP):
        start_s = time.perf_counter()
        async with aclosing(client.complete(QUERY)) as deltas:
            await anext(deltas)
            times_ms.append((time.perf_counter() - start_s) * 1e3)
            if not cancel:
                async for _ in deltas:
                    pass
    return sorted(times_ms[_WARM_UP:])


async def compare(path: Path, n_requests: int) -> dict[str, float]:
    """p50 and p95 in ms, over kept and over new connections."""
    client = EngineClient(unix_path=path)
    found: dict[str, float] = {}
    for name, cancel in (("kept", False), ("new", True)):
        times_ms = await measure(client, n_requests, cancel=cancel)
        for percent in (50, 95):
            found[f"{name}_p{percent}_ms"] = round(times_ms[len(times_ms) * percent // 100], 3)
    await client.shutdown()
    await client.aclose()
    return found


def main() -> None:
    """Start the engine's process, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve_instantly(Listen.parse(given.serve)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "e.sock")
        command = [sys.executable, "-m", "benchmarks.http_overhead", "--serve", f"unix:{path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as engine:
            assert engine.stdout is not None
            engine.stdout.readline()
            print(json.dumps(asyncio.run(compare(path, given.requests))))


if __name__ == "__main__":
    main()
