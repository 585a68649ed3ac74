"""The way of a piece of text from the engine's socket, with the client of our own engine."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from types import AsyncGeneratorType

import pytest

from lsp.link.engine_link import EngineLink
from lsp.status.observer import Observer
from lsp.status.status import State, Status, StatusBoard
from model.client.chat import ChatQuery
from model.client.client import CompletionClient, CompletionDelta, EngineClient
from model.client.openai import OpenAIClient
from model.errors import EngineUnavailableError
from model.prompt.conversation import Message
from tests.lsp.fake_engine import FakeEngine, Pause
from tests.model.foreign_server import raw_server
from tests.model.queries import query

MODELS = b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": "starcoder2-3b", "owned_by": "vllm"}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\n\r\n"
    b'data: {"choices":[{"index":0,"text":"1","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


class Running:
    """An engine (`lsp.link.engines.Engine`) that runs already."""

    def __init__(self, client: CompletionClient) -> None:
        self.client = client

    async def ensure(self, tell: Callable[[str], None]) -> CompletionClient:
        return self.client

    def watched(self, client: CompletionClient) -> AbstractContextManager[None]:
        return nullcontext()

    async def stop(self) -> None:
        pass

    async def aclose(self) -> None:
        await self.client.aclose()


@pytest.fixture
async def link(engine: FakeEngine) -> AsyncIterator[EngineLink]:
    engine.answer = lambda body: ["pass", Pause()]
    observer = Observer()
    made = EngineLink(
        Running(EngineClient(url=engine.url)),
        StatusBoard(observer.status_changed),
        on_connected=observer.connected,
    )
    yield made
    await made.aclose()


def under_way() -> list[str]:
    """The names of the async generators between the HTTP library and the link's reader."""
    # isinstance() would ask every object for its class, which some libraries answer with a warning.
    generators = [each for each in gc.get_objects() if type(each) is AsyncGeneratorType]
    frames = [each.ag_frame for each in generators if each.ag_frame is not None]
    rooms = ("model.client.", "lsp.link.")
    return sorted(
        frame.f_code.co_qualname for frame in frames if frame.f_globals["__name__"].startswith(rooms)
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda link: link.stream(query()),
        lambda link: link.chat(ChatQuery(messages=(Message(role="user", text="Why?"),))),
    ],
    ids=["stream", "chat"],
)
async def test_a_piece_passes_few_generators_and_closing_the_last_closes_the_socket(
    link: EngineLink,
    engine: FakeEngine,
    ask: Callable[[EngineLink], AsyncGenerator[CompletionDelta, None]],
) -> None:
    async with aclosing(ask(link)) as deltas:
        assert (await anext(deltas)).text == "pass"
        assert under_way() == [
            "Connections.one",
            "EngineLink._answered",
            "HttpSession._open",
            "HttpSession._stream_once",
            "asked_again",
            "deltas_of",
        ]
        assert engine.abandoned.empty()
    assert under_way() == []
    await engine.abandoned.get()


async def test_a_refusal_stays_told_until_a_completion_succeeds() -> None:
    heard: list[Status] = []
    refused = b'{"error": {"message": "no such key"}}'
    refusal = b"HTTP/1.1 401 X\r\ncontent-length: %d\r\n\r\n%b" % (len(refused), refused)
    async with raw_server(MODELS, ANSWER, refusal, MODELS, refusal, MODELS, ANSWER) as (url, _):
        board = StatusBoard(heard.append)
        link = EngineLink(Running(OpenAIClient(url)), board, on_connected=lambda health: None)
        link.start()
        while board.current.state is not State.READY:
            await asyncio.sleep(0)
        with pytest.raises(EngineUnavailableError, match=r"401.*no such key.*engine\.apiKeyEnv"):
            await anext(link.stream(query()))
        # Meanwhile it is connected again: the list of models answers.
        async with aclosing(link.stream(query())) as deltas:
            await link.client()
            assert heard[-1].state is State.OFFLINE
            assert "no such key" in heard[-1].message
            assert (await anext(deltas)).text == "1"
        told = [status.state for status in heard]
        assert told == [State.STARTING, State.STARTING, State.READY, State.OFFLINE, State.READY]
        await link.aclose()


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (ANSWER, State.READY, ""),
        (b'HTTP/1.1 401 X\r\n\r\n{"error": {"message": "no such key"}}', State.OFFLINE, "engine.apiKeyEnv"),
        (b"HTTP/1.1 404 X\r\n\r\n", State.OFFLINE, "404"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html></html>", State.OFFLINE, "a web page"),
        (b'HTTP/1.1 400 X\r\n\r\n{"error": {"message": "too dear"}}', State.ERROR, "too dear"),
    ],
    ids=["completes", "no key", "no such page", "a web page", "a refusal"],
)
async def test_a_server_that_only_lists_its_models_is_not_ready(
    answer: bytes, state: State, said: str
) -> None:
    heard: list[Status] = []
    async with raw_server(MODELS, answer) as (url, _):
        link = EngineLink(
            Running(OpenAIClient(url)), StatusBoard(heard.append), on_connected=lambda health: None
        )
        await link.client()
        while heard[-1].state is State.STARTING:
            await asyncio.sleep(0)
        assert [status.state for status in heard] == [State.STARTING, State.STARTING, state]
        assert said in heard[-1].message
        assert heard[-1].model == "starcoder2-3b"
        await link.aclose()
