"""The whole chain: a real LSP client, the real server, the real engine process with real weights.

The model spells (`tests.lsp.spelling_model`), so the answers are known to the letter.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from model.client.client import EngineClient
from tests.lsp.editor import TIMEOUT_S, Editor, editor, server_environment
from tests.lsp.spelling_model import CYCLE, write_spelling_model

STREAMS = {"starcoder": True}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spelling_model(tmp_path_factory.mktemp("m") / "spelling")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folders, with a short name: a unix socket's path is limited to 107 bytes."""
    folder = tmp_path_factory.mktemp("h")
    (folder / "run").mkdir(mode=0o700)
    yield folder
    for socket in folder.glob("run/**/engine-*.sock"):
        asyncio.run(end_engine(socket))


async def end_engine(socket: Path) -> None:
    client = EngineClient(unix_path=socket)
    await client.shutdown()
    await client.aclose()


@asynccontextmanager
async def window(model: Path, home: Path, **completion: Any) -> AsyncIterator[Editor]:
    options = {
        "model": str(model),
        "engine": {"threads": 1},
        "completion": {"debounceMs": 0, "maxNewTokens": 1000, **completion},
    }
    async with editor(options, home=home, experimental=STREAMS) as ed:
        await ed.heard.wait(lambda: any(s["state"] != "starting" for s in ed.heard.statuses))
        yield ed


@pytest_asyncio.fixture
async def ed(model: Path, home: Path) -> AsyncIterator[Editor]:
    async with window(model, home) as opened:
        yield opened


async def engine_pid(home: Path) -> int:
    (socket,) = home.glob("run/**/engine-*.sock")
    client = EngineClient(unix_path=socket)
    health = await client.health()
    await client.aclose()
    assert health.pid is not None
    return health.pid


async def test_a_plain_request(ed: Editor) -> None:
    (item,) = await ed.items(ed.open("x = ║\n"))
    assert item["insertText"] == "0123456789"
    timings = item["starcoder"]["timings"]
    assert timings["completion_tokens"] >= 10
    assert (await ed.heard.state("ready"))["model"] == "spelling"


async def test_a_keystroke_reuses_the_cache(ed: Editor) -> None:
    at = ed.open("# a comment of some length, so that there is something to reuse\nx = ║\n")
    await ed.items(at)
    at = ed.type(at, "5 ")  # not what was suggested: a new question
    (item,) = await ed.items(at)
    timings = item["starcoder"]["timings"]
    assert timings["prompt_tokens"] - timings["cached_tokens"] <= 8
    assert timings["cached_tokens"] >= 60
    report = await ed.command("starcoder.showLatencyBook")
    assert report["kvHitRate"] > 0.4


async def test_a_streamed_request(ed: Editor) -> None:
    at = ed.open("x = ║\n")
    result = await ed.ask(at, partialResultToken="p")
    assert result == {"items": []}
    ((token, (item,)),) = ed.heard.partials
    assert (token, item["insertText"]) == ("p", "0123456789")
    texts = [delta["text"] for delta in ed.heard.deltas]
    assert texts[-1] == "0123456789"
    assert all(texts[-1].startswith(text) for text in texts)
    assert ed.heard.deltas[-1]["done"]


async def test_the_command_gives_the_editors_text(
    ed: Editor, model: Path, home: Path, tmp_path: Path
) -> None:
    before, after = 'x = f("a', '")\n'
    (tmp_path / "a.py").write_text(before + after, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "lsp", "complete", f"a.py:1:{len(before) + 1}", "--model", str(model)),
        cwd=tmp_path,
        env=server_environment(home)
        | {"STARCODER_ENGINE_THREADS": "1", "STARCODER_COMPLETION_MAX_NEW_TOKENS": "1000"},
        stdout=asyncio.subprocess.PIPE,
    )
    shown, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    uri = (tmp_path / "a.py").as_uri()
    (text,) = await ed.texts(ed.open(f"{before}║{after}", uri=uri), uri=uri)
    assert shown.decode() == text + "\n"
    assert text.startswith(CYCLE[1:])
    assert len(list(home.glob("run/**/engine-*.sock"))) == 1


