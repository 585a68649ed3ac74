"""`/v1/chat/completions`: a real engine on a tiny model, behind its real HTTP face, and its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.client.chat import ChatQuery
from model.client.client import EngineClient
from model.client.openai import OpenAIClient
from model.engine.async_engine import AsyncEngine
from model.errors import ContextLengthError, EngineUnavailableError, RequestError
from model.local.listen import Listen
from model.prompt.chat_template import ChatTemplate
from model.prompt.conversation import Message
from model.prompt.dialogue import HUMAN
from model.prompt.tokenizer import Tokenizer
from model.serve.chat_prompting import ChatPrompter
from model.serve.chat_protocol import ChatBody
from model.serve.prompting import generation_request
from model.serve.server import serve
from model.serve.serving import Served, Serving
from model.start.load import load_engine
from tests.lsp.spelling_model import write_spelling_model
from tests.model.foreign_server import ForeignServer
from tests.model.serving import PATIENCE_S, events_of, metric, metric_is, until

CHAT = "/v1/chat/completions"
BY_ROLE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}x = a"


def user(text: str) -> Message:
    return Message(role="user", text=text)


def body(*texts: str, **fields: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return {"messages": messages, **fields}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that spells: behind "Assistant:" it knows nothing to say, behind "a" it says the alphabet."""
    return write_spelling_model(tmp_path_factory.mktemp("m") / "spelling", n_positions=3072)


@contextlib.asynccontextmanager
async def served(
    folder: Path, socket: Path, template: ChatTemplate | None
) -> AsyncIterator[httpx.AsyncClient]:
    engine = load_engine(folder, device="cpu", quantize="none")
    async_engine = AsyncEngine(engine)
    prepare = partial(generation_request, tokenizer=engine.tokenizer, config=engine.config, template=template)
    serving = Serving(
        async_engine,
        Served(name="spelling", chat="dialogue"),
        prepare=prepare,
        token_bytes=engine.tokenizer.token_bytes,
    )
    ready = asyncio.Event()
    async_engine.start()
    with Listen.parse(f"unix:{socket}").open() as listener:
        task = asyncio.create_task(serve(serving, listener, on_ready=ready.set))
        await asyncio.wait_for(ready.wait(), PATIENCE_S)
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(base_url="http://engine", transport=transport, timeout=60) as http:
            yield http
        serving.stopping.set()
        await asyncio.wait_for(task, PATIENCE_S)
    await async_engine.stop()


