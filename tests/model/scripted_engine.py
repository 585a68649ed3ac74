"""An engine whose prompt says what it does, for tests of serving; run as a program, it serves itself.

It needs no torch, so that a process of it starts in a third of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from model import version
from model.engine.stats import EngineStats
from model.errors import EngineUnavailableError, RequestError
from model.local.listen import Listen
from model.serve.server import serve, stopping_on_signals
from model.serve.serving import Served, Serving
from model.start.run import _announce

if TYPE_CHECKING:
    from model.engine.generation import GenerationRequest


@dataclass(frozen=True, kw_only=True)
class Timings:
    queue_ms: float = 1.0
    prefill_ms: float = 2.0
    decode_ms: float = 3.0
    prompt_tokens: int = 7
    cached_tokens: int = 5
    computed_tokens: int = 2
    completion_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Delta:
    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[dict[int, float], ...] = ()
    finish_reason: str | None = None
    error: str | None = None
    timings: Timings | None = None
    prompt_scores: Any = None


class ScriptedEngine:
    """`hang` sends one token and no more, `wait` not even that; `nan` fails, `late nan` after a token;
    `crash` raises what nobody expects, `refuse` a RequestError, `gone` says that the engine ends.
    Any other prompt is answered with `max_tokens` tokens, "0 ", "1 " …"""

    def __init__(self) -> None:
        self.counters = EngineStats()
        self.foreseen: list[Any] = []

    def stats(self) -> EngineStats:
        return self.counters

    def foresee(self, *requests: Any) -> None:
        self.foreseen += requests

    async def generate(self, request: Any, owner: str = "") -> AsyncGenerator[Any, None]:
        self.counters.running += request.n
        done = False
        try:
            async for delta in self._script(request):
                yield delta
            done = True
        finally:
            self.counters.running -= request.n
            self.counters.cancelled += 0 if done else request.n

    async def _script(self, body: Any) -> AsyncGenerator[Delta, None]:
        script = body.prompt if isinstance(body.prompt, str) else "tokens"
        if script == "refuse":
            raise RequestError("prompt = 'refuse': not today", field="prompt")
        if script == "crash":
            raise ZeroDivisionError("a bug")
        if script == "gone":
            raise EngineUnavailableError("the engine is stopping")
        if script == "wait":
            await asyncio.Event().wait()
        if script == "nan":
            yield Delta(index=0, finish_reason="error", error="NaN logits at position 3", timings=Timings())
            return
        for number in range(body.max_tokens):
            for index in range(body.n):
                yield self._token(body, index, number)
            if script == "hang":
                await asyncio.Event().wait()
            if script == "late nan":
                yield Delta(index=0, finish_reason="error", error="NaN logits at position 4")
                if body.n == 1:
                    return

    def _token(self, body: Any, index: int, number: int) -> Delta:
        last = number == body.max_tokens - 1
        text = f"{number} "
        return Delta(
            index=index,
            text=text,
            token_ids=(number,),
            logprobs=(-0.5,),
            top_logprobs=({number: -0.5, number + 1: float("-inf")},) if body.logprobs else ({},),
            finish_reason="length" if last else None,
            timings=Timings(completion_tokens=number + 1) if last else None,
        )


class ScriptedServing(Serving):
    """Serves one, which takes a body as it is."""

    engine: ScriptedEngine


def scripted_serving(name: str = "scripted", **served: Any) -> ScriptedServing:
    return ScriptedServing(
        ScriptedEngine(),
        Served(name=name, **served),
        prepare=lambda body: cast("GenerationRequest", body),
        token_bytes=lambda token_id: f"{token_id} ".encode(),
    )


async def _main(arguments: argparse.Namespace) -> None:
    serving = scripted_serving(arguments.model)
    with Listen.parse(arguments.listen).open() as listener, stopping_on_signals(serving.stopping):
        ready = partial(_announce, listener.address, arguments.model)
        await serve(serving, listener, on_ready=ready, idle_seconds=arguments.idle, token=_token())


def _token() -> str | None:
    import os

    return os.environ.get("STARCODER_ENGINE_TOKEN")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--model", "--listen", "--quantize", "--device", "--threads", "--cache-mib"):
        parser.add_argument(option)
    parser.add_argument("--idle", type=float)
    parser.add_argument("--version", help="pretend to be this release")
    parser.add_argument("--starts", type=Path, help="a file that gets a line for each start")
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    if given.starts:
        with given.starts.open("a") as starts:
            starts.write(f"{given.model}\n")
    if given.model == "broken":
        sys.stderr.write("loading\nerror: the weights are damaged\n")
        raise SystemExit(3)
    if given.version:
        from model.serve import server

        vars(server)["package_version"] = lambda: given.version
    assert version.PROTOCOL
    asyncio.run(_main(given))
