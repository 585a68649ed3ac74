"""The engine's HTTP face, by a real server on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.engine.stats import EngineStats
from model.errors import RequestError
from model.local.listen import Listen
from model.serve.chat_protocol import ChatBody
from model.serve.protocol import CompletionBody, parse_body
from model.serve.server import MAX_BODY_BYTES, serve
from model.version import PROTOCOL
from tests.model import scripted_engine
from tests.model.scripted_engine import ScriptedServing, scripted_serving
from tests.model.serving import (
    PATIENCE_S,
    events_of,
    is_true,
    metric,
    metric_is,
    n_connections,
    serving_at,
    socket_of,
    until,
)

COMPLETIONS = "/v1/completions"
MESSAGES = [{"role": "user", "content": "a"}]
Running = tuple[httpx.AsyncClient, ScriptedServing]


@pytest.fixture
async def server(listen: Listen) -> AsyncIterator[Running]:
    async with serving_at(listen) as pair:
        yield pair


@pytest.fixture
async def client(server: Running) -> httpx.AsyncClient:
    return server[0]


async def counted(client: httpx.AsyncClient, status: int) -> bool:
    """Whether /metrics has a request with this status."""
    return f'requests_total{{status="{status}"}}' in (await client.get("/metrics")).text


def test_the_script_speaks_as_the_real_engine_does() -> None:
    from model.engine import generation

    for name in ("Delta", "Timings"):
        names = [field.name for field in dataclasses.fields(getattr(scripted_engine, name))]
        assert names == [field.name for field in dataclasses.fields(getattr(generation, name))]


class TestAnswers:
    async def test_health(self, client: httpx.AsyncClient) -> None:
        answer = (await client.get("/health")).json()
        assert answer == {
            "status": "ok",
            "version": answer["version"],
            "protocol": PROTOCOL,
            "model": "scripted",
            "license": "apache-2.0",
            "restrictions": None,
            "context_tokens": None,
            "chat": None,
            "pid": os.getpid(),
        }

    async def test_models(self, client: httpx.AsyncClient) -> None:
        answer = (await client.get("/v1/models")).json()
        assert [entry["id"] for entry in answer["data"]] == ["scripted"]
        assert answer["data"][0]["owned_by"] == "starcoder-lsp"

    async def test_whole(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(
            COMPLETIONS, json={"prompt": "count", "max_tokens": 3, "n": 2, "logprobs": 1}
        )
        assert answer.status_code == 200
        body = answer.json()
        assert body["object"] == "text_completion"
        assert [choice["text"] for choice in body["choices"]] == ["0 1 2 ", "0 1 2 "]
        assert [choice["finish_reason"] for choice in body["choices"]] == ["length", "length"]
        assert body["choices"][1]["logprobs"] == {
            "tokens": ["0 ", "1 ", "2 "],
            "token_logprobs": [-0.5, -0.5, -0.5],
            "top_logprobs": [
                {"0 ": -0.5, "1 ": -9999.0},
                {"1 ": -0.5, "2 ": -9999.0},
                {"2 ": -0.5, "3 ": -9999.0},
            ],
            "text_offset": [0, 2, 4],
        }
        assert body["usage"] == {
            "prompt_tokens": 7,
            "completion_tokens": 6,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 5},
        }
        assert body["timings"]["prefill_ms"] == 2.0

    async def test_chosen_logprobs_only(self, client: httpx.AsyncClient) -> None:
        body = (
            await client.post(COMPLETIONS, json={"prompt": "count", "max_tokens": 1, "logprobs": 0})
        ).json()
        assert body["choices"][0]["logprobs"]["token_logprobs"] == [-0.5]
        assert body["choices"][0]["logprobs"]["top_logprobs"] is None

    async def test_stream(self, client: httpx.AsyncClient) -> None:
        request = {
            "prompt": "count",
            "max_tokens": 2,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer = await client.post(COMPLETIONS, json=request)
        assert answer.headers["content-type"].startswith("text/event-stream")
        *chunks, usage, done = events_of(answer.text)
        assert done == "[DONE]"
        objects = [json.loads(chunk) for chunk in chunks]
        assert [chunk["choices"][0]["text"] for chunk in objects] == ["0 ", "1 "]
        assert [chunk["choices"][0]["finish_reason"] for chunk in objects] == [None, "length"]
        assert [chunk.get("timings", {}).get("completion_tokens") for chunk in objects] == [None, 2]
        assert objects[0]["choices"][0]["logprobs"] is None
        assert json.loads(usage)["choices"] == []
        assert json.loads(usage)["usage"]["completion_tokens"] == 2

    async def test_a_long_text_is_read_beside_the_event_loop(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": "x" * 100_000, "max_tokens": 1})
        assert answer.json()["choices"][0]["text"] == "0 "

    async def test_one_connection_serves_many_requests(self, server: Running) -> None:
        client, _ = server
        for _ in range(3):
            await client.post(COMPLETIONS, json={"prompt": "count", "stream": True})
        assert n_connections(client) == 1


class TestBadRequests:
    @pytest.mark.parametrize(
        ("request_body", "field", "words"),
        [
            ({"prompt": "a", "max_token": 3}, "max_token", ["unknown field", "max_tokens"]),
            ({"max_tokens": 3}, "prompt", ["missing"]),
            ({"prompt": ["a", 1]}, "prompt", ["['a', 1]", "a list of either"]),
            ({"prompt": ["a"] * 257}, "prompt", ["257 prompts are too many"]),
            ({"prompt": [1, True]}, "prompt", ["a text, a list of token ids"]),
            ({"prompt": "a", "max_tokens": "64"}, "max_tokens", ["'64'", "integer"]),
            ({"prompt": "a", "temperature": -1}, "temperature", ["-1"]),
            ({"prompt": "a", "top_p": 0}, "top_p", ["0"]),
            ({"prompt": "a", "n": 99}, "n", ["99", "32"]),
            ({"prompt": "a", "stop": ["", "x"]}, "stop", ["none of them empty"]),
            ({"prompt": "a", "stop": 5}, "stop", ["5", "a list of texts"]),
            ({"prompt": "a", "stop": True}, "stop", ["True", "a list of texts"]),
            ({"prompt": "a", "stop": {"a": 1}}, "stop", ["'a'", "a list of texts"]),
            ({"prompt": "a", "stop_at": "word"}, "stop_at", ["'word'", "line", "block"]),
            ({"prompt": "a", "context": [{"path": "x.py"}]}, "context.0.text", ["missing"]),
            ({"prompt": "a", "suffix": "b", "echo": True}, "echo", ["does not go with suffix"]),
            ({"prompt": "a", "max_tokens": 0}, "max_tokens", ["0", "or set echo"]),
            ({"prompt": "a", "best_of": 4}, "best_of", ["4", "n alternatives"]),
            ({"prompt": "a", "presence_penalty": 0.5}, "presence_penalty", ["0.5"]),
            ({"prompt": "refuse"}, "prompt", ["not today"]),
        ],
    )
    async def test_names_the_field_and_the_value(
        self, client: httpx.AsyncClient, request_body: dict[str, Any], field: str, words: list[str]
    ) -> None:
        answer = await client.post(COMPLETIONS, json=request_body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == field
        assert error["type"] == "invalid_request_error"
        for word in (field, *words):
            assert word in error["message"]

    async def test_fields_of_other_engines_that_ask_for_nothing(self, client: httpx.AsyncClient) -> None:
        harmless = {
            "echo": False,
            "best_of": 1,
            "presence_penalty": 0.0,
            "user": "me",
            "logit_bias": None,
            "model": "",
            "cache_prompt": True,
            "context": [{"path": "a.py", "text": "b", "score": None}],
        }
        answer = await client.post(
            COMPLETIONS,
            json={"prompt": "count", "max_tokens": 1, "ignore_eos": True, "top_k": -1, **harmless},
        )
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[1]",
            b"\xff",
            b'{"prompt": "\\ud800"}',
            b'{"prompt": "a", "temperature": NaN}',
            b"[" * 100_000,
            b'{"prompt": "a", "metadata": ' + b'{"a": ' * 700 + b"1" + b"}" * 701,
            b'{"prompt": "a", "max_prompt_ms": 1' + b"0" * 400 + b"}",
        ],
    )
    async def test_not_a_request(self, client: httpx.AsyncClient, content: bytes) -> None:
        answer = await client.post(COMPLETIONS, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]

    async def test_too_long(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": "x" * MAX_BODY_BYTES})
        assert answer.status_code == 413
        assert str(MAX_BODY_BYTES) in answer.json()["error"]["message"]

    async def test_another_model(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": "count", "model": "gpt-4"})
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == "model = 'gpt-4': this engine serves 'scripted'"
        served = await client.post(COMPLETIONS, json={"prompt": "count", "model": "scripted"})
        assert served.status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "status", "message"),
        [
            ("GET", "/v2", 404, "GET /v2: not found"),
            ("GET", COMPLETIONS, 405, "GET /v1/completions: method not allowed"),
            ("GET", "/v1/models/gpt-4", 404, "model = 'gpt-4': this engine serves 'scripted'"),
        ],
    )
    async def test_no_such_page(
        self, client: httpx.AsyncClient, method: str, path: str, status: int, message: str
    ) -> None:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)

    async def test_a_body_that_does_not_come(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("model.serve.server._BODY_S", 0.1)
        never = asyncio.Event()

        async def half() -> AsyncIterator[bytes]:
            yield b'{"prompt": '
            await never.wait()

        headers = {"content-type": "application/json"}
        sending = asyncio.create_task(client.post(COMPLETIONS, content=half(), headers=headers))
        await until(lambda: counted(client, 408))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    async def test_a_head_that_does_not_end(self, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("model.serve.patience.HEAD_S", 0.2)
        async with serving_at(listen) as (client, _):
            address = client.base_url
            reader, writer = (
                await asyncio.open_unix_connection(str(listen.unix_path))
                if listen.unix_path
                else await asyncio.open_connection(address.host, address.port)
            )
            whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for _ in range(2):
                writer.write(whole)
                answer = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)
                assert answer.startswith(b"HTTP/1.1 200")
                await asyncio.sleep(0.4)  # who is idle is not late
            writer.write(whole[:20])
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
            writer.close()


class TestFailures:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("prompt", "status", "words"),
        [
            ("nan", 500, "NaN logits at position 3"),
            ("crash", 500, "ZeroDivisionError"),
            ("gone", 503, "shutting down"),
        ],
    )
    async def test_of_one_request_leave_the_others_alone(
        self, client: httpx.AsyncClient, prompt: str, status: int, words: str, stream: bool
    ) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": prompt, "stream": stream})
        assert answer.status_code == status
        assert words in answer.json()["error"]["message"]
        after = await client.post(COMPLETIONS, json={"prompt": "count", "max_tokens": 1})
        assert after.json()["choices"][0]["text"] == "0 "

    async def test_in_the_middle_of_a_stream(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": "late nan", "stream": True})
        first, error, done = events_of(answer.text)
        assert json.loads(first)["choices"][0]["text"] == "0 "
        assert "NaN" in json.loads(error)["error"]["message"]
        assert done == "[DONE]"

    async def test_of_one_alternative_leave_the_others_alone(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(
            COMPLETIONS, json={"prompt": "late nan", "n": 2, "max_tokens": 2, "stream": True}
        )
        *chunks, done = events_of(answer.text)
        assert done == "[DONE]"
        choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
        assert ("error", 0) in [(choice["finish_reason"], choice["index"]) for choice in choices]
        assert ("length", 1) in [(choice["finish_reason"], choice["index"]) for choice in choices]

    async def test_of_all_alternatives_is_an_error(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(COMPLETIONS, json={"prompt": ["nan", "nan"]})
        assert answer.status_code == 500
        assert "NaN logits" in answer.json()["error"]["message"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=2), values, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", [CompletionBody, ChatBody])
@settings(max_examples=60)
@given(data=st.data())
def test_any_value_of_any_field_is_read_or_refused(
    kind: type[CompletionBody] | type[ChatBody], data: st.DataObject
) -> None:
    known = sorted({*kind.model_fields, *kind.inert, *kind.hints, "best_of"})
    values: dict[str, Any] = {"prompt": "a"} if kind is CompletionBody else {"messages": MESSAGES}
    for name in data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)):
        values[name] = data.draw(JSON_VALUES)
    with contextlib.suppress(RequestError):
        assert parse_body(json.dumps(values).encode(), kind).each


class TestCancellation:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("prompt", ["hang", "wait"])
    async def test_a_closed_connection_ends_the_generation(
        self, server: Running, prompt: str, stream: bool
    ) -> None:
        client, _ = server
        request = client.post(COMPLETIONS, json={"prompt": prompt, "stream": stream, "n": 3})
        task = asyncio.create_task(request)
        await until(lambda: metric_is(client, "running_sequences", 3))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: metric_is(client, "running_sequences", 0))
        assert await metric(client, "cancelled_total") == 3

    async def test_a_thousand_times_leaks_nothing(self, server: Running) -> None:
        client, serving = server
        before = len(asyncio.all_tasks())
        for _ in range(40):
            tasks = [
                asyncio.create_task(client.post(COMPLETIONS, json={"prompt": "hang"})) for _ in range(25)
            ]
            await until(lambda: is_true(serving.engine.counters.running == 25))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: is_true(serving.engine.counters.running == 0))
        assert serving.engine.counters.cancelled == 1000
        await until(lambda: is_true(len(asyncio.all_tasks()) <= before))


class TestMetrics:
    async def test_counts_requests_by_status_and_times(self, client: httpx.AsyncClient) -> None:
        await client.post(COMPLETIONS, json={"prompt": "count", "max_tokens": 1, "n": 2})
        await client.post(COMPLETIONS, json={"prompt": "nan"})
        await client.post(COMPLETIONS, json={"nonsense": 1})
        text = (await client.get("/metrics")).text
        for line in (
            'starcoder_requests_total{status="200"} 1',
            'starcoder_requests_total{status="400"} 1',
            'starcoder_requests_total{status="500"} 1',
            "starcoder_prefill_seconds_count 3",
            'starcoder_prefill_seconds_bucket{le="0.005"} 3',
            'starcoder_prefill_seconds_bucket{le="+Inf"} 3',
            "starcoder_prefill_seconds_sum 0.006000",
        ):
            assert f"\n{line}\n" in text

    async def test_is_what_prometheus_reads(self, client: httpx.AsyncClient) -> None:
        parser = pytest.importorskip(
            "prometheus_client.parser", reason="the reference parser is not installed"
        )
        text = (await client.get("/metrics")).text
        families = {family.name: family.type for family in parser.text_string_to_metric_families(text)}
        assert families["starcoder_engine_info"] == "gauge"
        assert families["starcoder_prefill_seconds"] == "histogram"
        assert families["starcoder_generated_tokens"] == "counter"

    def test_the_engines_numbers_keep_their_names(self) -> None:
        """Others' dashboards name them."""
        metrics = [metric for metric, _ in EngineStats().metrics()]
        assert [metric.name for metric in metrics if metric.kind == "gauge"] == [
            "running_sequences",
            "waiting_sequences",
            "kv_tokens_used",
            "kv_tokens_pinned",
            "kv_tokens_capacity",
        ]
        assert [metric.name for metric in metrics if metric.kind == "counter"] == [
            "prompt_tokens_total",
            "prefix_hit_tokens_total",
            "moved_tokens_total",
            "computed_tokens_total",
            "generated_tokens_total",
            "drafted_tokens_total",
            "accepted_tokens_total",
            "evicted_tokens_total",
            "finished_total",
            "cancelled_total",
            "failed_total",
        ]


