"""The client of OpenAI-compatible servers, against real servers on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from model.client.http_session import Endpoint, HttpSession
from model.client.openai import OpenAIClient, base_url
from model.errors import EngineUnavailableError, ModelError, RequestError
from tests.model.foreign_server import ForeignServer, raw_server
from tests.model.queries import CONTEXT, cursor, query, text_of
from tests.model.serving import PATIENCE_S

OK_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    b'data: {"choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
MODELS = b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": "starcoder2-3b", "owned_by": "vllm"}]}'
BUSY = b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 9\r\n\r\noverflown"


class TestFailuresOfServers:
    async def test_a_passing_one_is_tried_again(self) -> None:
        async with (
            raw_server(MODELS, BUSY, b"", OK_STREAM) as (url, heads),
            closing(OpenAIClient(url)) as client,
        ):
            assert await text_of(client, query()) == "hi"
            assert len(heads) == 4

    async def test_in_the_end_it_is_an_error_with_url_status_and_remedy(self) -> None:
        async with raw_server(MODELS, BUSY, BUSY, BUSY) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(EngineUnavailableError) as caught:
                await text_of(client, query())
        for word in (url, "503", "overflown", "Try again"):
            assert word in str(caught.value)

    async def test_never_after_the_first_token(self) -> None:
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
    async def test_a_lasting_one_is_not(self, status: int, kind: type[ModelError], remedy: str) -> None:
        body = b'{"error": "too long"}'
        refusal = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
        async with raw_server(MODELS, refusal) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(kind) as caught:
                await text_of(client, query())
        for word in (url, str(status), remedy):
            assert word in str(caught.value)

    async def test_what_is_no_completion_server(self) -> None:
        page = b"HTTP/1.1 200 OK\r\n\r\n<html>"
        async with raw_server(page) as (url, _), closing(OpenAIClient(url)) as client:
            with pytest.raises(EngineUnavailableError, match="not JSON"):
                await client.health()

    @pytest.mark.parametrize(
        "answer",
        [
            # TGI: "" until its own words for the end.
            b'data: {"choices":[{"index":0,"text":"h","finish_reason":""}]}\n\n'
            b'data: {"choices":[{"index":0,"text":"i","finish_reason":"eos_token"}]}\n\n',
            b'data: {"choices":[{"index":0,"text":"hi","finish_reason":"stop_sequence"}]}\n\n',
            b'data: {"choices":[{"index":0,"text":"hi"}]}\n\ndata: [DONE]\n\n',
            b'data: : keepalive\n\ndata: {"choices":[{"index":0,"text":"hi"}]}\n\n: ping\n\ndata: [DONE]\n\n',
            b'data: {"choices":[{"index":0,"text":"hi","finish_reason":null}]}\n\n',
        ],
        ids=["tgi", "stop sequence", "done", "comments", "end of the body"],
    )
    async def test_any_end_is_an_end(self, answer: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(
            answer
        )
        async with raw_server(MODELS, head + answer) as (url, _), closing(OpenAIClient(url)) as client:
            deltas = [delta async for delta in client.complete(query())]
        assert "".join(delta.text for delta in deltas) == "hi"
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]

    async def test_a_named_model_needs_no_list_of_models(self) -> None:
        missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
        async with (
            raw_server(missing, missing, OK_STREAM) as (url, _),
            closing(OpenAIClient(url, model="mine")) as client,
        ):
            assert await text_of(client, query()) == "hi"

    async def test_a_port_that_is_none_is_named(self) -> None:
        with pytest.raises(RequestError, match=r"engine\.url = 'http://host:99999'.*65535"):
            OpenAIClient("http://host:99999")

    @pytest.mark.skipif(
        shutil.which("openssl") is None, reason="openssl makes the certificate: not installed"
    )
    async def test_a_certificate_of_an_own_authority(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, key = tmp_path / "ca.pem", tmp_path / "ca.key"
        made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=own"
        subprocess.run(
            [
                "openssl",
                *made.split(),
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                file,
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file, key)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(MODELS)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            async with closing(OpenAIClient(url, fim_template="none")) as client:
                with pytest.raises(EngineUnavailableError, match=r"certificate.*engine\.caFile"):
                    await client.health()
            async with closing(OpenAIClient(url, fim_template="none", ca_file=file)) as client:
                assert (await client.health()).model == "starcoder2-3b"
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            async with closing(OpenAIClient(url, fim_template="none")) as client:
                assert (await client.health()).model == "starcoder2-3b"
        async with closing(OpenAIClient(url, ca_file=tmp_path / "none.pem")) as client:
            with pytest.raises(EngineUnavailableError, match=r"engine\.caFile = .*none\.pem"):
                await client.health()

    async def test_silence_has_an_end(self) -> None:
        async with ForeignServer(pieces=["a", "(hang)"]).running() as server:
            session = HttpSession(Endpoint(url=f"{server.url}/v1", silence_s=0.1))
            events = session.stream("/completions", {})
            assert (await anext(events))["choices"][0]["text"] == "a"
            with pytest.raises(EngineUnavailableError, match="ReadTimeout"):
                await anext(events)
            await session.aclose()

    async def test_nobody_at_the_url(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with closing(OpenAIClient(f"http://127.0.0.1:{port}")) as client:
            with pytest.raises(EngineUnavailableError, match=r"engine\.url"):
                await client.health()


@contextlib.asynccontextmanager
async def closing(client: OpenAIClient) -> AsyncIterator[OpenAIClient]:
    try:
        yield client
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def foreign(
    *, client: dict[str, Any] | None = None, **server: Any
) -> AsyncIterator[tuple[ForeignServer, OpenAIClient]]:
    async with (
        ForeignServer(**server).running() as running,
        closing(OpenAIClient(running.url, **(client or {}))) as ours,
    ):
        yield running, ours


class TestDialects:
    async def test_vllm_gets_the_familys_tokens(self) -> None:
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

    async def test_an_alias_is_seen_through(self) -> None:
        async with foreign(model="fast", root="Qwen/Qwen2.5-Coder-1.5B") as (server, client):
            await text_of(client, cursor("a║b"))
        assert server.bodies[0]["prompt"] == "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"

    async def test_ollama_gets_the_suffix(self) -> None:
        async with foreign(model="qwen2.5-coder:1.5b-base", owner="library", ollama=True) as (server, client):
            await text_of(client, cursor("a║b", context=CONTEXT))
        assert (server.bodies[0]["prompt"], server.bodies[0]["suffix"]) == ("a", "b")

    async def test_an_unknown_model_gets_the_suffix_and_its_refusal_a_remedy(self) -> None:
        refuse = lambda body: "suffix is not currently supported" if body.get("suffix") else None  # noqa: E731
        async with foreign(model="mystery-7b", refuse=refuse) as (_, client):
            with pytest.raises(RequestError, match=r"engine\.fimTemplate.*'mystery-7b'.*starcoder2"):
                await text_of(client, cursor("a║b"))

    async def test_our_own_engine_elsewhere_gets_everything(self) -> None:
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

    async def test_the_template_can_be_given(self) -> None:
        async with foreign(client={"fim_template": "codestral", "model": "mine"}) as (server, client):
            await text_of(client, cursor("a║b"))
        assert (server.bodies[0]["model"], server.bodies[0]["prompt"]) == ("mine", "[SUFFIX]b[PREFIX]a")

    async def test_none_continues_the_prefix(self) -> None:
        async with foreign(client={"fim_template": "none"}) as (server, client):
            await text_of(client, cursor("a║b"))
        assert server.bodies[0]["prompt"] == "a"
        assert "suffix" not in server.bodies[0]

    async def test_a_field_that_is_refused_is_left_out_from_then_on(self) -> None:
        refuse = lambda body: "Unrecognized argument: logprobs" if "logprobs" in body else None  # noqa: E731
        async with foreign(model="starcoder", refuse=refuse) as (server, client):
            assert await text_of(client, query()) == "ab"
            assert await text_of(client, query()) == "ab"
        assert ["logprobs" in body for body in server.bodies] == [True, False, False]

    async def test_the_key_comes_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(EngineUnavailableError, match="NO_SUCH_KEY"):
            OpenAIClient("http://127.0.0.1:1", api_key_env="NO_SUCH_KEY")
        monkeypatch.setenv("MY_KEY", "sesame")
        async with foreign(client={"api_key_env": "MY_KEY"}) as (server, client):
            await text_of(client, query())
        assert server.headers[0]["authorization"] == "Bearer sesame"

    async def test_a_proxy_is_not_asked_for_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        async with foreign() as (_, client):
            assert (await client.health()).model == "m"

    async def test_closing_the_stream_ends_the_work(self) -> None:
        async with foreign(pieces=["a", "(hang)"]) as (server, client):
            async with aclosing(client.complete(query())) as deltas:
                assert (await anext(deltas)).logprobs == (-1.5,)
            await asyncio.wait_for(server.cancelled.wait(), PATIENCE_S)

    async def test_text_with_odd_line_ends_arrives_whole(self) -> None:
        async with foreign(pieces=["a\u2028b", "\x0b\x85c"]) as (_, client):
            assert await text_of(client, query()) == "a\u2028b\x0b\x85c"

    def test_a_template_that_is_unknown(self) -> None:
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
    def test_urls_as_people_write_them(self, given_url: str, base: str) -> None:
        assert base_url(given_url) == base

    @pytest.mark.parametrize("given_url", ["gpu:8000", "ftp://x", "http://", ""])
    def test_what_is_no_url(self, given_url: str) -> None:
        with pytest.raises(RequestError, match=r"engine\.url"):
            base_url(given_url)


class TestStopping:
    async def test_at_the_line_and_the_server_is_told(self) -> None:
        async with foreign(pieces=["1", "\nb = 2", "(hang)"]) as (server, client):
            deltas = [delta async for delta in client.complete(cursor("a = ║\n", stop_at="line"))]
            await asyncio.wait_for(server.cancelled.wait(), PATIENCE_S)
        assert "".join(delta.text for delta in deltas) == "1"
        assert deltas[-1].finish_reason == "stop"

    async def test_a_special_token_is_never_shown(self) -> None:
        async with foreign(model="starcoder", pieces=["x", "<|endof", "text|>y", "(hang)"]) as (_, client):
            assert await text_of(client, query()) == "x"

    async def test_what_may_have_been_one_is_shown_in_the_end(self) -> None:
        async with foreign(model="starcoder", pieces=["x", "<|endof"]) as (_, client):
            assert await text_of(client, query()) == "x<|endof"
