"""A suffix that was computed behind another prefix: what is computed anew, and that it lies where it belongs.

Keys and values of a first layer depend on a token and its place alone. So a model of one layer gives with a
kept suffix what it gives without, if keys are turned to the right places.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.engine.async_engine import AsyncEngine
from model.engine.engine import Engine, EngineOptions
from model.engine.generation import GenerationRequest, Timings
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from tests.model.tiny import write_tiny_llama

RANDOM = np.random.default_rng(7)
PREFIX, LINE, SUFFIX = (RANDOM.integers(20, 270, n).tolist() for n in (150, 9, 120))
BEGIN, HOLE, MIDDLE = 1, 3, 2


def request_of(
    prefix: list[int],
    line: list[int],
    *,
    suffix: list[int] = SUFFIX,
    n_new: int = 6,
    keeps: bool = True,
) -> GenerationRequest:
    return GenerationRequest(
        prompt_ids=[BEGIN, *prefix, HOLE, *suffix, MIDDLE, *line],
        suffix=range(1 + len(prefix), 2 + len(prefix) + len(suffix)),
        keeps_suffix=keeps,
        sampling=SamplingParams(max_new_tokens=n_new, logprobs=1),
        ignore_eos=True,
    )


def answered(engine: Engine, request: GenerationRequest) -> tuple[list[int], list[float], Timings]:
    """Tokens, their log-probabilities and the timings of a request."""
    engine.submit(request)
    ids: list[int] = []
    logprobs: list[float] = []
    while engine.busy:
        for _, delta in engine.step():
            assert delta.error is None
            ids += delta.token_ids
            logprobs += delta.logprobs
            timings = delta.timings
    assert timings is not None
    return ids, logprobs, timings


def loaded(folder: Path, quantize: str = "none", **options: int) -> Engine:
    return load_engine(folder, device="cpu", quantize=quantize, options=EngineOptions(threads=1, **options))


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("one"), num_hidden_layers=1, model_type="qwen2")


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("two"), model_type="qwen2")


@pytest.fixture
def engine(two_layers: Path) -> Engine:
    return loaded(two_layers)


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("n_before", [110, 149, 150])
def test_it_is_where_it_belongs(one_layer: Path, quantize: str, n_before: int) -> None:
    kept, exact = loaded(one_layer, quantize), loaded(one_layer, quantize)
    answered(kept, request_of(PREFIX[:n_before], []))
    ids, logprobs, _ = answered(kept, request_of([*PREFIX, *LINE], LINE))
    wanted, wanted_logprobs, _ = answered(exact, request_of([*PREFIX, *LINE], LINE))
    assert kept.stats().moved_tokens == len(SUFFIX)
    assert ids == wanted
    assert np.allclose(logprobs, wanted_logprobs, atol=0.1)  # all is bf16


def test_a_new_line_computes_itself_and_the_sentinel(engine: Engine) -> None:
    answered(engine, request_of(PREFIX, LINE))
    _, _, timings = answered(engine, request_of([*PREFIX, *LINE], [], n_new=1))
    assert timings.computed_tokens == len(LINE) + 1 + 1
    assert timings.cached_tokens == timings.prompt_tokens - timings.computed_tokens


def test_among_many_documents(engine: Engine) -> None:
    for n in range(1, 21):
        answered(engine, request_of(PREFIX, LINE, suffix=SUFFIX[n:], n_new=1))
    answered(engine, request_of([*PREFIX, *LINE], [], suffix=SUFFIX[20:], n_new=1))
    assert engine.stats().moved_tokens == len(SUFFIX) - 20


def test_a_line_that_is_removed(engine: Engine) -> None:
    answered(engine, request_of([*PREFIX, *LINE], []))
    _, _, timings = answered(engine, request_of(PREFIX, LINE, n_new=1))
    assert timings.computed_tokens == 1 + 1 + len(LINE)


def test_a_key_on_a_line_computes_only_itself(engine: Engine) -> None:
    answered(engine, request_of(PREFIX, LINE))
    answered(engine, request_of([*PREFIX, *LINE], [], n_new=1))
    for n in range(1, len(LINE)):
        _, _, timings = answered(engine, request_of([*PREFIX, *LINE], LINE[:n], n_new=1))
        assert timings.computed_tokens == 1
    assert engine.stats().moved_tokens == len(SUFFIX), "moved once"


def test_line_after_line(engine: Engine) -> None:
    prefix = PREFIX
    for n in range(4):
        answered(engine, request_of(prefix, LINE))
        prefix = [*prefix, *LINE]
        assert engine.stats().moved_tokens == n * len(SUFFIX)


@pytest.mark.parametrize(("before", "now"), [(120, 90), (90, 120)])
def test_a_suffix_whose_end_moves(engine: Engine, before: int, now: int) -> None:
    answered(engine, request_of(PREFIX, LINE, suffix=SUFFIX[:before]))
    _, _, timings = answered(engine, request_of([*PREFIX, *LINE], [], suffix=SUFFIX[:now], n_new=1))
    assert engine.stats().moved_tokens == 90
    assert timings.computed_tokens == len(LINE) + 1 + (now - 90) + 1


def test_the_exact_prompt_is_used_once_it_is_there(engine: Engine, two_layers: Path) -> None:
    answered(engine, request_of(PREFIX, LINE))
    answered(engine, request_of([*PREFIX, *LINE], LINE))
    exact, _, timings = answered(engine, request_of([*PREFIX, *LINE], LINE, keeps=False))
    assert timings.computed_tokens > len(SUFFIX), "nothing that was kept is taken for exact"
    assert exact == answered(loaded(two_layers), request_of([*PREFIX, *LINE], LINE))[0]
    again, _, timings = answered(engine, request_of([*PREFIX, *LINE], LINE, n_new=6))
    assert again == exact
    assert timings.cached_tokens == timings.prompt_tokens - 1


@pytest.mark.parametrize("chunk", [1, 4, len(LINE) + 1, len(LINE) + 2, 64])
def test_in_small_steps(two_layers: Path, chunk: int) -> None:
    at_once, in_steps = loaded(two_layers), loaded(two_layers, prefill_chunk=chunk)
    for engine in (at_once, in_steps):
        answered(engine, request_of(PREFIX, []))
    wanted, _, _ = answered(at_once, request_of([*PREFIX, *LINE], LINE))
    ids, _, timings = answered(in_steps, request_of([*PREFIX, *LINE], LINE))
    assert ids == wanted
    assert timings.cached_tokens == len(PREFIX) + 1 + len(SUFFIX)


@pytest.mark.parametrize("n_steps", range(6))
def test_nothing_leaks_when_it_is_cancelled(two_layers: Path, n_steps: int) -> None:
    engine = loaded(two_layers, prefill_chunk=4)
    answered(engine, request_of(PREFIX, []))
    handle = engine.submit(request_of([*PREFIX, *LINE], LINE))
    for _ in range(n_steps):
        engine.step()
    engine.cancel(handle)
    ids, _, _ = answered(engine, request_of([*PREFIX, *LINE], LINE))
    assert len(ids) == 6
    engine.forget()
    assert engine.stats().kv_tokens_used == 0


def test_what_was_computed_far_away_is_not_kept(two_layers: Path) -> None:
    engine = loaded(two_layers)
    far = RANDOM.integers(20, 270, 520).tolist()
    answered(engine, request_of(PREFIX, []))
    answered(engine, request_of([*PREFIX, *far], []))
    assert engine.stats().moved_tokens == 0


def test_in_a_cache_without_room_for_both(tmp_path: Path) -> None:
    engine = loaded(write_tiny_llama(tmp_path, n_positions=320, model_type="qwen2"), kv_cache_bytes=1)
    n_slots = engine.stats().kv_tokens_capacity
    for n in range(1, 4):
        request = request_of([*PREFIX, *LINE[:n]], [], n_new=n_slots)
        assert len(answered(engine, request)[0]) == n_slots - len(request.prompt_ids)
        assert len(answered(engine, request_of([*PREFIX, *LINE[: n + 1]], []))[0]) == 6


async def test_an_idle_engine_computes_it_exactly(two_layers: Path) -> None:
    engine = AsyncEngine(loaded(two_layers))
    engine.start()
    for prefix in (PREFIX, [*PREFIX, *LINE]):
        request = request_of(prefix, LINE)
        async for _ in engine.generate(request):
            pass
    assert engine.stats().moved_tokens == len(SUFFIX)
    other = request_of([*PREFIX, *LINE, *LINE], [])
    engine.foresee(request, other)
    for one in (request, other):
        while engine.engine.n_unknown(replace(one, keeps_suffix=False)) > 1:
            await asyncio.sleep(0)
    await engine.stop()
    assert engine.stats().moved_tokens == len(SUFFIX)


def test_learned_positions_are_computed_anew(tiny_model_folder: Path) -> None:
    engine = loaded(tiny_model_folder)
    for prefix in (PREFIX, [*PREFIX, *LINE]):
        answered(engine, request_of(prefix, []))
    assert engine.stats().moved_tokens == 0
