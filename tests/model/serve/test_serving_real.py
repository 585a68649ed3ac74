"""The real engine, on a tiny model, behind its real HTTP face and in its real process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from model.client.client import CompletionQuery, ContextText, EngineClient
from model.client.http_session import Endpoint, HttpSession
from model.engine.async_engine import AsyncEngine
from model.engine.engine import Engine
from model.errors import ContextLengthError, EngineUnavailableError, RequestError
from model.local.listen import Listen
from model.process.engine_files import EngineFiles, LaunchOptions
from model.process.process import EngineProcess
from model.pytorch.torch_runner import TorchRunner
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody
from model.serve.server import serve
from model.serve.serving import Served, Serving
from model.start.load import load_engine
from tests.model import queries
from tests.model.queries import text_of
from tests.model.serving import PATIENCE_S, events_of, metric, metric_is, until

SOURCE = "def area(width, height):\n    return width * height\n\n\nfor i in ra║nge(10):\n    print(i)\n"


def cursor(text: str, **fields: Any) -> CompletionQuery:
    return queries.cursor(text, **{"max_tokens": 24, **fields})


@pytest.fixture
def engine(tiny_model_folder: Path) -> Engine:
    return load_engine(tiny_model_folder, device="cpu", quantize="none")


@pytest.fixture
async def client(engine: Engine, tmp_path: Path) -> AsyncIterator[EngineClient]:
    listen = Listen.parse(f"unix:{tmp_path}/e.sock")
    async_engine = AsyncEngine(engine)
    serving = Serving(
        async_engine,
        Served(name="tiny"),
        prepare=partial(generation_request, tokenizer=engine.tokenizer, config=engine.config),
        token_bytes=engine.tokenizer.token_bytes,
    )
    ready = asyncio.Event()
    async_engine.start()
    with listen.open() as listener:
        task = asyncio.create_task(serve(serving, listener, on_ready=ready.set))
        await asyncio.wait_for(ready.wait(), PATIENCE_S)
        ours = EngineClient(unix_path=listen.unix_path)
        yield ours
        await ours.aclose()
        serving.stopping.set()
        await asyncio.wait_for(task, PATIENCE_S)
    await async_engine.stop()


@pytest.fixture
async def http(client: EngineClient, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "e.sock"))
    async with httpx.AsyncClient(base_url="http://engine", transport=transport, timeout=60) as plain:
        yield plain


async def test_completes_with_timings_and_logprobs(client: EngineClient) -> None:
    deltas = [delta async for delta in client.complete(cursor(SOURCE))]
    assert deltas[-1].finish_reason in ("stop", "length")
    timings = deltas[-1].timings
    assert timings is not None
    # The token that ends a text has a logprob, and is no part of the text.
    n_logprobs = sum(len(delta.logprobs) for delta in deltas)
    assert timings["completion_tokens"] in (n_logprobs, n_logprobs - 1)
    assert timings["computed_tokens"] >= timings["prompt_tokens"]
    assert all(logprob <= 0 for delta in deltas for logprob in delta.logprobs)


async def test_a_keystroke_computes_little_and_changes_nothing(client: EngineClient) -> None:
    long = "".join(f"value_{n} = compute({n})\n" for n in range(24))
    await text_of(client, cursor(long + "x║\n"))
    typed = cursor(long + "xy║\n")
    deltas = [delta async for delta in client.complete(typed)]
    timings = deltas[-1].timings
    assert timings is not None
    assert timings["prompt_tokens"] > 500
    assert timings["prompt_tokens"] - timings["cached_tokens"] <= 8
    assert "".join(delta.text for delta in deltas) == await text_of(client, typed)


async def test_eight_at_once_are_as_alone(client: EngineClient) -> None:
    queries = [
        cursor(f"number_{n} = ║\n", context=(ContextText(path="a.py", text="a = 1\n"),)) for n in range(8)
    ]
    alone = [await text_of(client, query) for query in queries]
    assert await asyncio.gather(*[text_of(client, query) for query in queries]) == alone


async def test_a_closed_connection_frees_its_place(http: httpx.AsyncClient) -> None:
    request = {
        "prompt": "x",
        "max_tokens": 1_000,
        "ignore_eos": True,
        "stream": True,
        "n": 3,
        "temperature": 1.0,
    }
    async with http.stream("POST", "/v1/completions", json=request) as answer:
        await anext(answer.aiter_bytes())
        assert await metric(http, "running_sequences") == 3
    await until(lambda: metric_is(http, "running_sequences", 0))
    assert await metric(http, "cancelled_total") == 3
    assert await metric(http, "generated_tokens_total") < 3 * 1_000


async def test_a_seed_repeats_itself_and_logprobs_fit(http: httpx.AsyncClient) -> None:
    request = {"prompt": "def f(x):\n", "max_tokens": 12, "ignore_eos": True, "n": 2}
    request |= {"logprobs": 2, "temperature": 0.8, "seed": 1}
    first, again = [(await http.post("/v1/completions", json=request)).json() for _ in range(2)]
    assert first["choices"] == again["choices"]
    assert first["usage"]["completion_tokens"] == 24
    logprobs = first["choices"][0]["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == 12
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])


async def test_streamed_and_whole_agree(http: httpx.AsyncClient) -> None:
    request = {"prompt": "def f(x):\n", "suffix": "\n", "max_tokens": 12, "ignore_eos": True}
    whole = (await http.post("/v1/completions", json=request)).json()
    streamed = (await http.post("/v1/completions", json={**request, "stream": True})).text
    chunks = [json.loads(event) for event in events_of(streamed)[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"] != ""


async def test_token_ids_are_a_prompt(engine: Engine, http: httpx.AsyncClient) -> None:
    ids = engine.tokenizer.encode("def f(x):\n")
    by_text, by_ids = [
        (
            await http.post("/v1/completions", json={"prompt": prompt, "max_tokens": 8, "ignore_eos": True})
        ).json()
        for prompt in ("def f(x):\n", ids)
    ]
    assert by_ids["choices"][0]["text"] == by_text["choices"][0]["text"]
    assert by_ids["usage"]["prompt_tokens"] == len(ids)


@pytest.mark.parametrize(
    ("request_body", "field", "words"),
    [
        ({"prompt": "x" * 2_000}, "prompt", "1024"),
        ({"prompt": [0, 275]}, "prompt", "275"),
        ({"prompt": []}, "prompt", "at least one"),
        ({"prompt": "x", "max_tokens": 5_000}, "max_tokens", "5000"),
    ],
)
async def test_what_cannot_be_served_is_named(
    http: httpx.AsyncClient, request_body: dict[str, Any], field: str, words: str
) -> None:
    answer = await http.post("/v1/completions", json=request_body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
    assert words in answer.json()["error"]["message"]
    assert (await http.post("/v1/completions", json={"prompt": "", "max_tokens": 1})).status_code == 200


async def test_nan_logits_end_one_request_and_the_engine_keeps_serving(
    engine: Engine, client: EngineClient
) -> None:
    expected = await text_of(client, cursor("a = ║"))
    assert isinstance(engine.runner, TorchRunner)
    positions = engine.runner.model.position_embedding
    assert positions is not None
    weight = positions.weight
    kept = weight.clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    with pytest.raises(RequestError, match="NaN"):
        await text_of(client, cursor("b = ║"))
    with torch.no_grad():
        weight.copy_(kept)
    assert await text_of(client, cursor("a = ║")) == expected


def test_a_long_file_is_cut_not_refused(engine: Engine) -> None:
    body = CompletionBody(prompt="x = 1\n" * 3_000, suffix="y = 2\n" * 3_000, max_tokens=100)
    request = generation_request(body, engine.tokenizer, engine.config)
    assert len(request.prompt_ids) + 100 <= engine.config.n_positions
    with pytest.raises(ContextLengthError, match="1024"):
        generation_request(body.model_copy(update={"max_tokens": 1024}), engine.tokenizer, engine.config)


@pytest.fixture
async def process(tiny_model_folder: Path, tmp_path: Path) -> AsyncIterator[EngineProcess]:
    launch = LaunchOptions(model=str(tiny_model_folder), device="cpu")
    files = EngineFiles.inside(tmp_path / "run", launch)
    made = EngineProcess(launch, files=files)  # by the command that users have
    yield made
    await made.stop()
    await made.aclose()


async def test_the_process_killed_in_mid_stream_is_replaced(process: EngineProcess) -> None:
    health = await (await process.ensure()).health()
    session = HttpSession(Endpoint(url="http://engine", unix_path=process.files.socket))
    endless = {"prompt": "x", "max_tokens": 1_000, "ignore_eos": True, "stream": True}
    async with aclosing(session.stream("/v1/completions", endless)) as events:
        await anext(events)
        assert health.pid is not None
        os.kill(health.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailableError):
            async for _ in events:
                pass
    await session.aclose()
    # Another client's loss is noticed by the next request, not before: the window asks once more.
    with suppress(EngineUnavailableError):
        await (await process.ensure()).health()
    again = await process.ensure()
    assert (await again.health()).pid != health.pid
    deltas = [delta async for delta in again.complete(cursor("x = ║"))]
    assert deltas[-1].finish_reason is not None
    await process.stop()
    assert "stopped" in process.files.log_tail()[-1]


WRITTEN_OUT = "<fim_prefix>def f(x):\n<fim_suffix>\nf(1)\n<fim_middle>"
APART = {"prompt": "def f(x):\n", "suffix": "\nf(1)\n"}


async def test_a_prompt_with_sentinels_written_out(http: httpx.AsyncClient) -> None:
    """Read when that is said, refused when not, and text for who means it so."""
    wanted, read, plain = [
        (await http.post("/v1/completions", json={"max_tokens": 8, **body})).json()["usage"]["prompt_tokens"]
        for body in (
            APART,
            {"prompt": WRITTEN_OUT, "fim_text": True},
            {"prompt": WRITTEN_OUT, "fim_text": False},
        )
    ]
    assert (read, plain) == (wanted, len(WRITTEN_OUT))
    for body, field in (
        ({"prompt": WRITTEN_OUT}, "suffix"),
        ({"prompt": f"x = 1\n{WRITTEN_OUT}", "fim_text": True}, "context"),
        ({"prompt": f"{WRITTEN_OUT}{WRITTEN_OUT}", "fim_text": True}, "fim_text"),
        ({"prompt": WRITTEN_OUT, "fim_text": True, "echo": True}, "echo"),
    ):
        refused = await http.post("/v1/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