@pytest.fixture
async def base(folder: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A base model: it is asked by the dialogue."""
    async with served(folder, tmp_path / "e.sock", None) as http:
        yield http


@pytest.fixture
async def instruct(folder: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A model with a template, after which it says the alphabet from b on."""
    async with served(folder, tmp_path / "e.sock", ChatTemplate(BY_ROLE, names={})) as http:
        yield http


class TestAnswers:
    async def test_whole(self, instruct: httpx.AsyncClient) -> None:
        answer = await instruct.post(CHAT, json=body("hi", max_tokens=5, n=2))
        assert answer.status_code == 200
        whole = answer.json()
        assert whole["id"].startswith("chatcmpl-")
        assert (whole["object"], whole["model"]) == ("chat.completion", "spelling")
        assert whole["choices"] == [
            {
                "index": index,
                "message": {"role": "assistant", "content": content},
                "logprobs": None,
                "finish_reason": "length",
            }
            # The second must begin otherwise, at its third token at the latest.
            for index, content in enumerate(("bcdef", "bccde"))
        ]
        usage = whole["usage"]
        assert usage["prompt_tokens"] == len("user: hi\nx = a")
        assert (usage["completion_tokens"], usage["total_tokens"]) == (10, 10 + usage["prompt_tokens"])
        assert whole["timings"]["prompt_tokens"] == usage["prompt_tokens"]

    async def test_stream(self, instruct: httpx.AsyncClient) -> None:
        request = body("hi", max_tokens=4, stream=True, stream_options={"include_usage": True})
        answer = await instruct.post(CHAT, json=request)
        assert answer.headers["content-type"].startswith("text/event-stream")
        *parts, usage, done = events_of(answer.text)
        assert done == "[DONE]"
        chunks = [json.loads(part) for part in parts]
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert [delta.get("role") for delta in deltas] == ["assistant", *[None] * (len(deltas) - 1)]
        assert "".join(delta.get("content", "") for delta in deltas) == "bcde"
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "length"
        assert json.loads(usage)["usage"]["completion_tokens"] == 4
        assert json.loads(usage)["choices"] == []

    async def test_stop_strings(self, instruct: httpx.AsyncClient) -> None:
        answer = (await instruct.post(CHAT, json=body("hi", stop=["fg", "zz"]))).json()
        (choice,) = answer["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("bcde", "stop")

    async def test_parts_and_developers(self, instruct: httpx.AsyncClient) -> None:
        messages = [
            {"role": "developer", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]},
        ]
        answer = (await instruct.post(CHAT, json={"messages": messages, "max_completion_tokens": 1})).json()
        assert answer["usage"]["prompt_tokens"] == len("system: s\nuser: hi\nx = a")

    async def test_the_length_has_a_default(self, instruct: httpx.AsyncClient) -> None:
        answer = (await instruct.post(CHAT, json=body("hi"))).json()
        assert answer["usage"]["completion_tokens"] == 512

    async def test_a_base_model_answers_too(self, base: httpx.AsyncClient) -> None:
        answer = (await base.post(CHAT, json=body("hi", max_tokens=3))).json()
        assert answer["usage"]["prompt_tokens"] > 300
        assert answer["choices"][0]["message"]["role"] == "assistant"

    async def test_a_base_model_that_goes_on_with_the_next_question_is_stopped(self, tmp_path: Path) -> None:
        """It would write both sides of the conversation without end."""
        folder = write_spelling_model(tmp_path / "talker", n_positions=3072, spells=":Yes\nHuman")
        async with served(folder, tmp_path / "e.sock", None) as http:
            request = body("hi", max_tokens=500, temperature=0)
            answer = (await http.post(CHAT, json=request)).json()
            streamed = await http.post(CHAT, json={**request, "stream": True})
        (choice,) = answer["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Yes", "stop")
        assert answer["usage"]["completion_tokens"] < 20
        *parts, _ = events_of(streamed.text)
        deltas = [json.loads(part)["choices"][0]["delta"].get("content", "") for part in parts]
        assert "".join(deltas) == "Yes"

    async def test_health_says_how_it_is_asked(self, base: httpx.AsyncClient) -> None:
        assert (await base.get("/health")).json()["chat"] == "dialogue"


BAD = [
    (body(), "messages"),
    ({}, "messages"),
    (body("a", "b"), "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "a", "shout": True}]}, "messages.0.shout"),
    (body("a", tools=[{"type": "function"}], tool_choice="required"), "tool_choice"),
    (body("a", functions=[{"name": "f"}], function_call={"name": "f"}), "function_call"),
    (body("a", logprobs=True), "logprobs"),
    (body("a", max_tokens=0), "max_tokens"),
    (body("a", max_tokens=5000), "max_tokens"),
    (body("a", max_completion_tokens=5000), "max_completion_tokens"),
    (body("a", prompt="b"), "prompt"),
    (body("a", stop=[""]), "stop"),
]


class TestWhatOthersSend:
    async def test_fields_that_change_no_answer(self, base: httpx.AsyncClient) -> None:
        """As clients' libraries write a history with an answer of ours, offer tools and label requests."""
        said: dict[str, Any] = {
            "role": "assistant",
            "content": "Hi.",
            "refusal": None,
            "annotations": [],
            "tool_calls": None,
        }
        harmless = {
            "messages": [
                {"role": "user", "content": "a", "name": None},
                said,
                {"role": "user", "content": "b"},
            ],
            "model": "",
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": "auto",
            "reasoning_effort": "low",
            "metadata": {"a": None},
            "prompt_cache_key": "k",
            "store": True,
            "max_tokens": 1,
            "stream": True,
            "stream_options": {"include_obfuscation": False, "include_usage": None},
        }
        answer = await base.post(CHAT, json=harmless)
        assert answer.status_code == 200, answer.text

    async def test_a_chat_that_cannot_fit_is_refused_unread(self, base: httpx.AsyncClient) -> None:
        answer = await base.post(CHAT, json=body("a " * 1_000_000))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"


class TestErrors:
    @pytest.mark.parametrize(("request_body", "name"), BAD)
    async def test_a_bad_field_is_named(
        self, base: httpx.AsyncClient, request_body: dict[str, Any], name: str
    ) -> None:
        answer = await base.post(CHAT, json=request_body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", name)

    async def test_two_names_of_one_limit(self, base: httpx.AsyncClient) -> None:
        answer = await base.post(CHAT, json=body("a", max_tokens=1, max_completion_tokens=1))
        assert answer.status_code == 400
        assert "send one of them" in answer.json()["error"]["message"]

    async def test_another_model(self, base: httpx.AsyncClient) -> None:
        answer = await base.post(CHAT, json=body("a", model="gpt-4"))
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")

    async def test_a_last_message_that_is_too_long(self, base: httpx.AsyncClient) -> None:
        answer = await base.post(CHAT, json=body("x" * 4000))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
        assert "send less" in error["message"]


class TestPrompts:
    @given(
        turns=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=8),
        last=st.integers(0, 1200),
        max_tokens=st.integers(1, 900),
        by_template=st.booleans(),
    )
    def test_always_within_the_context(
        self,
        byte_tokenizer: Tokenizer,
        turns: list[tuple[int, int]],
        last: int,
        max_tokens: int,
        by_template: bool,
    ) -> None:
        texts = [text for asked, said in turns for text in ("q" * asked, "a" * said)]
        given_body = ChatBody(**body(*texts, "l" * last), max_tokens=max_tokens)
        template = ChatTemplate(BY_ROLE, names={}) if by_template else None
        prompter = ChatPrompter(byte_tokenizer, 2048, template, end_id=0)
        try:
            ids = prompter.prompt_ids(given_body)
        except ContextLengthError:
            alone = prompter.encode((user("l" * last),))
            assert len(alone) > 2048 - max_tokens
            return
        assert len(ids) + max_tokens <= 2048
        assert "l" * last in byte_tokenizer.decode(ids)

    @given(st.lists(st.integers(0, 300), min_size=2, max_size=12))
    def test_the_oldest_turns_are_left_out_first(self, byte_tokenizer: Tokenizer, sizes: list[int]) -> None:
        texts = [
            text for n, size in enumerate(sizes) for text in (f"<q{n}>{'q' * size}", f"<a{n}>{'a' * size}")
        ]
        prompter = ChatPrompter(byte_tokenizer, 2048, None, end_id=0)
        prompt = byte_tokenizer.decode(prompter.prompt_ids(ChatBody(**body(*texts, "<last>"), max_tokens=64)))
        kept = [f"<q{n}>" in prompt for n in range(len(sizes))]
        assert kept == sorted(kept)
        assert kept == [f"<a{n}>" in prompt for n in range(len(sizes))]
        assert "<last>" in prompt
        # No more than must be: with one more turn it would be too long.
        n_left_out = kept.count(False)
        if n_left_out:
            more = [Message(**each) for each in _plain(texts[2 * (n_left_out - 1) :])]
            assert len(prompter.encode((*more, user("<last>")))) > 2048 - 64

    @given(st.lists(st.sampled_from(["<|endoftext|>", "<fim_middle>", "Human:", "\n", "x"]), max_size=9))
    def test_what_is_said_never_becomes_a_special_token(
        self, byte_tokenizer: Tokenizer, pieces: list[str]
    ) -> None:
        prompter = ChatPrompter(byte_tokenizer, 4096, None, end_id=0)
        ids = prompter.encode((user("".join(pieces)),))
        assert set(byte_tokenizer.special_ids.values()).isdisjoint(ids)

    def test_a_small_context_gets_fewer_examples(self, byte_tokenizer: Tokenizer) -> None:
        sizes = [
            len(ChatPrompter(byte_tokenizer, n_positions, None, end_id=0).encode((user("a"),)))
            for n_positions in (1024, 4096, 32768)
        ]
        assert sizes == sorted(set(sizes))
        assert all(size <= n / 2 for size, n in zip(sizes, (1024, 4096, 32768), strict=True))


def _plain(texts: list[str]) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[n % 2], "text": text} for n, text in enumerate(texts)]


