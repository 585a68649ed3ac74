"""Many streams at once, short requests among them: all complete, and no short one waits twice its share."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import httpx

from tests.reliability.outcome import Outcome
from tests.reliability.part import Part, outcome
from tests.reliability.processes import engine
from tests.reliability.random_http import engine_client

# So many requests share the engine at a time: `EngineOptions.max_batch`.
_BATCH = 32


async def streams_at_once(home: Path, *, count: int, seed: int) -> Part:
    """Many streams, and short requests among them: all complete, and no short one waits twice its share."""
    chance, failures = random.Random(seed), list[str]()
    async with engine(home) as (socket, _), engine_client(socket) as client:
        await _stream(client, "warm up", 4)
        alone_s = min([await _timed(client, chance) for _ in range(5)])
        streams = [
            asyncio.create_task(_stream(client, f"# {chance.random()}\ndef f(", 64)) for _ in range(count)
        ]
        await asyncio.sleep(0.2)
        short_s = max([await _timed(client, chance) for _ in range(5)])
        done = await asyncio.gather(*streams, return_exceptions=True)
        failures += [str(one) for one in done if one is not None]
    share_s = alone_s * (1 + min(count, _BATCH))
    if short_s > 2 * share_s:
        failures.append(f"a short request took {short_s:.1f} s, more than twice its share of {share_s:.1f} s")
    note = f"a short request: {alone_s:.2f} s alone, {short_s:.2f} s among them, its share {share_s:.2f} s"
    return Part(name="streams at once", count=count, failures=tuple(failures), note=note)


async def _timed(client: httpx.AsyncClient, chance: random.Random) -> float:
    began = time.perf_counter()
    await _stream(client, f"x = {chance.randrange(10**6)}\n", 8)
    return time.perf_counter() - began


async def _stream(client: httpx.AsyncClient, prompt: str, max_tokens: int) -> None:
    body = {"prompt": prompt, "max_tokens": max_tokens, "stream": True, "ignore_eos": True}
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        text = (await answer.aread()).decode()
    if answer.status_code != 200 or '"finish_reason":"length"' not in text.replace(" ", ""):
        raise RuntimeError(f"{answer.status_code}: {text[-200:]}")


def run(*, seed: int, is_long: bool) -> Outcome:
    """See the module."""
    return outcome(streams_at_once, count=200, seed=seed)
