"""The bundled model in the whole chain, on a real file: what it says is its own affair, how is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pygls.exceptions import JsonRpcException

from tests.lsp.editor import Editor, editor
from tests.lsp.test_real_engine import end_engine

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "model" / "starter"

pytestmark = pytest.mark.skipif(
    not list(STARTER.glob("*.safetensors")), reason="this checkout has no weights in model/starter"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "run").mkdir(mode=0o700)
    yield folder
    for socket in folder.glob("run/**/engine-*.sock"):
        asyncio.run(end_engine(socket))


@pytest_asyncio.fixture
async def ed(home: Path) -> AsyncIterator[Editor]:
    options = {"completion": {"debounceMs": 0, "maxNewTokens": 24}}
    async with editor(options, home=home, experimental={"starcoder": True}, folder=ROOT) as opened:
        await opened.heard.state("ready")
        yield opened


def real_file() -> tuple[str, str]:
    """This server's own status.py with the cursor in the middle of a statement."""
    path = ROOT / "lsp" / "status" / "status.py"
    before, marker, after = path.read_text(encoding="utf-8").partition("self._n_busy -= ")
    assert marker
    return before + marker + "║" + after[1:], path.as_uri()


async def test_plain_streamed_and_cancelled_requests_on_a_real_file(ed: Editor) -> None:
    marked, uri = real_file()
    at = ed.open(marked, uri=uri)
    first = await ed.ask(at, uri=uri, partialResultToken="p")
    assert first == {"items": []}
    assert ed.heard.deltas[-1]["done"]
    assert any(delta["text"].strip() for delta in ed.heard.deltas)
    assert ed.heard.statuses[-1]["model"] == "starter"

    asked = ed.ask(ed.type(at, "zz = ", uri=uri), uri=uri, message_id="m")
    ed.cancel("m")
    with pytest.raises(JsonRpcException):
        await asked
    late = "attribution: the index takes too long"  # on a busy machine it may
    assert [message for message in ed.heard.messages if not message.startswith(late)] == []


async def test_a_keystroke_computes_a_few_tokens_only(ed: Editor) -> None:
    marked, uri = real_file()
    at = ed.open(marked, uri=uri)
    for text in ("(", "w", "q"):  # not what a model would say, so each is a new question
        at = ed.type(at, text, uri=uri)
        await ed.items(at, uri=uri)
    book = await ed.command("starcoder.showLatencyBook")
    assert book["failed"] == 0
    assert book["requested"] == 3
    # The first question fills the cache, the others use it.
    assert book["completions"] >= 2
    assert book["kvHitRate"] > 0.45


def assist(kind: str, uri: str, **more: object) -> dict[str, object]:
    """A question about this server's own status.py, lines 65 to 70."""
    place = {"start": {"line": 64, "character": 0}, "end": {"line": 70, "character": 0}}
    return {"token": 1, "kind": kind, "textDocument": {"uri": uri}, "range": place, **more}


async def test_the_assistant_answers_in_a_conversation(ed: Editor) -> None:
    marked, uri = real_file()
    ed.open(marked, uri=uri)
    first = await ed.request("starcoder/assist", assist("explain", uri))
    assert first["model"] == "starter"
    assert "a base model" in first["caution"]
    assert first["finishReason"] in ("stop", "length", "repetition")
    # What was streamed is the answer, and it ends before the next turn would begin. (Its first line
    # stands behind a speaker's mark, so whatever that begins with is text.)
    assert "".join(piece["text"] for piece in ed.heard.answers) == first["text"]
    assert not any(line.startswith(("Human:", "Assistant:")) for line in first["text"].split("\n")[1:])
    for _ in range(4):  # more than fits into 2,048 tokens
        asked = assist("fix", uri, conversation=first["conversation"])
        later = await ed.request("starcoder/assist", asked)
        assert later["conversation"] == first["conversation"]
        assert later["edit"] is not None or later["note"]


@pytest.mark.skipif(not (STARTER / "portrait.bin").exists(), reason="no portrait in model/starter")
async def test_where_there_is_no_index_the_models_portrait_answers(ed: Editor) -> None:
    marked, uri = real_file()
    at = ed.open(marked, uri=uri)
    result = await ed.command("starcoder.checkAttribution", {"uri": uri})
    assert result["searched"]["kind"] == "portrait"
    assert result["searched"]["documents"] > 20_000
    assert result["matches"] == []  # this project's own code was not trained on
    assert result["message"].endswith("starcoder-lsp index build --starter")
    for item in await ed.items(at, uri=uri):
        assert item["references"] == []
    assert (await ed.command("starcoder.showStatus"))["attribution"]["kind"] == "portrait"
