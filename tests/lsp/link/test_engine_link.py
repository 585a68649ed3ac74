"""The way of a piece of text from the engine's socket, with the client of our own engine."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from types import AsyncGeneratorType

import pytest

from lsp.link.engine_link import EngineLink
from lsp.status.observer import Observer
from lsp.status.status import StatusBoard
from model.client.chat import ChatQuery
from model.client.client import CompletionDelta, EngineClient
from model.prompt.conversation import Message
from tests.lsp.fake_engine import FakeEngine, Pause
from tests.model.queries import query


class Running:
    """An engine (`lsp.link.engines.Engine`) that runs already."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client

    async def ensure(self) -> EngineClient:
        return self.client

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