async def test_a_cancelled_request_stops_the_engine(ed: Editor, home: Path) -> None:
    at = ed.open("x = a║\n")
    asked = ed.ask(at, message_id="m")
    await ed.heard.wait(lambda: bool(ed.heard.deltas))
    assert ed.heard.deltas[0]["text"].startswith(CYCLE[1])
    ed.cancel("m")
    with pytest.raises(Exception, match="canceled"):
        await asked
    # Closing the document ends the grace time that typing on would have.
    ed.notify("textDocument/didClose", {"textDocument": {"uri": "file:///project/a.py"}})
    (item,) = await ed.items(ed.open("x = ║\n"))
    assert item["insertText"] == "0123456789"
    book = await ed.command("starcoder.showLatencyBook")
    assert book["cancelled"] == 1


async def test_two_documents_and_two_windows_share_one_engine(model: Path, home: Path) -> None:
    async with window(model, home) as first, window(model, home) as second:
        long = [
            ed.ask(ed.open("x = a║\n", uri="file:///project/long.py"), uri="file:///project/long.py")
            for ed in (first, second)
        ]
        for ed in (first, second):
            await ed.heard.wait(lambda ed=ed: bool(ed.heard.deltas))  # type: ignore[misc]
            assert await ed.texts(ed.open("y = ║\n")) == ["0123456789"]
        for ed, asked in zip((first, second), long, strict=True):
            result = await asked
            assert result["items"][0]["insertText"].startswith(CYCLE[1:] + CYCLE[:5])
            assert ed.heard.deltas[-1]["done"]
        assert len(list(home.glob("run/**/engine-*.sock"))) == 1


async def test_an_engine_killed_in_mid_stream_ends_the_request_and_the_next_one_works(
    ed: Editor, home: Path
) -> None:
    at = ed.open("x = a║\n")
    await ed.heard.state("ready")
    pid = await engine_pid(home)
    asked = ed.ask(at)
    await ed.heard.wait(lambda: bool(ed.heard.deltas))
    os.kill(pid, signal.SIGKILL)
    assert await asked == {"items": []}
    assert not any(delta["done"] and delta["shown"] for delta in ed.heard.deltas)
    await ed.heard.wait(lambda: any(status["state"] == "offline" for status in ed.heard.statuses))
    await ed.heard.state("ready")  # without anybody asking
    at = ed.open("y = ║\n", uri="file:///project/b.py")
    assert await ed.texts(at, uri="file:///project/b.py") == ["0123456789"]
    await ed.heard.state("ready")
    assert await engine_pid(home) != pid


async def test_typing_through_a_running_suggestion(ed: Editor) -> None:
    at = ed.open("x = a║\n")
    asked = ed.ask(at, kind=2)
    await ed.heard.wait(lambda: bool(ed.heard.deltas))
    newer = ed.ask(ed.type(at, "bcdefgh"), kind=2)
    assert await asked == {"items": []}
    result = await newer
    assert result["items"][0]["insertText"].startswith("ijklmnop")
    book = await ed.command("starcoder.showLatencyBook")
    assert (book["typedThrough"], book["failed"]) == (1, 0)


async def test_the_restart_command_starts_another_engine(ed: Editor, home: Path) -> None:
    await ed.heard.state("ready")
    pid = await engine_pid(home)
    n_statuses = len(ed.heard.statuses)
    await asyncio.wait_for(ed.command("starcoder.restartEngine"), TIMEOUT_S)
    await ed.heard.wait(lambda: any(s["state"] == "ready" for s in ed.heard.statuses[n_statuses:]))
    assert await ed.texts(ed.open("x = ║\n")) == ["0123456789"]
    assert await engine_pid(home) != pid


async def test_a_model_that_does_not_exist_is_a_status_with_the_remedy(home: Path, tmp_path: Path) -> None:
    async with window(tmp_path / "no such model", home) as ed:
        assert await ed.items(ed.open("x = ║\n")) == []
        message = next(s["message"] for s in ed.heard.statuses if s["state"] in ("offline", "error"))
        assert "no such model" in message