class TestAccess:
    async def test_a_token_keeps_others_out(self) -> None:
        async with serving_at(Listen.parse("127.0.0.1:0"), token="secret") as (client, _):
            refused = await client.post(COMPLETIONS, json={"prompt": "count"})
            assert refused.status_code == 401
            assert "Bearer" in refused.json()["error"]["message"]
            assert (await client.get("/metrics")).status_code == 401
            assert (await client.get("/health")).json() == {"status": "ok"}
            wrong = await client.get("/health", headers={b"authorization": "Bearer wröng".encode()})
            assert "pid" not in wrong.json()
            client.headers["authorization"] = "Bearer secret"
            assert (await client.post(COMPLETIONS, json={"prompt": "count"})).status_code == 200
            assert (await client.get("/health")).json()["pid"] == os.getpid()

    async def test_web_pages_are_kept_out_of_a_port(self) -> None:
        async with serving_at(Listen.parse("127.0.0.1:0")) as (client, _):
            simple = await client.post(COMPLETIONS, content=b"{}", headers={"content-type": "text/plain"})
            assert simple.status_code == 415
            rebound = await client.get("/v1/models", headers={"host": "attacker.example:80"})
            assert rebound.status_code == 403
            for header in ({"origin": "http://localhost"}, {"sec-fetch-site": "cross-site"}):
                assert (await client.get("/v1/models", headers=header)).status_code == 403
            for host in ("localhost", "127.0.0.1:8080", "[::1]:8080"):
                assert (await client.get("/v1/models", headers={"host": host})).status_code == 200

    async def test_a_port_without_a_token_tells_nothing_of_others(self) -> None:
        """Guesses at another user's prompt could be checked by what the cache has of them."""
        async with serving_at(Listen.parse("127.0.0.1:0")) as (client, _):
            for body in ({"prompt": "count"}, {"prompt": "count", "stream": True}):
                answer = await client.post(
                    COMPLETIONS, json={**body, "stream_options": {"include_usage": True}, "max_tokens": 2}
                )
                assert answer.status_code == 200
                assert not re.search("timings|cached|_ms", answer.text)
            infill = await client.post("/infill", json={"input_prefix": "count", "input_suffix": ""})
            assert not re.search("timings|_ms", infill.text)
            assert (await client.get("/metrics")).status_code == 403
            assert (await client.post("/shutdown", json={})).status_code == 403
            assert "Host" not in (await client.get("/health")).text

    async def test_a_socket_is_its_users_alone(self, client: httpx.AsyncClient, listen: Listen) -> None:
        assert stat.S_IMODE(socket_of(listen).stat().st_mode) == 0o600
        assert stat.S_IMODE(socket_of(listen).parent.stat().st_mode) == 0o700