class TestOurClient:
    @pytest.fixture
    async def client(self, instruct: httpx.AsyncClient, tmp_path: Path) -> AsyncIterator[EngineClient]:
        ours = EngineClient(unix_path=tmp_path / "e.sock")
        yield ours
        await ours.aclose()

    async def test_an_answer(self, client: EngineClient) -> None:
        query = ChatQuery(messages=(user("hi"),), max_tokens=6, stop=("g",))
        deltas = [delta async for delta in client.chat(query)]
        assert "".join(delta.text for delta in deltas) == "bcdef"
        assert deltas[-1].finish_reason == "stop"
        assert deltas[-1].timings is not None
        assert deltas[-1].timings["completion_tokens"] == 6

    async def test_closing_cancels_within_a_step(
        self, client: EngineClient, instruct: httpx.AsyncClient
    ) -> None:
        async with aclosing(client.chat(ChatQuery(messages=(user("hi"),), max_tokens=2500))) as deltas:
            async for _ in deltas:
                break
        await until(partial(metric_is, instruct, "cancelled_total", 1))
        generated = await metric(instruct, "generated_tokens_total")
        assert await metric(instruct, "running_sequences") == 0
        assert generated < 2500
        assert await metric(instruct, "generated_tokens_total") == generated

    async def test_a_question_that_is_too_long(self, client: EngineClient) -> None:
        with pytest.raises(ContextLengthError):
            await anext(client.chat(ChatQuery(messages=(user("x" * 9000),))))


