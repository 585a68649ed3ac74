"""Prompts that are told again and scored, and several prompts in one request: what evaluation asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from model.engine.engine import Engine, EngineOptions
from model.local.listen import Listen
from model.prompt.tokenizer import Tokenizer
from model.pytorch.checkpoint import load_checkpoint
from model.pytorch.device import Placement
from model.pytorch.torch_runner import TorchRunner
from model.serve.merging import merged
from model.weights.scheme import Scheme
from tests.model.serving import engine_at, events_of

FP32 = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="test")
COMPLETIONS = "/v1/completions"
PROMPT = "def area(width, height):\n    return width * height\n"


@pytest.fixture
def engine(tiny_model_folder: Path) -> Engine:
    """With a prefill in small steps, so that a prompt is scored in several; fp32, to be compared."""
    model = load_checkpoint(tiny_model_folder, FP32)
    tokenizer = Tokenizer.from_folder(tiny_model_folder)
    return Engine(TorchRunner(model, FP32), tokenizer, EngineOptions(prefill_chunk=16))


@pytest.fixture
async def http(engine: Engine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with engine_at(Listen.parse(f"unix:{tmp_path}/e.sock"), engine, "tiny") as client:
        yield client


async def ask(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post(COMPLETIONS, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@torch.inference_mode()
def reference(engine: Engine, ids: list[int]) -> list[float]:
    """The log-probabilities of the tokens after the first, by one plain forward pass."""
    assert isinstance(engine.runner, TorchRunner)
    logits = engine.runner.model(torch.tensor([ids]))[0].float()  # [T, V]
    log_probs = torch.log_softmax(logits, dim=-1)
    return [log_probs[at, token].item() for at, token in enumerate(ids[1:])]


async def test_a_prompt_is_scored_as_by_a_plain_forward_pass(http: httpx.AsyncClient, engine: Engine) -> None:
    ids = engine.tokenizer.encode(PROMPT)
    (choice,) = (await ask(http, prompt=PROMPT, echo=True, logprobs=2, max_tokens=3))["choices"]
    scores = choice["logprobs"]
    n_prompt = len(ids)
    assert n_prompt < len(scores["tokens"]) <= n_prompt + 3
    assert choice["text"].startswith(PROMPT)
    assert "".join(scores["tokens"][:n_prompt]) == PROMPT
    assert scores["token_logprobs"][0] is None
    assert scores["token_logprobs"][1:n_prompt] == pytest.approx(reference(engine, ids), abs=1e-4)
    assert scores["top_logprobs"][0] is None
    for chosen, top in zip(scores["token_logprobs"][1:], scores["top_logprobs"][1:], strict=True):
        assert 1 <= len(top) <= 2
        assert max(top.values()) >= chosen
    assert scores["text_offset"][: n_prompt + 1] == list(range(n_prompt + 1))  # a token a byte


async def test_a_cached_prompt_has_the_same_scores(http: httpx.AsyncClient) -> None:
    plain = await ask(http, prompt=PROMPT, max_tokens=2)
    first = await ask(http, prompt=PROMPT, echo=True, logprobs=0, max_tokens=2)
    again = await ask(http, prompt=PROMPT, echo=True, logprobs=0, max_tokens=2)
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    for key in ("tokens", "token_logprobs"):
        assert first["choices"][0]["logprobs"][key] == pytest.approx(again["choices"][0]["logprobs"][key])
    # The rest of the engine is none the worse for it.
    assert first["choices"][0]["text"] == PROMPT + plain["choices"][0]["text"]
    after = await ask(http, prompt=PROMPT, max_tokens=2)
    assert after["choices"][0]["text"] == plain["choices"][0]["text"]
    assert after["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


async def test_scores_alone(http: httpx.AsyncClient, engine: Engine) -> None:
    answer = await ask(http, prompt=PROMPT, echo=True, logprobs=1, max_tokens=0)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (PROMPT, "length")
    assert len(choice["logprobs"]["tokens"]) == len(engine.tokenizer.encode(PROMPT))
    assert answer["usage"]["completion_tokens"] == 0


async def test_echo_without_scores(http: httpx.AsyncClient) -> None:
    (choice,) = (await ask(http, prompt=PROMPT, echo=True, max_tokens=1))["choices"]
    assert choice["text"].startswith(PROMPT)
    assert choice["logprobs"] is None


async def test_streamed(http: httpx.AsyncClient) -> None:
    body = {"prompt": PROMPT, "echo": True, "logprobs": 0, "max_tokens": 4, "stream": True}
    *parts, done = events_of((await http.post(COMPLETIONS, json=body)).text)
    assert done == "[DONE]"
    choices = [json.loads(part)["choices"][0] for part in parts]
    whole = await ask(http, **{**body, "stream": False})
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"]
    assert choices[0]["text"].startswith(PROMPT)


async def test_several_prompts(http: httpx.AsyncClient, engine: Engine) -> None:
    prompts = [PROMPT, "x = 1\n", "import os\n"]
    alone = [await ask(http, prompt=prompt, max_tokens=5) for prompt in prompts]
    together = await ask(http, prompt=prompts, max_tokens=5)
    expected = [answer["choices"][0]["text"] for answer in alone]
    assert [choice["text"] for choice in together["choices"]] == expected
    assert [choice["index"] for choice in together["choices"]] == [0, 1, 2]
    n_tokens = [len(engine.tokenizer.encode(prompt)) for prompt in prompts]
    assert together["usage"]["prompt_tokens"] == sum(n_tokens)


async def test_several_prompts_as_token_ids_with_alternatives_and_scores(
    http: httpx.AsyncClient, engine: Engine
) -> None:
    ids = [engine.tokenizer.encode(text) for text in (PROMPT, "x = 1\n")]
    answer = await ask(http, prompt=ids, n=2, temperature=1, seed=3, echo=True, logprobs=1, max_tokens=1)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    for choice in answer["choices"]:
        own = ids[choice["index"] // 2]
        scores = choice["logprobs"]["token_logprobs"][1 : len(own)]
        assert scores == pytest.approx(reference(engine, own), abs=1e-4)


async def test_a_bad_one_of_several_prompts(http: httpx.AsyncClient) -> None:
    answer = await http.post(COMPLETIONS, json={"prompt": [[1, 2], [10**6]]})
    assert answer.status_code == 400
    assert "1000000" in answer.json()["error"]["message"]


class TestMerging:
    async def test_items_come_with_their_streams_number(self) -> None:
        async def numbers(n: int) -> AsyncGenerator[int, None]:
            for i in range(n):
                yield i
                await asyncio.sleep(0)

        async with aclosing(merged([numbers(2), numbers(3)])) as items:
            assert sorted([item async for item in items]) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]

    async def test_the_first_failure_ends_all(self) -> None:
        closed = []

        async def endless() -> AsyncGenerator[int, None]:
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                closed.append(True)

        async def failing() -> AsyncGenerator[int, None]:
            yield 2
            raise ValueError("no more")

        with contextlib.suppress(ValueError):
            async with aclosing(merged([endless(), failing()])) as items:
                async for _ in items:
                    pass
        assert closed == [True]
