"""The client of our own engine, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.client.client import EngineClient
from model.client.sse import EventDecoder
from model.errors import EngineUnavailableError, RequestError
from model.local.listen import Listen
from model.version import PROTOCOL
from tests.model.queries import query, text_of
from tests.model.scripted_engine import ScriptedServing
from tests.model.serving import is_true, serving_at, until

Pair = tuple[EngineClient, ScriptedServing]


def test_asking_costs_no_heavy_import() -> None:
    code = (
        "import sys, model.client.client, model.process.process, model.client.openai, model.weights.hub\n"
        "import model.process.engine_files\n"
        "heavy = {'torch', 'httpx', 'pydantic', 'numpy', 'huggingface_hub', 'starlette'}\n"
        "print(heavy & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


class TestEvents:
    @given(
        st.lists(st.text().filter(lambda text: not set(text) & {"\r", "\n"}), min_size=1, max_size=5),
        st.sampled_from(["\n", "\r\n"]),
        st.lists(st.integers(1, 7), min_size=1),
    )
    def test_are_the_same_however_the_bytes_are_cut(
        self, payloads: list[str], line_end: str, sizes: list[int]
    ) -> None:
        wire = "".join(f": note{line_end}data: {payload}{line_end * 2}" for payload in payloads).encode(
            "utf-8", "replace"
        )
        decoder, received, at, n = EventDecoder(), [], 0, 0
        while at < len(wire):
            size = sizes[n % len(sizes)]
            received += decoder.push(wire[at : at + size])
            at, n = at + size, n + 1
        assert received == [payload.encode("utf-8", "replace").decode() for payload in payloads]

    def test_several_data_lines_are_one_event(self) -> None:
        assert EventDecoder().push(b"event: x\ndata: a\ndata:b\n\ndata: c\n") == ["a\nb"]


class TestEngineClient:
    @pytest.fixture
    async def pair(self, tmp_path: Path) -> AsyncIterator[Pair]:
        listen = Listen.parse(f"unix:{tmp_path}/e.sock")
        async with serving_at(listen) as (_, serving):
            client = EngineClient(unix_path=listen.unix_path)
            yield client, serving
            await client.aclose()

    async def test_streams(self, pair: Pair) -> None:
        client, _ = pair
        deltas = [delta async for delta in client.complete(query(n=2, max_tokens=2))]
        assert [(delta.index, delta.text, delta.logprobs, delta.finish_reason) for delta in deltas] == [
            (0, "0 ", (-0.5,), None),
            (1, "0 ", (-0.5,), None),
            (0, "1 ", (-0.5,), "length"),
            (1, "1 ", (-0.5,), "length"),
        ]
        assert deltas[0].timings is None
        assert deltas[2].timings is not None
        assert deltas[2].timings["prefill_ms"] == 2.0
        assert deltas[2].timings["cached_tokens"] == 5

    async def test_health(self, pair: Pair) -> None:
        health = await pair[0].health()
        assert (health.status, health.model, health.protocol, health.license) == (
            "ok",
            "scripted",
            PROTOCOL,
            "apache-2.0",
        )

    async def test_keeps_one_connection(self, pair: Pair) -> None:
        client, _ = pair
        for _ in range(5):
            await text_of(client, query())
        assert client._session._connections is not None
        assert len(client._session._connections) == 1

    async def test_closing_the_stream_cancels(self, pair: Pair) -> None:
        client, serving = pair
        async with aclosing(client.complete(query("hang"))) as deltas:
            assert (await anext(deltas)).text == "0 "
            assert serving.engine.counters.running == 1
        await until(lambda: is_true(serving.engine.counters.running == 0))
        assert serving.engine.counters.cancelled == 1
        assert await text_of(client, query()) == "0 1 2 "

    async def test_cancelling_the_task_cancels(self, pair: Pair) -> None:
        client, serving = pair
        task = asyncio.create_task(text_of(client, query("wait")))
        await until(lambda: is_true(serving.engine.counters.running == 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: is_true(serving.engine.counters.running == 0))

    async def test_half_a_character_is_sent_as_a_question_mark(self, pair: Pair) -> None:
        assert await text_of(pair[0], query("\ud83d", "\udc4d")) == "0 1 2 "

    @pytest.mark.parametrize("prompt", ["nan", "late nan", "crash"])
    async def test_a_request_that_fails_is_no_lost_engine(self, pair: Pair, prompt: str) -> None:
        client, _ = pair
        with pytest.raises(RequestError):
            await text_of(client, query(prompt))
        assert not client.is_lost
        assert await text_of(client, query()) == "0 1 2 "

    async def test_names_the_field(self, pair: Pair) -> None:
        with pytest.raises(RequestError, match="max_tokens = 0") as caught:
            await text_of(pair[0], query(max_tokens=0))
        assert caught.value.field == "max_tokens"

    async def test_an_engine_that_stops_is_lost(self, pair: Pair) -> None:
        client, serving = pair
        async with aclosing(client.complete(query("hang"))) as deltas:
            await anext(deltas)
            serving.stopping.set()
            with pytest.raises(EngineUnavailableError, match="shutting down"):
                await anext(deltas)
        assert client.is_lost

    async def test_nobody_there(self, tmp_path: Path) -> None:
        client = EngineClient(unix_path=tmp_path / "none.sock")
        with pytest.raises(EngineUnavailableError, match=r"none\.sock"):
            await client.health()
        with pytest.raises(EngineUnavailableError, match="not running"):
            await text_of(client, query())
        assert client.is_lost
        await client.aclose()

    async def test_closing_the_client_ends_its_streams_and_it_opens_again(self, pair: Pair) -> None:
        client, _ = pair
        deltas = client.complete(query("hang"))
        await anext(deltas)
        await client.aclose()
        with pytest.raises(EngineUnavailableError):
            await anext(deltas)
        assert await text_of(client, query()) == "0 1 2 "

    async def test_overhead_of_a_request(self, pair: Pair) -> None:
        # In time of the processor, of which both sides take part here; see benchmarks for the figure.
        client, _ = pair
        times = []
        for _ in range(60):
            start = time.process_time()
            async with aclosing(client.complete(query("x" * 4_000, "y" * 1_000))) as deltas:
                await anext(deltas)
                times.append(time.process_time() - start)
                async for _ in deltas:
                    pass
        assert sorted(times)[len(times) // 2] < 0.02