async def answer_of(client: OpenAIClient, *messages: Message) -> str:
    query = ChatQuery(messages=messages, temperature=0.5, seed=7)
    try:
        return "".join([delta.text async for delta in client.chat(query)])
    finally:
        await client.aclose()


class TestForeignServers:
    async def test_the_chat_of_an_instruct_model(self) -> None:
        async with ForeignServer(model="chatty").running() as server:
            text = await answer_of(OpenAIClient(server.url), user("hi"))
        assert text == "ab"
        (sent,) = server.bodies
        assert sent["messages"] == [{"role": "user", "content": "hi"}]
        assert (sent["model"], sent["seed"], sent["stream"]) == ("chatty", 7, True)
        assert "stop" not in sent

    async def test_a_base_model_gets_the_dialogue_and_ends_at_the_next_turn(self) -> None:
        def refuse(body: dict[str, Any]) -> str | None:
            return "the tokenizer does not define a chat template" if "messages" in body else None

        pieces = [" Yes", ".\nHu", "man", ": more", "(hang)"]
        async with ForeignServer(refuse=refuse, pieces=pieces).running() as server:
            text = await answer_of(OpenAIClient(server.url), user("Is it?"))
            await asyncio.wait_for(server.cancelled.wait(), PATIENCE_S)
        assert text == "Yes."
        sent = server.bodies[-1]
        assert sent["prompt"].endswith("Human: Is it?\n\nAssistant:")
        assert sent["stop"] == [f"\n{HUMAN}"]

    async def test_code_that_quotes_a_turn_is_not_cut_by_the_server(self) -> None:
        def refuse(body: dict[str, Any]) -> str | None:
            return "no chat_template" if "messages" in body else None

        pieces = ["```\nHuman: x\n", "```\nend"]
        async with ForeignServer(refuse=refuse, pieces=pieces).running() as server:
            text = await answer_of(OpenAIClient(server.url), user("Repeat:\n```\nHuman: x\n```"))
        assert text == "".join(pieces)
        assert "stop" not in server.bodies[-1]

    async def test_fields_that_it_refuses_are_left_out(self) -> None:
        def refuse(body: dict[str, Any]) -> str | None:
            if "max_tokens" in body:
                return "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return "'temperature' does not support 0.5 with this model." if "temperature" in body else None

        async with ForeignServer(refuse=refuse).running() as server:
            assert await answer_of(OpenAIClient(server.url), user("hi")) == "ab"
        assert server.bodies[-1]["max_completion_tokens"] == 512
        assert "temperature" not in server.bodies[-1]

    async def test_a_conversation_that_is_too_long_loses_its_oldest_turns(self) -> None:
        def refuse(body: dict[str, Any]) -> str | None:
            long = len(body["messages"]) > 3
            return "This model's maximum context length is 4 tokens." if long else None

        turns = [side for n in range(6) for side in (user(f"q{n}"), Message(role="assistant", text="a"))]
        async with ForeignServer(refuse=refuse).running() as server:
            assert await answer_of(OpenAIClient(server.url), *turns, user("last")) == "ab"
            assert [each["content"] for each in server.bodies[-1]["messages"]][-1] == "last"
            assert len(server.bodies[0]["messages"]) == 13
            with pytest.raises(ContextLengthError):
                await answer_of(OpenAIClient(server.url, max_prompt_chars=3), user("last"))

    async def test_other_refusals_are_told(self) -> None:
        async with ForeignServer(refuse=lambda body: "not today").running() as server:
            with pytest.raises(RequestError, match="not today"):
                await answer_of(OpenAIClient(server.url), user("hi"))

    async def test_a_server_with_neither_page(self) -> None:
        async with ForeignServer(missing=True).running() as server:
            with pytest.raises(EngineUnavailableError, match="404"):
                await answer_of(OpenAIClient(server.url), user("hi"))

    async def test_closing_hangs_up(self) -> None:
        async with ForeignServer(pieces=["a", "(hang)"]).running() as server:
            client = OpenAIClient(server.url)
            async with aclosing(client.chat(ChatQuery(messages=(user("hi"),)))) as deltas:
                assert (await anext(deltas)).text == "a"
            await asyncio.wait_for(server.cancelled.wait(), PATIENCE_S)
            await client.aclose()
