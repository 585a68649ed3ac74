"""The engine over tiny real models: prefix reuse, batching, cancellation, drafts, bad numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPTBigCodeForCausalLM

from model.engine.engine import Engine, EngineOptions
from model.engine.generation import Delta, GenerationRequest
from model.errors import ContextLengthError, RequestError
from model.prompt.fim import build_prompt
from model.prompt.fim_format import FimOrder
from model.prompt.tokenizer import Tokenizer
from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import load_checkpoint
from model.pytorch.device import Placement
from model.pytorch.torch_runner import TorchRunner
from model.runner.sampling import SamplingParams
from model.stopping.stopping import StopRules
from model.weights.scheme import Scheme

FP32 = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="test")
SOURCE = Path(__file__).read_text(encoding="utf-8")


def make_engine(folder: Path, **options: int) -> Engine:
    tokenizer = Tokenizer.from_folder(folder)
    return Engine(
        TorchRunner(load_checkpoint(folder, FP32), FP32, threads=1), tokenizer, EngineOptions(**options)
    )


def model_of(engine: Engine) -> CausalLM:
    assert isinstance(engine.runner, TorchRunner)
    return engine.runner.model


@pytest.fixture
def engine(tiny_model_folder: Path) -> Engine:
    return make_engine(tiny_model_folder)


def request_of(engine: Engine, text: str, max_new_tokens: int = 20, **sampling: Any) -> GenerationRequest:
    # A random model must not end by chance: length alone ends it.
    return GenerationRequest(
        prompt_ids=engine.tokenizer.encode(text),
        sampling=SamplingParams(max_new_tokens=max_new_tokens, **sampling),
        ignore_eos=True,
    )


def run(engine: Engine, *requests: GenerationRequest) -> list[list[Delta]]:
    """Deltas of each request (all alternatives), submitted together."""
    handles = [engine.submit(request) for request in requests]
    deltas: dict[int, list[Delta]] = {id(handle): [] for handle in handles}
    while engine.busy:
        for handle, delta in engine.step():
            deltas[id(handle)].append(delta)
    return [deltas[id(handle)] for handle in handles]


def tokens_of(deltas: Sequence[Delta], index: int = 0) -> list[int]:
    return [token for delta in deltas if delta.index == index for token in delta.token_ids]


def generate(engine: Engine, text: str, **options: Any) -> list[int]:
    return tokens_of(run(engine, request_of(engine, text, **options))[0])


def test_greedy_text_is_that_of_transformers(engine: Engine, tiny_model_folder: Path) -> None:
    # Its `generate` is annotated for another kind of `self`.
    reference: Any = GPTBigCodeForCausalLM.from_pretrained(tiny_model_folder)
    ids = engine.tokenizer.encode(SOURCE[:600])
    with torch.inference_mode():
        expected = reference.generate(
            torch.tensor([ids]), max_new_tokens=40, min_new_tokens=40, do_sample=False, pad_token_id=0
        )[0, len(ids) :]
    # min_new_tokens forbids the end token there, which a random model would pick now and then.
    assert generate(engine, SOURCE[:600], max_new_tokens=40) == expected.tolist()


def test_a_keystroke_in_spm_order_computes_a_handful_of_tokens(engine: Engine) -> None:
    prefix, suffix = SOURCE[:850], SOURCE[860:1000]

    def complete(on: Engine, typed: str) -> list[Delta]:
        prompt = build_prompt(
            on.tokenizer,
            on.config.family.fim_format(on.tokenizer.special_ids),
            prefix=prefix + typed,
            suffix=suffix,
            order=FimOrder.SPM,
            max_prompt_tokens=on.config.n_positions - 8,
        )
        assert len(prompt.token_ids) >= 950
        request = GenerationRequest(
            prompt_ids=prompt.token_ids,
            healed=prompt.healed,
            sampling=SamplingParams(max_new_tokens=6),
            ignore_eos=True,
        )
        return run(on, request)[0]

    complete(engine, "")
    before = engine.stats().computed_tokens
    warm = complete(engine, "x")
    first_token_cost = engine.stats().computed_tokens - before - sum(len(d.token_ids) for d in warm)
    assert first_token_cost <= 8
    timings = warm[-1].timings
    assert timings is not None
    assert timings.prompt_tokens - timings.cached_tokens <= 8
    engine._scheduler.cache.shrink(0)
    assert tokens_of(warm) == tokens_of(complete(engine, "x")), "from nothing, the same"


def test_eight_streams_at_once_give_the_text_of_one(tiny_model_folder: Path) -> None:
    texts = [SOURCE[start : start + 60 + 40 * start // 100] for start in range(0, 800, 100)]
    alone = [generate(make_engine(tiny_model_folder), text) for text in texts]
    engine = make_engine(tiny_model_folder, prefill_chunk=64)
    together = run(engine, *(request_of(engine, text) for text in texts))
    assert [tokens_of(deltas) for deltas in together] == alone


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_chunked_prefill_changes_nothing(tiny_model_folder: Path, chunk: int) -> None:
    expected = generate(make_engine(tiny_model_folder), SOURCE[:200])
    assert generate(make_engine(tiny_model_folder, prefill_chunk=chunk), SOURCE[:200]) == expected


def test_decoding_goes_on_during_a_long_prefill(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder, prefill_chunk=16)
    short = engine.submit(request_of(engine, "def f", max_new_tokens=120))
    engine.step()
    long = engine.submit(request_of(engine, SOURCE[:400], max_new_tokens=2))
    gained = 0
    events = engine.step()
    while long not in [handle for handle, _ in events]:
        assert [handle for handle, _ in events] == [short], "the short one gets a token in every step"
        gained += 1
        events = engine.step()
    assert gained >= 400 // 16 - 1


def test_drafts_change_the_speed_and_not_the_text(tiny_model_folder: Path) -> None:
    text = "value = compute(value)\n" * 20
    plain = make_engine(tiny_model_folder, max_draft=0)
    drafting = make_engine(tiny_model_folder, max_draft=7)
    for sampling in ({}, {"temperature": 0.8, "seed": 3}, {"repetition_penalty": 1.3}):
        expected = generate(plain, text, max_new_tokens=120, **sampling)
        assert generate(drafting, text, max_new_tokens=120, **sampling) == expected
    assert plain.stats().drafted_tokens == 0
    assert drafting.stats().accepted_tokens > 0, "a random model repeats itself: some drafts must hold"


def test_alternatives_share_their_prompt(engine: Engine) -> None:
    prompt = SOURCE[:500]
    before = engine.stats().computed_tokens
    request = GenerationRequest(
        prompt_ids=engine.tokenizer.encode(prompt),
        sampling=SamplingParams(max_new_tokens=10, temperature=1.0, seed=7),
        n=4,
        ignore_eos=True,
    )
    deltas = run(engine, request)[0]
    texts = [tuple(tokens_of(deltas, index)) for index in range(4)]
    assert len(set(texts)) == 4
    assert all(len(text) == 10 for text in texts)
    assert engine.stats().computed_tokens - before < 500 + 4 * 80, "the prompt was computed once"
    assert [tuple(tokens_of(run(engine, request)[0], index)) for index in range(4)] == texts


def test_healing_continues_the_word(engine: Engine) -> None:
    ids = engine.tokenizer.encode("for i in ")
    request = GenerationRequest(
        prompt_ids=ids, healed=b"ra", sampling=SamplingParams(max_new_tokens=8), ignore_eos=True
    )
    deltas = run(engine, request)[0]
    assert engine.tokenizer.decode(tokens_of(deltas)[:2]) == "ra"
    whole = b"".join(engine.tokenizer.token_bytes(token) for token in tokens_of(deltas))
    assert "".join(delta.text for delta in deltas) == whole[2:].decode(errors="replace")


def test_stop_strings_end_within_the_loop(engine: Engine) -> None:
    free = "".join(d.text for d in run(engine, request_of(engine, SOURCE[:100], max_new_tokens=60))[0])
    stop = free[20:23]
    request = GenerationRequest(
        prompt_ids=engine.tokenizer.encode(SOURCE[:100]),
        sampling=SamplingParams(max_new_tokens=60),
        stop=StopRules(stop=(stop,)),
        ignore_eos=True,
    )
    deltas = run(engine, request)[0]
    assert "".join(d.text for d in deltas) == free[: free.index(stop)]
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].timings is not None
    assert deltas[-1].timings.completion_tokens < 60


def test_cancelling_frees_within_one_step(engine: Engine) -> None:
    handle = engine.submit(request_of(engine, SOURCE[:300], max_new_tokens=100))
    engine.step()
    engine.step()
    assert engine.stats().kv_tokens_pinned > 300
    (delta,) = engine.cancel(handle)
    assert delta.finish_reason == "cancelled"
    assert engine.stats().kv_tokens_pinned == 0
    assert not engine.busy
    assert engine.cancel(handle) == [], "twice is harmless"


def test_a_thousand_cancelled_requests_leak_nothing(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder, kv_cache_bytes=3_000 * 2 * 2 * 16 * 4, max_batch=4)
    cache = engine._scheduler.cache
    for number in range(1000):
        start = number % 700
        handle = engine.submit(request_of(engine, SOURCE[start : start + 100], max_new_tokens=50))
        for _ in range(number % 3):
            engine.step()
        engine.cancel(handle)
    stats = engine.stats()
    assert stats.cancelled == 1000
    assert (stats.running, stats.waiting, stats.kv_tokens_pinned) == (0, 0, 0)
    assert not engine._handle_of
    assert cache.pinned_tokens == 0
    cache.shrink(0)
    assert (cache.available, cache.cached_tokens) == (cache.n_slots, 0)


def test_a_small_cache_queues_and_evicts(tiny_model_folder: Path) -> None:
    expected = [generate(make_engine(tiny_model_folder), SOURCE[s : s + 400]) for s in range(0, 900, 150)]
    engine = make_engine(tiny_model_folder, kv_cache_bytes=1)  # raised to one context
    assert engine.stats().kv_tokens_capacity == engine.config.n_positions
    requests = [request_of(engine, SOURCE[s : s + 400]) for s in range(0, 900, 150)]
    assert [tokens_of(deltas) for deltas in run(engine, *requests)] == expected
    assert engine.stats().evicted_tokens > 0


def test_a_prompt_may_fill_the_context_but_for_one_token(engine: Engine) -> None:
    limit = engine.config.n_positions
    (deltas,) = run(engine, request_of(engine, SOURCE[: limit - 1], max_new_tokens=50))
    assert len(tokens_of(deltas)) == 1
    assert deltas[-1].finish_reason == "length"
    with pytest.raises(
        ContextLengthError, match=f"the prompt has {limit} tokens, the model's context {limit}"
    ):
        engine.submit(request_of(engine, SOURCE[:limit]))


@pytest.mark.parametrize("ids", [[-1], [3, 999_999]])
def test_token_ids_outside_the_vocabulary(engine: Engine, ids: list[int]) -> None:
    with pytest.raises(RequestError, match="outside the vocabulary"):
        engine.submit(GenerationRequest(prompt_ids=ids))


def test_nan_logits_fail_one_request_and_no_other(tiny_model_folder: Path) -> None:
    expected = generate(make_engine(tiny_model_folder), "hello")
    engine = make_engine(tiny_model_folder)
    # The tied head would spread a bad embedding to every row; a bad position reaches one place.
    positions = model_of(engine).position_embedding
    assert positions is not None
    positions.weight[700] = float("nan")
    bad, good = run(engine, request_of(engine, SOURCE[:701]), request_of(engine, "hello"))
    assert bad[-1].finish_reason == "error"
    assert "NaN" in (bad[-1].error or "")
    assert tokens_of(good) == expected
    assert tokens_of(run(engine, request_of(engine, "hello"))[0]) == expected
    assert engine.stats().failed == 1


def test_logprobs_are_the_models_own(engine: Engine, tiny_model_folder: Path) -> None:
    (deltas,) = run(
        engine, request_of(engine, SOURCE[:50], max_new_tokens=5, logprobs=3, temperature=0.7, seed=1)
    )
    reference = GPTBigCodeForCausalLM.from_pretrained(tiny_model_folder)
    prompt = engine.tokenizer.encode(SOURCE[:50])
    ids = torch.tensor([prompt + tokens_of(deltas)])
    with torch.inference_mode():
        expected = reference(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    logprobs = [value for delta in deltas for value in delta.logprobs]
    tops = [top for delta in deltas for top in delta.top_logprobs]
    for row, token, value, top in zip(expected, tokens_of(deltas), logprobs, tops, strict=True):
        assert value == pytest.approx(float(row[token]), abs=1e-4)
        assert sorted(top) == sorted(row.topk(3).indices.tolist())


def test_the_token_that_ends_the_text_is_not_part_of_it(engine: Engine) -> None:
    model = model_of(engine)
    assert isinstance(model.final_norm, nn.LayerNorm)
    model.final_norm.weight.zero_()
    (end_id,) = engine.config.end_token_ids
    model.final_norm.bias.copy_(model.token_embedding.weight[end_id])
    request = GenerationRequest(prompt_ids=engine.tokenizer.encode("x"))
    (delta,) = run(engine, request)[0]
    assert (delta.text, delta.token_ids, delta.logprobs, delta.finish_reason) == ("", (), (), "stop")
    assert delta.timings is not None
    assert delta.timings.completion_tokens == 0


def test_alternatives_without_temperature_begin_unlike_each_other(engine: Engine) -> None:
    prompt = engine.tokenizer.encode(SOURCE[:300])
    sampling = SamplingParams(max_new_tokens=8)
    request = GenerationRequest(prompt_ids=prompt, sampling=sampling, n=3, ignore_eos=True)
    deltas = run(engine, request)[0]
    beginnings = [engine.tokenizer.decode(tokens_of(deltas, index)[:3]) for index in range(3)]
    assert len(set(beginnings)) == 3
    # The first is what one alone would be.
    assert tokens_of(deltas, 0) == generate(engine, SOURCE[:300], max_new_tokens=8)


def test_alternatives_that_heal_a_word_begin_with_it(engine: Engine) -> None:
    prompt = build_prompt(
        engine.tokenizer,
        engine.config.family.fim_format(engine.tokenizer.special_ids),
        prefix="def f():\n    ret",
        suffix="\n",
        order=FimOrder.SPM,
        max_prompt_tokens=100,
    )
    request = GenerationRequest(
        prompt_ids=prompt.token_ids,
        healed=prompt.healed,
        sampling=SamplingParams(max_new_tokens=8),
        n=3,
        ignore_eos=True,
    )
    deltas = run(engine, request)[0]
    beginnings = [engine.tokenizer.decode(tokens_of(deltas, index)) for index in range(3)]
    assert len(set(beginnings)) == 3
    assert all(text.startswith(prompt.healed.decode()) for text in beginnings)
