"""Sampling against naive references, row by row and in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import RequestError
from model.runner.sampling import MAX_LOGPROBS, Choice, Sampled, SamplingParams, make_generator, sample


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These tensors are too small to share: on a busy machine, threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(logits: torch.Tensor, *params: SamplingParams, **rows: list[Any]) -> Sampled:
    """One step; generators, histories and restrictions default to none."""
    n = len(params)
    columns = zip(
        params,
        rows.get("generators", [make_generator(one) for one in params]),
        rows.get("histories", [[]] * n),
        rows.get("allowed", [None] * n),
        strict=True,
    )
    choices = [Choice(params=p, generator=g, history=h, allowed=a) for p, g, h, a in columns]
    return sample(logits.numpy(), choices)


def random_logits(rows: int, vocab: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))


def naive_kept(logits: torch.Tensor, params: SamplingParams) -> set[int]:
    """Token ids that survive top-k, then top-p: the definitions, written with lists."""
    probs = torch.softmax(logits.double() / params.temperature, 0).tolist()
    order = sorted(range(len(probs)), key=lambda i: -probs[i])
    kept = order[: params.top_k] if params.top_k else order
    total = sum(probs[i] for i in kept)
    mass = 0.0
    for count, token in enumerate(kept, start=1):
        mass += probs[token]
        if mass >= params.top_p * total:
            return set(kept[:count])
    return set(kept)


GREEDY = SamplingParams()


class TestGreedy:
    def test_takes_the_likeliest(self) -> None:
        assert draw(torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]]), GREEDY, GREEDY).token_ids == [1, 0]

    def test_the_lowest_id_among_equals(self) -> None:
        assert draw(torch.tensor([[1.0, 7.0, 7.0, 7.0]]), GREEDY).token_ids == [1]

    def test_the_log_probability_is_the_models(self) -> None:
        logits = random_logits(1, 50)
        sampled = draw(logits, GREEDY)
        expected = math.log(torch.softmax(logits[0].double(), 0).max().item())
        assert sampled.logprobs[0] == pytest.approx(expected, abs=1e-5)

    def test_a_tiny_temperature_is_nearly_greedy_and_does_not_overflow(self) -> None:
        logits = random_logits(4, 100, scale=1e4)
        cold = [SamplingParams(temperature=1e-30, seed=n) for n in range(4)]
        sampled = draw(logits, *cold)
        assert sampled.token_ids == logits.argmax(-1).tolist()
        assert sampled.failed == []


class TestFilters:
    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 10**6),
        vocab=st.sampled_from([3, 40, 1500]),
        top_k=st.sampled_from([0, 1, 2, 7, 1200]),
        top_p=st.sampled_from([1.0, 0.9, 0.5, 0.1, 1e-6]),
        temperature=st.sampled_from([0.3, 1.0, 5.0]),
    )
    def test_only_what_a_naive_reference_keeps_is_drawn(
        self, seed: int, vocab: int, top_k: int, top_p: float, temperature: float
    ) -> None:
        logits = random_logits(1, vocab, seed)
        params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
        kept = naive_kept(logits[0], params)
        sampled = draw(logits.expand(8, -1), *[params] * 8, generators=generators_of(8))
        assert set(sampled.token_ids) <= kept

    @pytest.mark.parametrize("options", [{"top_k": 5}, {"top_p": 0.6}, {"top_k": 8, "top_p": 0.7}, {}])
    def test_the_distribution(self, options: dict[str, Any]) -> None:
        params = SamplingParams(temperature=0.8, **options)
        logits = random_logits(1, 12, seed=3, scale=1.0)
        n = 4000
        generator = np.random.default_rng(0)
        rows = draw(logits.expand(n, -1), *[params] * n, generators=[generator] * n)
        counts = torch.bincount(torch.tensor(rows.token_ids), minlength=12).double() / n
        probs = torch.softmax(logits[0].double() / 0.8, 0)
        kept = naive_kept(logits[0], params)
        probs[[i for i in range(12) if i not in kept]] = 0
        expected = probs / probs.sum()
        # Four standard deviations of the widest binomial.
        assert (counts - expected).abs().max() < 4 * math.sqrt(0.25 / n)
        assert set(counts.nonzero()[:, 0].tolist()) == kept

    def test_the_distribution_over_a_wide_vocabulary(self) -> None:
        params = SamplingParams(temperature=1.0)
        shares = {0: 0.1, 255: 0.2, 256: 0.3, 700: 0.25, 999: 0.15}  # the last one, and some before
        logits = torch.full((1, 1000), -math.inf)
        for token, share in shares.items():
            logits[0, token] = math.log(share)
        n = 2000
        sampled = draw(logits.expand(n, -1), *[params] * n, generators=[generators_of(1)[0]] * n)
        counts = torch.bincount(torch.tensor(sampled.token_ids), minlength=1000).double() / n
        assert set(counts.nonzero()[:, 0].tolist()) == set(shares)
        for token, share in shares.items():
            assert counts[token].item() == pytest.approx(share, abs=4 * math.sqrt(0.25 / n))

    def test_a_flat_row_is_filtered_too(self) -> None:
        # 3,000 equal tokens: the nucleus of .9 ends among them, and equals of its last one stay.
        params = SamplingParams(temperature=1.0, top_p=0.9)
        logits = torch.zeros(1, 4000)
        logits[0, 3000:] = -10.0
        sampled = draw(logits.expand(50, -1), *[params] * 50, generators=generators_of(50))
        assert max(sampled.token_ids) < 3000
        assert len(set(sampled.token_ids)) > 40

    def test_tokens_as_likely_as_the_last_one_kept_are_kept(self) -> None:
        params = SamplingParams(temperature=1.0, top_k=2)
        logits = torch.tensor([[3.0, 1.0, 1.0, 0.0]])
        sampled = draw(logits.expand(200, -1), *[params] * 200, generators=generators_of(200))
        assert set(sampled.token_ids) == {0, 1, 2}

    def test_a_top_k_beyond_the_vocabulary(self) -> None:
        assert draw(random_logits(1, 5), SamplingParams(temperature=1.0, top_k=99, seed=1)).failed == []


def generators_of(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(n) for n in range(count)]


class TestPenalty:
    def test_divides_positive_and_multiplies_negative_logits(self) -> None:
        penalised = SamplingParams(repetition_penalty=2.0)
        logits = torch.tensor([[3.0, 2.0, -1.0]])
        assert draw(logits, penalised, histories=[[0]]).token_ids == [1]  # 3 / 2 < 2
        logits = torch.tensor([[-1.0, -1.5, -3.0]])
        assert draw(logits, penalised, histories=[[0, 0, 0]]).token_ids == [1]  # -1 × 2 < -1.5, once

    def test_leaves_the_callers_logits_and_the_reported_log_probability(self) -> None:
        logits = torch.tensor([[3.0, 2.0, -1.0]])
        before = logits.clone()
        plain = draw(logits, SamplingParams(logprobs=3))
        sampled = draw(logits, SamplingParams(repetition_penalty=2.0, logprobs=3), histories=[[0]])
        assert torch.equal(logits, before)
        assert sampled.top == plain.top
        assert sampled.logprobs[0] == dict(plain.top[0])[1]

    def test_an_empty_history(self) -> None:
        assert draw(torch.tensor([[3.0, 2.0]]), SamplingParams(repetition_penalty=2.0)).token_ids == [0]


class TestAllowed:
    def test_the_best_of_those_allowed(self) -> None:
        logits = torch.tensor([[9.0, 1.0, 2.0, 3.0]])
        assert draw(logits, GREEDY, allowed=[np.array([2, 1])]).token_ids == [2]

    def test_drawn_from_those_allowed(self) -> None:
        params = SamplingParams(temperature=1.0, top_p=0.99)
        logits = torch.tensor([[9.0, 1.0, 2.0, 1.5]]).expand(100, -1)
        allowed = [np.array([1, 3])] * 100
        sampled = draw(logits, *[params] * 100, generators=generators_of(100), allowed=allowed)
        assert set(sampled.token_ids) == {1, 3}

    def test_none_allowed_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="no token at all"):
            draw(torch.zeros(1, 4), GREEDY, allowed=[np.array([], dtype=np.int64)])

    def test_a_temperature_without_a_generator_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="no random generator"):
            draw(torch.zeros(1, 4), SamplingParams(temperature=1.0), generators=[None])


def mixed_params() -> list[SamplingParams]:
    return [
        GREEDY,
        SamplingParams(temperature=0.7, seed=1, top_p=0.9, logprobs=2),
        SamplingParams(temperature=1.3, seed=2, top_k=40),
        SamplingParams(repetition_penalty=1.3, logprobs=5),
        SamplingParams(temperature=0.9, seed=3, top_k=1200, top_p=0.95),
        SamplingParams(temperature=1.0, seed=4, repetition_penalty=0.8),
        SamplingParams(logprobs=MAX_LOGPROBS),
    ]


class TestRowsAreIndependent:
    @pytest.mark.parametrize("vocab", [100, 5000])
    def test_alone_as_in_a_batch(self, vocab: int) -> None:
        params = mixed_params()
        logits = random_logits(len(params), vocab)
        histories = [[1, 2, 3, n] for n in range(len(params))]
        allowed = [None, None, np.arange(50), None, None, None, np.arange(7, 40)]

        def run(rows: list[int]) -> list[tuple[object, ...]]:
            sampled = draw(
                logits[rows],
                *[params[n] for n in rows],
                histories=[histories[n] for n in rows],
                allowed=[allowed[n] for n in rows],
            )
            return list(zip(sampled.token_ids, sampled.logprobs, sampled.top, strict=True))

        alone = [run([n])[0] for n in range(len(params))]
        assert run(list(range(len(params)))) == alone
        assert run([6, 2, 4, 0, 5, 1, 3]) == [alone[n] for n in (6, 2, 4, 0, 5, 1, 3)]

    def test_the_same_seed_gives_the_same_text_in_any_batch(self) -> None:
        steps = [random_logits(3, 300, seed=n) for n in range(12)]
        params = SamplingParams(temperature=1.0, seed=7)

        def text(batch: int, row: int) -> list[int]:
            generators = [make_generator(SamplingParams(temperature=1.0)) for _ in range(batch)]
            generators[row] = make_generator(params)
            ids = []
            for logits in steps:
                rows = logits[:1].repeat(batch, 1)
                rows[:row] = logits[1]
                ids.append(draw(rows, *[params] * batch, generators=generators).token_ids[row])
            return ids

        assert text(1, 0) == text(3, 1) == text(5, 4)

    def test_alternatives_of_one_seed_differ(self) -> None:
        params = SamplingParams(temperature=1.0, seed=7)
        generators = [make_generator(params, index) for index in range(8)]
        generators += [make_generator(SamplingParams(temperature=1.0, seed=8), 0)]
        numbers = [one.random() for one in generators if one is not None]
        assert len(set(numbers)) == 9

    def test_without_a_seed_two_requests_differ(self) -> None:
        params = SamplingParams(temperature=1.0)
        first, second = make_generator(params), make_generator(params)
        assert first is not None
        assert second is not None
        assert first.random() != second.random()

    def test_greedy_needs_no_generator(self) -> None:
        assert make_generator(GREEDY) is None


class TestFailures:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    @pytest.mark.parametrize("params", mixed_params())
    def test_one_bad_row_is_reported_and_the_others_are_served(
        self, bad: float, params: SamplingParams
    ) -> None:
        logits = random_logits(3, 2000)
        clean = draw(logits, params, params, params)
        logits[1, 17] = bad
        sampled = draw(logits, params, params, params)
        assert sampled.failed == [1]
        assert sampled.token_ids == [clean.token_ids[0], -1, clean.token_ids[2]]
        assert sampled.top[1] == []

    def test_every_logit_minus_infinity(self) -> None:
        assert draw(torch.full((1, 4), -math.inf), GREEDY).failed == [0]

    def test_a_token_that_cannot_be_is_no_failure(self) -> None:
        logits = torch.tensor([[-math.inf, 1.0, 0.0]])
        assert draw(logits, GREEDY, allowed=[None]).token_ids == [1]
        assert draw(logits, SamplingParams(temperature=1.0, seed=1)).failed == []


class TestTop:
    def test_the_likeliest_tokens_best_first(self) -> None:
        logits = random_logits(1, 200)
        top = draw(logits, SamplingParams(logprobs=4)).top[0]
        values, ids = torch.log_softmax(logits[0], 0).sort(descending=True)
        assert [token for token, _ in top] == ids[:4].tolist()
        assert [value for _, value in top] == pytest.approx(values[:4].tolist())

    def test_none_unless_asked(self) -> None:
        assert draw(random_logits(1, 200), GREEDY).top == [[]]

    def test_a_small_vocabulary(self) -> None:
        assert len(draw(random_logits(1, 3), SamplingParams(logprobs=20)).top[0]) == 3


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("max_tokens", {"max_new_tokens": 0}),
        ("temperature", {"temperature": -0.1}),
        ("temperature", {"temperature": math.nan}),
        ("temperature", {"temperature": math.inf}),
        ("top_p", {"top_p": 0.0}),
        ("min_p", {"min_p": 1.5}),
        ("top_p", {"top_p": 1.01}),
        ("top_p", {"top_p": math.nan}),
        ("top_k", {"top_k": -1}),
        ("repetition_penalty", {"repetition_penalty": 0.0}),
        ("repetition_penalty", {"repetition_penalty": math.inf}),
        ("seed", {"seed": 2**63}),
        ("logprobs", {"logprobs": MAX_LOGPROBS + 1}),
        ("logprobs", {"logprobs": -1}),
    ],
)
def test_bad_values_name_the_field_and_the_value(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=field) as caught:
        SamplingParams(**values)
    assert caught.value.field == field
    assert repr(next(iter(values.values()))) in str(caught.value)
