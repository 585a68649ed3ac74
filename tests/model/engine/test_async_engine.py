"""The engine in its thread: streams, closing, failing steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from model.engine.async_engine import AsyncEngine
from model.engine.engine import Engine, EngineOptions, Handle
from model.engine.generation import Delta, GenerationRequest, Timings
from model.errors import ContextLengthError, EngineUnavailableError
from model.runner.sampling import SamplingParams
from model.start.load import load_engine


@pytest.fixture
async def engine(tiny_model_folder: Path) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(load_engine(tiny_model_folder, options=EngineOptions(threads=1)))
    engine.start()
    yield engine
    await engine.stop()


def request_of(text: str, max_new_tokens: int, n: int = 1) -> GenerationRequest:
    ids = [19 + byte for byte in text.encode()]  # the byte tokenizer's ids
    sampling = SamplingParams(max_new_tokens=max_new_tokens, temperature=0.9, seed=5)
    return GenerationRequest(prompt_ids=ids, sampling=sampling, n=n, ignore_eos=True)


async def collect(engine: AsyncEngine, request: GenerationRequest) -> list[int]:
    async with aclosing(engine.generate(request)) as deltas:
        return [token async for delta in deltas for token in delta.token_ids]


async def idle(engine: AsyncEngine) -> None:
    while engine.stats().running or engine.stats().waiting:
        await asyncio.sleep(0)


async def test_streams_run_side_by_side(engine: AsyncEngine) -> None:
    requests = [request_of(f"def function_{n}(", 15) for n in range(6)]
    alone = [await collect(engine, request) for request in requests]
    together = await asyncio.gather(*(collect(engine, request) for request in requests))
    assert together == alone
    assert all(len(tokens) == 15 for tokens in alone)


@contextmanager
def one_step_until_released(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The engine's second step waits until what is given is called, however slow this thread is."""
    real, released, n_steps = Engine.step, threading.Event(), 0

    def step(self: Engine) -> list[tuple[Handle, Delta]]:
        nonlocal n_steps
        if n_steps == 1:
            assert released.wait(60)
        n_steps += 1
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", step)
        yield released.set


async def test_an_idle_engine_gives_back_the_cache_of_a_burst(tiny_model_folder: Path) -> None:
    options = EngineOptions(threads=1, kv_cache_bytes=64 * 2**20)
    engine = AsyncEngine(load_engine(tiny_model_folder, options=options), rest_seconds=0.05)
    engine.start()
    n_positions = engine.engine.config.n_positions
    requests = [request_of(str(n) * (n_positions - 40), 3) for n in range(4)]
    for request in requests:
        await collect(engine, request)
    while engine.stats().kv_tokens_used > n_positions:
        await asyncio.sleep(0.01)
    assert engine.engine.n_unknown(requests[-1]) == 1, "whoever goes on typing waits for nothing"
    timings = await timings_of(engine, requests[0])
    assert timings.computed_tokens > n_positions - 60
    await engine.stop()


async def test_closing_a_stream_cancels_it(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    with one_step_until_released(monkeypatch) as release:
        async with aclosing(engine.generate(request_of("for x in ", 900))) as deltas:
            async for delta in deltas:
                assert delta.finish_reason is None
                break
        release()
        await idle(engine)
    stats = engine.stats()
    assert stats.cancelled == 1
    assert stats.generated_tokens < 100
    assert stats.kv_tokens_pinned == 0
    assert stats.kv_tokens_used > 0, "its prompt is kept"


async def test_cancelling_the_task_cancels_the_request(engine: AsyncEngine) -> None:
    task = asyncio.create_task(collect(engine, request_of("while ", 900)))
    while not engine.stats().running:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(engine)
    assert engine.stats().cancelled == 1


async def timings_of(engine: AsyncEngine, request: GenerationRequest) -> Timings:
    deltas = [delta async for delta in engine.generate(request)]
    assert deltas[-1].timings is not None
    return deltas[-1].timings


async def test_what_was_foreseen_is_in_the_cache_and_nobody_counts_it(engine: AsyncEngine) -> None:
    request = request_of("def area(width, height):\n    return", 3)
    engine.foresee(request)
    while engine.engine.n_unknown(request) > 1:
        await asyncio.sleep(0)
    await idle(engine)
    assert engine.stats().finished == engine.stats().prompt_tokens == 0
    timings = await timings_of(engine, request)
    assert timings.cached_tokens == timings.prompt_tokens - 1
    assert engine.stats().finished == 1


async def test_a_request_ends_what_is_being_foreseen(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await collect(engine, request_of("x = ", 5))
    engine.engine.forget()
    with one_step_until_released(monkeypatch) as release:
        engine.foresee(request_of("y" * 1000, 5))
        request = asyncio.create_task(collect(engine, request_of("x = ", 5)))
        await asyncio.sleep(0)  # it has asked
        release()
        assert await request == alone
    await idle(engine)
    stats = engine.stats()
    assert stats.computed_tokens < 1000, "the rest of it was left"
    assert stats.cancelled == 0


async def test_what_cannot_be_computed_is_not_foreseen(engine: AsyncEngine) -> None:
    engine.foresee(request_of("x" * 2000, 5))
    assert len(await collect(engine, request_of("x", 5))) == 5


async def test_a_bad_request_raises_before_the_first_delta(engine: AsyncEngine) -> None:
    with pytest.raises(ContextLengthError):
        await collect(engine, request_of("x" * 2000, 5))
    assert len(await collect(engine, request_of("x", 5))) == 5


async def test_a_step_that_breaks_fails_its_requests_and_no_later_one(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def out_of_memory(self: Engine) -> None:
        raise RuntimeError("not enough memory: you tried to allocate 9 GB")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", out_of_memory)
        deltas = [delta async for delta in engine.generate(request_of("x", 5, n=2))]
    assert [delta.finish_reason for delta in deltas] == ["error", "error"]
    assert "not enough memory" in (deltas[0].error or "")
    assert "a step of the engine failed" in caplog.text
    assert len(await collect(engine, request_of("x", 5))) == 5


async def test_stopping_ends_streams(tiny_model_folder: Path) -> None:
    engine = AsyncEngine(load_engine(tiny_model_folder, options=EngineOptions(threads=1)))
    engine.start()
    stream = asyncio.create_task(collect(engine, request_of("x", 900)))
    while not engine.stats().running:
        await asyncio.sleep(0)
    await engine.stop()
    with pytest.raises(EngineUnavailableError, match="stopping"):
        await stream
