"""Many streams in one engine: nobody starves, and what one has computed the others need not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from model.engine.engine import Engine, EngineOptions, Handle
from model.engine.generation import GenerationRequest
from model.prompt.fim import ContextFile, build_prompt
from model.prompt.fim_format import FimOrder
from model.runner.sampling import SamplingParams
from model.start.load import load_engine

SOURCE = Path(__file__).read_text(encoding="utf-8")
N_NEW = 24


def make_engine(folder: Path, **options: int) -> Engine:
    return load_engine(folder, device="cpu", quantize="int8", options=EngineOptions(threads=1, **options))


def request_of(engine: Engine, text: str, max_new_tokens: int = N_NEW, n: int = 1) -> GenerationRequest:
    sampling = SamplingParams(max_new_tokens=max_new_tokens, temperature=0.8, seed=4)
    return GenerationRequest(
        prompt_ids=engine.tokenizer.encode(text), sampling=sampling, n=n, ignore_eos=True
    )


def finish(engine: Engine) -> None:
    while engine.busy:
        engine.step()


class Watch:
    """Runs an engine step by step and notes who gets tokens."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.gained: list[set[int]] = []
        self.computed: list[int] = []  # tokens that went through the model up to and with each step

    def run(self, handles: Sequence[Handle], n_steps: int | None = None) -> None:
        numbers = {id(handle): number for number, handle in enumerate(handles)}
        while self.engine.busy and n_steps != 0:
            events = self.engine.step()
            self.gained.append({numbers[id(handle)] for handle, delta in events if delta.token_ids})
            self.computed.append(self.engine.stats().computed_tokens)
            n_steps = None if n_steps is None else n_steps - 1

    def steps_of(self, number: int) -> list[int]:
        return [step for step, gained in enumerate(self.gained) if number in gained]

    def ended_at(self, number: int) -> int:
        """How much the engine had computed when a stream's last token came: its time, on any machine."""
        return self.computed[self.steps_of(number)[-1]]


@pytest.mark.parametrize("n_streams", [8, 32])
def test_no_stream_waits_twice_as_long_as_another(tiny_model_folder: Path, n_streams: int) -> None:
    engine = make_engine(tiny_model_folder, max_draft=0)
    texts = [SOURCE[start : start + 40] for start in range(0, 40 * n_streams, 40)]
    watch = Watch(engine)
    watch.run([engine.submit(request_of(engine, text)) for text in texts])
    for number in range(n_streams):
        steps = watch.steps_of(number)
        assert len(steps) == N_NEW
        assert steps == list(range(steps[0], steps[0] + N_NEW)), "once it runs: a token in every step"
    times = [watch.ended_at(number) for number in range(n_streams)]
    assert max(times) <= 2 * min(times)


@pytest.mark.parametrize("n_streams", [8, 31])
def test_a_long_prompt_takes_no_stream_its_turn(tiny_model_folder: Path, n_streams: int) -> None:
    engine = make_engine(tiny_model_folder, max_draft=0, prefill_chunk=64)
    handles = [engine.submit(request_of(engine, SOURCE[start : start + 20])) for start in range(n_streams)]
    watch = Watch(engine)
    watch.run(handles, n_steps=n_streams * 20 // 64 + 1)
    before = len(watch.gained)
    handles.append(engine.submit(request_of(engine, SOURCE[:900], max_new_tokens=2)))
    watch.run(handles, n_steps=10)
    during = watch.gained[before:]
    assert all(set(range(n_streams)) <= gained for gained in during), "each gets its token in each step"
    costs = [after - first for first, after in pairwise(watch.computed[before:])]
    assert max(costs) <= 64 + n_streams, "and waits for one chunk of the long prompt at most"


def test_the_same_place_in_two_windows_is_computed_once(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder)
    for _ in range(2):
        engine.submit(request_of(engine, SOURCE[:500], max_new_tokens=1))
    finish(engine)
    assert engine.stats().computed_tokens <= 500 + 1, "also when both ask at once"


def test_documents_share_the_context_they_have_in_common(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder)
    context = [ContextFile(path="common.py", text=SOURCE[:400])]
    costs = []
    for name, prefix in (("one.py", "def one():\n    "), ("two.py", "def two():\n    return ")):
        prompt = build_prompt(
            engine.tokenizer,
            engine.config.family.fim_format(engine.tokenizer.special_ids),
            prefix=prefix,
            suffix="\n",
            context=context,
            path=name,
            order=FimOrder.SPM,
            max_prompt_tokens=engine.config.n_positions - 8,
        )
        before = engine.stats().computed_tokens
        engine.submit(
            GenerationRequest(prompt_ids=prompt.token_ids, sampling=SamplingParams(max_new_tokens=1))
        )
        finish(engine)
        costs.append(engine.stats().computed_tokens - before)
    assert costs[0] > 400
    assert costs[1] < 100, "its own text only"


def test_alternatives_are_decoded_in_one_batch(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder, max_draft=0)
    handle = engine.submit(request_of(engine, SOURCE[:200], n=8))
    n_steps = 0
    while engine.busy:
        engine.step()
        n_steps += 1
    assert handle.done
    assert n_steps <= N_NEW + 2, "eight texts in the steps of one"
    assert engine.stats().computed_tokens <= 200 + 8 * N_NEW


def burden(engine: Engine, kind: str) -> list[Handle]:
    """What other clients have sent before."""
    if kind == "100 streams":
        return [engine.submit(request_of(engine, SOURCE[start : start + 40])) for start in range(100)]
    if kind == "256 prompts":
        asked = [request_of(engine, SOURCE[start : start + 40], max_new_tokens=16) for start in range(256)]
        return [engine.submit(one, "the one who asks all of them") for one in asked]
    return [engine.submit(request_of(engine, SOURCE[:1_000], max_new_tokens=8))]


@pytest.mark.parametrize("kind", ["100 streams", "256 prompts", "one long prompt"])
def test_a_short_request_waits_no_longer_than_twice_its_share(tiny_model_folder: Path, kind: str) -> None:
    engine = make_engine(tiny_model_folder, max_draft=0, prefill_chunk=64)
    others = burden(engine, kind)
    watch = Watch(engine)
    watch.run(others, n_steps=3)
    short = engine.submit(request_of(engine, "def short():\n", max_new_tokens=8))
    before = len(watch.gained)
    while not short.done:
        watch.run([*others, short], n_steps=1)
    # Alone it takes eight steps, the first of them for its prompt too.
    assert len(watch.gained) - before <= 2 * 8
    costs = [after - first for first, after in pairwise(watch.computed[before + 1 :])]
    if kind == "100 streams":
        assert max(costs) <= 64 + 48, "a step is a chunk of their prompts beside those that decode"
    else:
        assert max(costs) <= 64 // 4 + 32 + 16, "a step is a quarter of a chunk beside those that decode"


def test_short_requests_do_not_starve_a_long_one(tiny_model_folder: Path) -> None:
    engine = make_engine(tiny_model_folder, max_draft=0, prefill_chunk=64)
    long = engine.submit(request_of(engine, SOURCE[:400], max_new_tokens=2))
    n_steps = 0
    while not long.done and n_steps < 100:
        for start in range(2):  # more than a step's tokens, in each step
            engine.submit(request_of(engine, f"{n_steps} {start}" + SOURCE[:40], max_new_tokens=1))
        engine.step()
        n_steps += 1
    assert n_steps <= 400 // (64 // 8) + 4
