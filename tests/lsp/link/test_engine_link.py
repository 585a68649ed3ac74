"""The way of a piece of text from the engine's socket, with the client of our own engine."""

from __future__ import annotations

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
            "EngineLink._answered",
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
    models = b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": "starcoder2-3b", "owned_by": "vllm"}]}'
    answer = (
        b"HTTP/1.1 200 OK\r\n\r\n"
        b'data: {"choices":[{"index":0,"text":"hi","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    async with raw_server(models, refusal, models, answer) as (url, _):
        board = StatusBoard(heard.append)
        link = EngineLink(Running(OpenAIClient(url)), board, on_connected=lambda health: None)
        with pytest.raises(EngineUnavailableError, match=r"401.*no such key.*engine\.apiKeyEnv"):
            await anext(link.stream(query()))
        # Meanwhile it is connected again: the list of models answers.
        async with aclosing(link.stream(query())) as deltas:
            await link.client()
            assert heard[-1].state is State.OFFLINE
            assert "no such key" in heard[-1].message
            assert (await anext(deltas)).text == "hi"
        told = [status.state for status in heard]
        assert told == [State.STARTING, State.READY, State.OFFLINE, State.READY]
        await link.aclose()
