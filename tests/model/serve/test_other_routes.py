"""Requests in other engines' forms: llama.cpp's /infill, Mistral's /v1/fim/completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from model.local.listen import Listen
from tests.model.serving import events_of, serving_at

# As llama.vim and llama.vscode send it.
LLAMA_VIM = {
    "id_slot": 0,
    "input_prefix": "co",
    "input_suffix": "\n",
    "input_extra": [{"text": "x = 1", "filename": "a.py"}],
    "prompt": "unt",
    "n_predict": 2,
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.9,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
}


@pytest.fixture
async def client(listen: Listen) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_at(listen) as (client, _):
        yield client


class TestInfill:
    async def test_whole(self, client: httpx.AsyncClient) -> None:
        answer = (await client.post("/infill", json=LLAMA_VIM)).json()
        assert answer["content"] == "0 1 "
        assert (answer["stop"], answer["stop_type"], answer["truncated"]) == (True, "limit", False)
        assert (answer["tokens_predicted"], answer["tokens_evaluated"], answer["tokens_cached"]) == (2, 7, 9)
        timings = answer["timings"]
        assert (timings["prompt_n"], timings["prompt_ms"], timings["prompt_per_second"]) == (2, 2.0, 1000.0)
        assert (timings["predicted_n"], timings["predicted_ms"]) == (2, 3.0)

    async def test_stream(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/infill", json={**LLAMA_VIM, "stream": True})
        events = [json.loads(each) for each in events_of(answer.text)]
        assert [(each["content"], each["stop"]) for each in events] == [("0 ", False), ("1 ", True)]

    async def test_a_prompt_that_is_only_to_be_read(self, client: httpx.AsyncClient) -> None:
        body = {**LLAMA_VIM, "n_predict": 0, "response_fields": ["content"]}
        assert (await client.post("/infill", json=body)).json() == {"content": ""}

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"input_suffix": None}, "input_suffix"),
            ({"n_predict": "4"}, "n_predict"),
            ({"input_extra": [{"filename": "a"}]}, "input_extra.0.text"),
        ],
    )
    async def test_bad_fields(self, client: httpx.AsyncClient, changes: dict[str, Any], field: str) -> None:
        answer = await client.post("/infill", json={**LLAMA_VIM, **changes})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


MISTRALS = {"model": "scripted", "prompt": "count", "suffix": "\n", "max_tokens": 2, "random_seed": 7}


class TestMistralsFim:
    async def test_whole(self, client: httpx.AsyncClient) -> None:
        answer = (await client.post("/v1/fim/completions", json=MISTRALS)).json()
        assert answer["object"] == "chat.completion"
        (choice,) = answer["choices"]
        assert choice["message"] == {"role": "assistant", "content": "0 1 "}
        assert choice["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 2

    async def test_stream(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/fim/completions", json={**MISTRALS, "stream": True})
        *events, done = events_of(answer.text)
        assert done == "[DONE]"
        deltas = [json.loads(each)["choices"][0]["delta"] for each in events]
        assert [delta["content"] for delta in deltas] == ["0 ", "1 "]

    async def test_stop(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/fim/completions", json={**MISTRALS, "stop": ["\n\n"]})
        assert answer.status_code == 200, answer.text
