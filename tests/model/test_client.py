"""The clients, against real servers on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.client import CompletionQuery, ContextText, EngineClient
from model.client_openai import OpenAIClient, base_url
from model.errors import EngineUnavailableError, RequestError
from model.fim_templates import TEMPLATES, template_name
from model.http_session import Endpoint, HttpSession
from model.listen import Listen
from model.query_window import windowed_query
from model.sse import EventDecoder
from model.version import PROTOCOL
from tests.model.foreign_server import ForeignServer, raw_server
from tests.model.serving import is_true, serving_at, until


def query(prefix: str = "count", suffix: str = "", **fields) -> CompletionQuery:
    return CompletionQuery(**{"prefix": prefix, "suffix": suffix, "max_tokens": 3, **fields})


def cursor(text: str, **fields) -> CompletionQuery:
    """A query for the place of the ║."""
    prefix, suffix = text.split("║")
    return query(prefix, suffix, **fields)


async def text_of(client, asked: CompletionQuery) -> str:
    return "".join([delta.text async for delta in client.complete(asked)])


def test_asking_costs_no_heavy_import():
    code = (
        "import sys, model.client, model.process, model.client_openai, model.hub, model.engine_files\n"
        "heavy = {'torch', 'httpx', 'pydantic', 'numpy', 'huggingface_hub', 'starlette'}\n"
        "print(heavy & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


class TestEvents:
    @given(
        st.lists(st.text().filter(lambda text: not set(text) & {"\r", "\n"}), min_size=1, max_size=5),
        st.sampled_from(["\n", "\r\n"]),
        st.lists(st.integers(1, 7), min_size=1),
    )
    def test_are_the_same_however_the_bytes_are_cut(self, payloads, line_end, sizes):
        wire = "".join(f": note{line_end}data: {payload}{line_end * 2}" for payload in payloads).encode(
            "utf-8", "replace"
        )
        decoder, received, at, n = EventDecoder(), [], 0, 0
        while at < len(wire):
            size = sizes[n % len(sizes)]
            received += decoder.push(wire[at : at + size])
            at, n = at + size, n + 1
        assert received == [payload.encode("utf-8", "replace").decode() for payload in payloads]

    def test_several_data_lines_are_one_event(self):
        assert EventDecoder().push(b"event: x\ndata: a\ndata:b\n\ndata: c\n") == ["a\nb"]


class TestEngineClient:
    @pytest.fixture
    async def pair(self, tmp_path):
        listen = Listen.parse(f"unix:{tmp_path}/e.sock")
        async with serving_at(listen) as (_, serving):
            client = EngineClient(unix_path=listen.unix_path)
            yield client, serving
            await client.aclose()

    async def test_streams(self, pair):
        client, _ = pair
        deltas = [delta async for delta in client.complete(query(n=2, max_tokens=2))]
        assert [(delta.index, delta.text, delta.logprobs, delta.finish_reason) for delta in deltas] == [
            (0, "0 ", (-0.5,), None),
            (1, "0 ", (-0.5,), None),
            (0, "1 ", (-0.5,), "length"),
            (1, "1 ", (-0.5,), "length"),
        ]
        assert deltas[0].timings is None
        assert deltas[2].timings["prefill_ms"] == 2.0
        assert deltas[2].timings["cached_tokens"] == 5

    async def test_health(self, pair):
        health = await pair[0].health()
        assert (health.status, health.model, health.protocol, health.license) == (
            "ok",
            "scripted",
            PROTOCOL,
            "apache-2.0",
        )

    async def test_keeps_one_connection(self, pair):
        client, _ = pair
        for _ in range(5):
            await text_of(client, query())
        assert len(client._session._client._transport._pool.connections) == 1

    async def test_closing_the_stream_cancels(self, pair):
        client, serving = pair
        async with aclosing(client.complete(query("hang"))) as deltas:
            assert (await anext(deltas)).text == "0 "
            assert serving.engine.counters.running == 1
        await until(lambda: is_true(serving.engine.counters.running == 0))
        assert serving.engine.counters.cancelled == 1
        assert await text_of(client, query()) == "0 1 2 "

    async def test_cancelling_the_task_cancels(self, pair):
        client, serving = pair
        task = asyncio.create_task(text_of(client, query("wait")))
        await until(lambda: is_true(serving.engine.counters.running == 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: is_true(serving.engine.counters.running == 0))

    async def test_half_a_character_is_sent_as_a_question_mark(self, pair):
        assert await text_of(pair[0], query("\ud83d", "\udc4d")) == "0 1 2 "

    @pytest.mark.parametrize("prompt", ["nan", "late nan", "crash"])
    async def test_a_request_that_fails_is_no_lost_engine(self, pair, prompt):
        client, _ = pair
        with pytest.raises(RequestError):
            await text_of(client, query(prompt))
        assert not client.is_lost
        assert await text_of(client, query()) == "0 1 2 "

    async def test_names_the_field(self, pair):
        with pytest.raises(RequestError, match="max_tokens = 0") as caught:
            await text_of(pair[0], query(max_tokens=0))
        assert caught.value.field == "max_tokens"

    async def test_an_engine_that_stops_is_lost(self, pair):
        client, serving = pair
        async with aclosing(client.complete(query("hang"))) as deltas:
            await anext(deltas)
            serving.stopping.set()
            with pytest.raises(EngineUnavailableError, match="shutting down"):
                await anext(deltas)
        assert client.is_lost

    async def test_nobody_there(self, tmp_path):
        client = EngineClient(unix_path=tmp_path / "none.sock")
        with pytest.raises(EngineUnavailableError, match=r"none\.sock"):
            await client.health()
        with pytest.raises(EngineUnavailableError, match="not running"):
            await text_of(client, query())
        assert client.is_lost
        await client.aclose()

    async def test_closing_the_client_ends_its_streams_and_it_opens_again(self, pair):
        client, _ = pair
        deltas = client.complete(query("hang"))
        await anext(deltas)
        await client.aclose()
        with pytest.raises(EngineUnavailableError):
            await anext(deltas)
        assert await text_of(client, query()) == "0 1 2 "

    async def test_overhead_of_a_request(self, pair):
        # A generous bound for a busy machine; see benchmarks for the figure.
        client, _ = pair
        loop, times = asyncio.get_running_loop(), []
        for _ in range(60):
            start = loop.time()
            async with aclosing(client.complete(query("x" * 4_000, "y" * 1_000))) as deltas:
                await anext(deltas)
                times.append(loop.time() - start)
                async for _ in deltas:
                    pass
        assert sorted(times)[len(times) // 2] < 0.02


OK_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    b'data: {"choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
MODELS = b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": "starcoder2-3b", "owned_by": "vllm"}]}'
BUSY = b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 9\r\n\r\noverflown"


class TestFailuresOfServers:
    async def test_a_passing_one_is_tried_again(self):
        async with (
            raw_server(MODELS, BUSY, b"", OK_STREAM) as (url, heads),
            closing(OpenAIClient(url)) as client,
        ):
            assert await text_of(client, query()) == "hi"
            assert len(heads) == 4

    async def test_in_the_end_it_is_an_error_with_url_status_and_remedy(self):
        async with raw_server(MODELS, BUSY, BUSY, BUSY) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(EngineUnavailableError) as caught:
                await text_of(client, query())
        for word in (url, "503", "overflown", "Try again"):
            assert word in str(caught.value)

    async def test_never_after_the_first_token(self):
        broken = OK_STREAM.replace(b"data: [DONE]\n\n", b"").replace(b'"stop"', b"null")
        async with (
            raw_server(MODELS, broken, OK_STREAM) as (url, heads),
            closing(OpenAIClient(url)) as client,
        ):
            deltas = client.complete(query())
            assert (await anext(deltas)).text == "hi"
            with pytest.raises(EngineUnavailableError, match="in the middle"):
                await anext(deltas)
            assert len(heads) == 2

    @pytest.mark.parametrize(
        ("status", "kind", "remedy"),
        [
            (401, EngineUnavailableError, "engine.apiKeyEnv"),
            (404, EngineUnavailableError, "engine.url"),
            (400, RequestError, "too long"),
            (500, RequestError, "too long"),
        ],
    )
    async def test_a_lasting_one_is_not(self, status, kind, remedy):
        body = b'{"error": "too long"}'
        refusal = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
        async with raw_server(MODELS, refusal) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(kind) as caught:
                await text_of(client, query())
        for word in (url, str(status), remedy):
            assert word in str(caught.value)

    async def test_what_is_no_completion_server(self):
        page = b"HTTP/1.1 200 OK\r\n\r\n<html>"
        async with raw_server(page) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(EngineUnavailableError, match="not JSON"):
                await client.health()

    async def test_silence_has_an_end(self):
        async with ForeignServer(pieces=["a", "(hang)"]).running() as server:
            session = HttpSession(Endpoint(url=f"{server.url}/v1", silence_s=0.1))
            events = session.stream("/completions", {})
            assert (await anext(events))["choices"][0]["text"] == "a"
            with pytest.raises(EngineUnavailableError, match="ReadTimeout"):
                await anext(events)
            await session.aclose()

    async def test_nobody_at_the_url(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with closing(OpenAIClient(f"http://127.0.0.1:{port}")) as client:
            with pytest.raises(EngineUnavailableError, match=r"engine\.url"):
                await client.health()


@contextlib.asynccontextmanager
async def closing(client: OpenAIClient):
    try:
        yield client
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def foreign(*, client: dict | None = None, **server):
    async with (
        ForeignServer(**server).running() as running,
        closing(OpenAIClient(running.url, **(client or {}))) as ours,
    ):
        yield running, ours


CONTEXT = (ContextText(path="far.py", text="far = 1"), ContextText(path="near.py", text="near = 2"))


class TestDialects:
    async def test_vllm_gets_the_familys_tokens(self):
        async with foreign(model="bigcode/starcoder2-3b") as (server, client):
            await text_of(client, cursor("a = ║\n", temperature=0.5, seed=3, n=2))
        (body,) = server.bodies
        assert body["prompt"] == "<fim_prefix>a = <fim_suffix>\n<fim_middle>"
        assert "suffix" not in body
        assert body["model"] == "bigcode/starcoder2-3b"
        assert (body["max_tokens"], body["temperature"], body["seed"], body["n"]) == (3, 0.5, 3, 2)
        assert body["stream"] is True
        assert "<|endoftext|>" in body["stop"]
        assert len(body["stop"]) <= 4

    async def test_an_alias_is_seen_through(self):
        async with foreign(model="fast", root="Qwen/Qwen2.5-Coder-1.5B") as (server, client):
            await text_of(client, cursor("a║b"))
        assert server.bodies[0]["prompt"] == "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"

    async def test_ollama_gets_the_suffix(self):
        async with foreign(model="qwen2.5-coder:1.5b-base", owner="library", ollama=True) as (server, client):
            await text_of(client, cursor("a║b", context=CONTEXT))
        assert (server.bodies[0]["prompt"], server.bodies[0]["suffix"]) == ("a", "b")

    async def test_an_unknown_model_gets_the_suffix_and_its_refusal_a_remedy(self):
        refuse = lambda body: "suffix is not currently supported" if body.get("suffix") else None  # noqa: E731
        async with foreign(model="mystery-7b", refuse=refuse) as (_, client):
            with pytest.raises(RequestError, match=r"engine\.fimTemplate.*'mystery-7b'.*starcoder2"):
                await text_of(client, cursor("a║b"))

    async def test_our_own_engine_elsewhere_gets_everything(self):
        async with foreign(model="starter", owner="starcoder-lsp") as (server, client):
            asked = cursor("a║b", context=CONTEXT, stop_at="line", path="x.py")
            assert await text_of(client, asked) == "ab"
        (body,) = server.bodies
        assert (body["suffix"], body["stop_at"], body["path"], len(body["context"])) == (
            "b",
            "line",
            "x.py",
            2,
        )

    async def test_the_template_can_be_given(self):
        async with foreign(client={"fim_template": "codestral", "model": "mine"}) as (server, client):
            await text_of(client, cursor("a║b"))
        assert (server.bodies[0]["model"], server.bodies[0]["prompt"]) == ("mine", "[SUFFIX]b[PREFIX]a")

    async def test_none_continues_the_prefix(self):
        async with foreign(client={"fim_template": "none"}) as (server, client):
            await text_of(client, cursor("a║b"))
        assert server.bodies[0]["prompt"] == "a"
        assert "suffix" not in server.bodies[0]

    async def test_a_field_that_is_refused_is_left_out_from_then_on(self):
        refuse = lambda body: "Unrecognized argument: logprobs" if "logprobs" in body else None  # noqa: E731
        async with foreign(model="starcoder", refuse=refuse) as (server, client):
            assert await text_of(client, query()) == "ab"
            assert await text_of(client, query()) == "ab"
        assert ["logprobs" in body for body in server.bodies] == [True, False, False]

    async def test_the_key_comes_from_the_environment(self, monkeypatch):
        with pytest.raises(EngineUnavailableError, match="NO_SUCH_KEY"):
            OpenAIClient("http://127.0.0.1:1", api_key_env="NO_SUCH_KEY")
        monkeypatch.setenv("MY_KEY", "sesame")
        async with foreign(client={"api_key_env": "MY_KEY"}) as (server, client):
            await text_of(client, query())
        assert server.headers[0]["authorization"] == "Bearer sesame"

    async def test_a_proxy_is_not_asked_for_this_machine(self, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        async with foreign() as (_, client):
            assert (await client.health()).model == "m"

    async def test_closing_the_stream_ends_the_work(self):
        async with foreign(pieces=["a", "(hang)"]) as (server, client):
            async with aclosing(client.complete(query())) as deltas:
                assert (await anext(deltas)).logprobs == (-1.5,)
            await asyncio.wait_for(server.cancelled.wait(), 10)

    async def test_text_with_odd_line_ends_arrives_whole(self):
        async with foreign(pieces=["a\u2028b", "\x0b\x85c"]) as (_, client):
            assert await text_of(client, query()) == "a\u2028b\x0b\x85c"

    def test_a_template_that_is_unknown(self):
        with pytest.raises(RequestError, match="'starcoder3': known are auto"):
            OpenAIClient("http://x", fim_template="starcoder3")

    @pytest.mark.parametrize(
        ("given_url", "base"),
        [
            ("http://gpu:8000", "http://gpu:8000/v1"),
            ("http://gpu:8000/v1/", "http://gpu:8000/v1"),
            ("https://x.example/v1/completions", "https://x.example/v1"),
            ("https://x.example/openai/v1", "https://x.example/openai/v1"),
        ],
    )
    def test_urls_as_people_write_them(self, given_url, base):
        assert base_url(given_url) == base

    @pytest.mark.parametrize("given_url", ["gpu:8000", "ftp://x", "http://", ""])
    def test_what_is_no_url(self, given_url):
        with pytest.raises(RequestError, match=r"engine\.url"):
            base_url(given_url)


class TestStopping:
    async def test_at_the_line_and_the_server_is_told(self):
        async with foreign(pieces=["1", "\nb = 2", "(hang)"]) as (server, client):
            deltas = [delta async for delta in client.complete(cursor("a = ║\n", stop_at="line"))]
            await asyncio.wait_for(server.cancelled.wait(), 10)
        assert "".join(delta.text for delta in deltas) == "1"
        assert deltas[-1].finish_reason == "stop"

    async def test_a_special_token_is_never_shown(self):
        async with foreign(model="starcoder", pieces=["x", "<|endof", "text|>y", "(hang)"]) as (_, client):
            assert await text_of(client, query()) == "x"

    async def test_what_may_have_been_one_is_shown_in_the_end(self):
        async with foreign(model="starcoder", pieces=["x", "<|endof"]) as (_, client):
            assert await text_of(client, query()) == "x<|endof"


class TestTemplates:
    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("bigcode/starcoder", "starcoder"),
            ("bigcode/starcoderbase-1b", "starcoder"),
            ("bigcode/starcoder2-15b", "starcoder2"),
            ("starcoder2:3b", "starcoder2"),
            ("bigcode/santacoder", "santacoder"),
            ("codellama/CodeLlama-7b-hf", "codellama"),
            ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek-coder"),
            ("Qwen/Qwen2.5-Coder-7B", "qwen2.5-coder"),
            ("qwen2.5-coder-1.5b-q8_0.gguf", "qwen2.5-coder"),
            ("google/codegemma-2b", "codegemma"),
            ("mistralai/Codestral-22B-v0.1", "codestral"),
            ("ibm-granite/granite-3b-code-base-2k", "granite-code"),
            ("granite-code:3b", "granite-code"),
            ("ibm-granite/granite-4.0-h-micro", "granite"),
            ("meta-llama/Llama-3-8B", None),
        ],
    )
    def test_are_found_by_the_models_name(self, model, name):
        assert template_name(model) == name

    @pytest.mark.parametrize(
        ("name", "prompt"),
        [
            ("starcoder", "<fim_prefix>P<fim_suffix>S<fim_middle>"),
            ("santacoder", "<fim-prefix>P<fim-suffix>S<fim-middle>"),
            ("codellama", "<PRE> P <SUF>S <MID>"),
            ("deepseek-coder", "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>"),
            ("qwen2.5-coder", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
            ("codestral", "[SUFFIX]S[PREFIX]P"),
            ("granite", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
        ],
    )
    def test_layout(self, name, prompt):
        assert TEMPLATES[name].render("P", "S", [], None) == prompt

    def test_files_of_context_stand_in_the_familys_form(self):
        files = [("a.py", "A"), ("b.py", "B")]
        assert TEMPLATES["starcoder"].render("P", "S", files, "c.py") == (
            "<filename>a.py\nA<|endoftext|><filename>b.py\nB<|endoftext|><filename>c.py\n"
            "<fim_prefix>P<fim_suffix>S<fim_middle>"
        )
        assert TEMPLATES["codestral"].render("P", "S", files, "c.py") == (
            "[SUFFIX]S[PREFIX]+++++ a.py\nA\n+++++ b.py\nB\n+++++ c.py\nP"
        )
        assert (
            TEMPLATES["santacoder"].render("P", "S", files, "c.py")
            == "<fim-prefix>P<fim-suffix>S<fim-middle>"
        )

    @pytest.mark.parametrize("name", TEMPLATES)
    @given(
        parts=st.lists(
            st.sampled_from(["{prefix}", "{text}", "x", " ", *TEMPLATES["starcoder"].specials]), max_size=6
        )
    )
    def test_the_users_text_is_never_a_special_token(self, name, parts):
        template = TEMPLATES[name]
        text = "".join([*parts, *template.specials])
        rendered = template.render(text, text, [("p", text)], text)
        empty = template.render("", "", [("p", "")], "")
        for special in template.specials:
            assert rendered.count(special) == empty.count(special)

    def test_code_is_not_a_stop(self):
        for template in TEMPLATES.values():
            assert not set(template.stops) & {"</s>", "<PRE>", "[PREFIX]", "[SUFFIX]", "//"}


class TestWindow:
    LINES = "".join(f"line {number}\n" for number in range(1_000))

    def test_what_fits_is_left_alone(self):
        asked = query("a", "b", context=CONTEXT)
        assert windowed_query(asked, 100) == asked

    def test_cuts_at_lines_and_near_the_cursor(self):
        cut = windowed_query(query(self.LINES, self.LINES, context=CONTEXT), 1_000)
        assert len(cut.prefix) <= 750
        assert self.LINES.endswith("\n" + cut.prefix)
        assert len(cut.suffix) <= 250
        assert self.LINES.startswith(cut.suffix)
        assert cut.suffix.endswith("\n")

    def test_a_line_longer_than_the_window_is_cut(self):
        cut = windowed_query(query("x" * 5_000, "y" * 5_000), 1_000)
        assert 500 < len(cut.prefix) <= 750
        assert len(cut.suffix) == 250

    def test_its_start_stays_while_typing(self):
        starts = [
            len(self.LINES) + typed - len(windowed_query(query(self.LINES + "x" * typed, ""), 1_000).prefix)
            for typed in range(180)
        ]
        assert len(set(starts)) <= 2

    def test_the_farthest_context_goes_first(self):
        cut = windowed_query(query("p" * 10, "s" * 10, context=CONTEXT), 20 + len("near.pynear = 2"))
        assert [item.path for item in cut.context] == ["near.py"]
