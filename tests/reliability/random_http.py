"""Random HTTP to the engine: bodies made from its schema, mutated ones, raw bytes."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import httpx

from model.serve.chat_protocol import ChatBody
from model.serve.fim_completions import FimBody
from model.serve.infill import InfillBody
from model.serve.protocol import CompletionBody, SamplingBody
from tests.reliability.outcome import Outcome
from tests.reliability.part import Part, outcome
from tests.reliability.processes import Held, Json, engine

_ROUTES: dict[str, type[SamplingBody]] = {
    "/v1/completions": CompletionBody,
    "/v1/chat/completions": ChatBody,
    "/v1/fim/completions": FimBody,
    "/infill": InfillBody,
}
_LEAVES: tuple[Any, ...] = (None, True, 0, 1, -1, 2**64, 0.5, 1e308, "", "x", "\n", [], {}, [0], ["a"])
_AT_ONCE = 16
_NOTHING_LEFT = ("starcoder_running_sequences", "starcoder_waiting_sequences", "starcoder_kv_tokens_pinned")
_REST_S = 5.0


async def random_bodies(home: Path, *, count: int, seed: int) -> Part:
    """Ask with each; none may be answered with a 500, and nothing may be left running or pinned."""
    chance, failures, half = random.Random(seed), list[str](), None
    async with engine(home) as (socket, pid), engine_client(socket) as client:
        for start in range(0, count, _AT_ONCE):
            asked = [_ask(client, random.Random(chance.random())) for _ in range(_AT_ONCE)]
            failures += [each for each in await asyncio.gather(*asked) if each is not None]
            if half is None and start >= count // 2:
                half = Held.by(pid)
        failures += await _left(client)
        end = Held.by(pid)
    return Part(name="random HTTP", count=count, failures=tuple(failures), half=half, end=end)


def engine_client(socket: Path) -> httpx.AsyncClient:
    """Without a limit to its connections, of which httpx has one."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=_AT_ONCE)
    transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=limits)
    return httpx.AsyncClient(base_url="http://engine", transport=transport, timeout=120)


async def _ask(client: httpx.AsyncClient, chance: random.Random) -> str | None:
    route, kind = chance.choice([*_ROUTES.items()])
    headers = {"content-type": "application/json"}
    if chance.random() < 0.2:
        raw = chance.randbytes(chance.randrange(200))
        answer = await client.post(route, content=raw, headers=headers)
        return None if answer.status_code < 500 else f"{route} {raw[:60]!r}: {answer.status_code}"
    body = _likely(route) | {name: _value(chance, 2) for name in chance.sample([*kind.model_fields], 2)}
    body = {name: value for name, value in body.items() if chance.random() < 0.95}
    answer = await client.post(route, json=body)
    return None if answer.status_code < 500 else f"{route} {str(body)[:200]}: {answer.status_code}"


def _likely(route: str) -> Json:
    """A body that is right."""
    if "chat" in route:
        return {"messages": [{"role": "user", "content": "what?"}], "max_tokens": 2}
    if route == "/infill":
        return {"input_prefix": "def f(", "input_suffix": "\n", "n_predict": 2}
    return {"prompt": "def f(", "max_tokens": 2, "stream": False}


def _value(chance: random.Random, depth: int) -> Any:
    if depth == 0 or chance.random() < 0.6:
        return chance.choice(_LEAVES)
    if chance.random() < 0.5:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(("role", "content", "text", "path")): _value(chance, depth - 1) for _ in range(3)}


async def _left(client: httpx.AsyncClient) -> list[str]:
    """What is still running or pinned once the engine has had a moment for what it computes ahead."""
    until_s = time.monotonic() + _REST_S
    while True:
        told = (line.rpartition(" ") for line in (await client.get("/metrics")).text.splitlines())
        left = [
            f"{name} is {value} at the end"
            for name, _, value in told
            if name in _NOTHING_LEFT and float(value)
        ]
        if not left or time.monotonic() > until_s:
            return left
        await asyncio.sleep(0.1)


def run(*, seed: int, is_long: bool) -> Outcome:
    """See the module."""
    return outcome(random_bodies, count=200_000 if is_long else 50_000, seed=seed)
