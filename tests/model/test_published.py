"""The published model that `.ci/run` fetches, in the real engine process: a line, a middle, an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from model.catalogue.here import file_here
from model.catalogue.published import published
from model.client.chat import ChatQuery
from model.client.client import CompletionQuery, EngineClient
from model.process.engine_files import EngineFiles, LaunchOptions
from model.process.process import EngineProcess
from model.prompt.conversation import Message

NAME = "qwen2.5-coder-0.5b"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EngineClient]:
    model = published(NAME)
    path = None if model is None else file_here(model)
    if path is None:
        pytest.skip(f"{NAME} is not here: `starcoder-lsp model get {NAME}` fetches it")
    options = LaunchOptions(model=NAME)
    process = EngineProcess(options, files=EngineFiles.inside(tmp_path_factory.mktemp("q") / "run", options))
    yield await process.ensure()
    await process.stop()
    await process.aclose()


async def completed(engine: EngineClient, prefix: str, suffix: str) -> str:
    query = CompletionQuery(prefix=prefix, suffix=suffix, max_tokens=16, stop_at="line")
    async with aclosing(engine.complete(query)) as deltas:
        return "".join([delta.text async for delta in deltas]).strip()


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class TestPublished:
    async def test_a_line(self, engine: EngineClient) -> None:
        prefix = 'def add(a, b):\n    """The sum of a and b."""\n    return '
        assert await completed(engine, prefix, "") == "a + b"

    async def test_a_middle(self, engine: EngineClient) -> None:
        """What comes after the cursor decides what belongs there."""
        prefix = "import json\n\n\ndef load(path):\n    with open(path) as "
        text = await completed(engine, prefix, "\n        return json.load(source)\n")
        assert text == "source:"

    async def test_an_answer(self, engine: EngineClient) -> None:
        question = Message(role="user", text="What is the capital of France? One word.")
        query = ChatQuery(messages=(question,), max_tokens=8)
        async with aclosing(engine.chat(query)) as deltas:
            answer = "".join([delta.text async for delta in deltas])
        assert answer.startswith("Paris")
