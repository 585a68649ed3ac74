"""Prompts that are as long as the machine computes in time, and longer ones once it was idle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from model.engine.async_engine import AsyncEngine
from model.engine.engine import Engine, EngineOptions
from model.engine.generation import GenerationRequest
from model.engine.prefill_speed import PrefillSpeed
from model.runner.sampling import SamplingParams
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody
from model.start.load import load_engine

LONG, SHORT = list(range(20, 250)) * 2, list(range(150, 250))


def speed_of(ms_a_token: float) -> PrefillSpeed:
    speed = PrefillSpeed(n_multiplying=500_000_000)
    speed.measured(1_000, ms_a_token)
    return speed


class TestSpeed:
    @pytest.mark.parametrize(
        ("ms_a_token", "max_ms", "length"),
        [(1.0, 500, 256), (0.5, 500, 512), (0.24, 500, 2_048), (0.01, 500, 32_768), (100.0, 500, 128)],
    )
    def test_powers_of_two(self, ms_a_token: float, max_ms: int, length: int) -> None:
        assert speed_of(ms_a_token).affordable_tokens(max_ms) == length

    def test_before_the_first_step(self) -> None:
        lengths = [PrefillSpeed(n).affordable_tokens(500) for n in (7_000_000, 500_000_000, 10**10)]
        assert lengths == [4_096, 128, 128]

    def test_a_step_of_few_tokens_says_nothing(self) -> None:
        speed = speed_of(1.0)
        speed.measured(10, 0.0)
        assert speed.affordable_tokens(500) == 256

    def test_the_length_seldom_changes(self) -> None:
        speed = speed_of(1.0)
        lengths = set()
        for n in range(200):
            speed.measured(100, 0.1 * (0.8 if n % 5 else 2.0))
            lengths.add(speed.affordable_tokens(500))
        assert lengths == {256}

    def test_it_follows_a_machine_that_got_slow(self) -> None:
        speed = speed_of(0.1)
        assert speed.affordable_tokens(500) == 4_096
        for _ in range(60):
            speed.measured(100, 0.1)
        assert speed.affordable_tokens(500) == 256


@pytest.fixture
def engine(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """One that computes a token in a millisecond, as it believes."""
    engine = load_engine(tiny_model_folder, device="cpu", quantize="none", options=EngineOptions(threads=1))
    engine.prefill.measured(1_000, 1.0)
    monkeypatch.setattr(engine.prefill, "measured", lambda n_tokens, seconds: None)
    return engine


def request() -> GenerationRequest:
    shorter = GenerationRequest(prompt_ids=SHORT, sampling=SamplingParams(max_new_tokens=2), ignore_eos=True)
    return replace(shorter, prompt_ids=LONG, shorter=shorter, max_prompt_ms=200)


async def n_prompt(engine: AsyncEngine, request: GenerationRequest) -> int:
    """How long the prompt was that a request was answered by."""
    deltas = [delta async for delta in engine.generate(request)]
    assert deltas[-1].timings is not None
    return deltas[-1].timings.prompt_tokens


async def test_a_long_prompt_is_used_once_the_engine_was_idle(engine: Engine) -> None:
    running = AsyncEngine(engine)
    running.start()
    assert await n_prompt(running, request()) == len(SHORT)
    assert await n_prompt(running, request()) == len(SHORT)
    running.foresee(request())
    while engine.n_unknown(request()) > 1:
        await asyncio.sleep(0)
    assert await n_prompt(running, request()) == len(LONG)
    await running.stop()


async def test_a_long_prompt_of_which_little_is_unknown(engine: Engine) -> None:
    running = AsyncEngine(engine)
    running.start()
    assert await n_prompt(running, replace(request(), shorter=None)) == len(LONG)
    grown = replace(request(), prompt_ids=[*LONG, *SHORT[:20]])
    assert await n_prompt(running, grown) == len(LONG) + 20
    await running.stop()


@pytest.mark.parametrize(
    ("max_prompt_ms", "lengths"), [(None, (1_022, None)), (500, (1_022, 256)), (4_000, (1_022, None))]
)
def test_a_request_brings_both(
    engine: Engine, max_prompt_ms: int | None, lengths: tuple[int, int | None]
) -> None:
    body = CompletionBody(prompt="value = 1\n" * 300, suffix="\n", max_tokens=2, max_prompt_ms=max_prompt_ms)
    made = generation_request(
        body, engine.tokenizer, engine.config, affordable_tokens=engine.prefill.affordable_tokens
    )
    longest, at_once = lengths
    assert longest * 0.8 < len(made.prompt_ids) <= longest
    if at_once is None:
        assert made.shorter is None
    else:
        assert made.shorter is not None
        assert at_once * 0.6 < len(made.shorter.prompt_ids) <= at_once
