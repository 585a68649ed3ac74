"""The assistant with the real engine process and an instruct-tuned model: one that spells, by a template.

Behind its template's end the model says the alphabet without end, so nothing but we can stop it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pygls.exceptions import JsonRpcException

from tests.lsp.editor import Editor, editor
from tests.lsp.spelling_model import CYCLE, write_spelling_model
from tests.lsp.test_real_engine import end_engine
from tests.model.serving import metric, metric_is, until

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}x = a"
ASKED = {"token": "t", "kind": "ask", "question": "Why?"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_spelling_model(tmp_path_factory.mktemp("m") / "spelling")
    config = {"chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("a")
    (folder / "run").mkdir(mode=0o700)
    yield folder
    for socket in folder.glob("run/**/engine-*.sock"):
        asyncio.run(end_engine(socket))


@pytest_asyncio.fixture
async def ed(model: Path, home: Path) -> AsyncIterator[Editor]:
    options: dict[str, Any] = {"model": str(model), "engine": {"threads": 1}}
    async with editor(options, home=home, experimental={"starcoder": True}) as opened:
        await opened.heard.state("ready")
        yield opened


@pytest_asyncio.fixture
async def engine(ed: Editor, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    (socket,) = home.glob("run/**/engine-*.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(base_url="http://engine", transport=transport) as client:
        yield client


async def test_an_instruct_tuned_model_answers_by_its_template(ed: Editor, engine: httpx.AsyncClient) -> None:
    assert (await engine.get("/health")).json()["chat"] == "template"
    result = await ed.request("starcoder/assist", ASKED)
    assert result["model"] == "spelling"
    assert result["text"].startswith(CYCLE[1:] + CYCLE)
    assert (result["finishReason"], len(result["text"])) == ("length", 1024)
    assert "".join(piece["text"] for piece in ed.heard.answers) == result["text"]


async def test_cancelling_stops_the_engine_within_a_step(ed: Editor, engine: httpx.AsyncClient) -> None:
    for attempt in range(5):  # on a busy machine the answer may be quicker than the cancellation
        before = await metric(engine, "generated_tokens_total")
        ed.heard.answers.clear()
        asked = ed.request("starcoder/assist", ASKED, message_id=f"m{attempt}")
        await ed.heard.wait(lambda: bool(ed.heard.answers))
        ed.cancel(f"m{attempt}")
        with contextlib.suppress(JsonRpcException):
            await asked
            continue
        break
    await until(partial(metric_is, engine, "cancelled_total", 1))
    generated = await metric(engine, "generated_tokens_total") - before
    assert await metric(engine, "running_sequences") == 0
    assert generated < 1024
    assert await metric(engine, "generated_tokens_total") - before == generated