class TestEnd:
    async def test_running_streams_are_told(self, listen: Listen) -> None:
        async with serving_at(listen) as (client, serving):
            task = asyncio.create_task(client.post(COMPLETIONS, json={"prompt": "hang", "stream": True}))
            waiting = asyncio.create_task(client.post(COMPLETIONS, json={"prompt": "wait", "stream": True}))
            await until(lambda: is_true(serving.engine.counters.running == 2))
            answer = await client.post("/shutdown", json={})
            assert answer.status_code == 202
            *_, error, done = events_of((await task).text)
            assert json.loads(error)["error"]["code"] == "shutting_down"
            assert done == "[DONE]"
            assert (await waiting).status_code == 503
            assert serving.engine.counters.running == 0
        assert not socket_of(listen).exists()

    async def test_when_idle(self, listen: Listen) -> None:
        serving = scripted_serving()
        with listen.open() as listener:
            await asyncio.wait_for(
                serve(serving, listener, on_ready=lambda: None, idle_seconds=0.05), PATIENCE_S
            )
        assert not socket_of(listen).exists()

    async def test_not_while_a_request_runs(self, listen: Listen) -> None:
        serving = scripted_serving()
        with serving.busy():
            idle = asyncio.create_task(serving.stop_when_idle(0.01))
            done, _ = await asyncio.wait({idle}, timeout=0.1)
            assert not done
            assert not serving.stopping.is_set()
        await asyncio.wait_for(idle, PATIENCE_S)
        assert serving.stopping.is_set()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_by_signal(self, listen: Listen, number: signal.Signals) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.model.scripted_engine",
            "--model",
            "m",
            "--listen",
            str(listen),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine:
            assert engine.stdout is not None
            assert engine.stdout.readline() == f"ready: {listen} model=m\n"
            assert socket_of(listen).is_socket()
            engine.send_signal(number)
            assert engine.wait(PATIENCE_S) == 0
            assert engine.stdout.read() == ""
        assert not socket_of(listen).exists()
