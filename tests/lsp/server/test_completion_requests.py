"""`textDocument/inlineCompletion` over the real server, with an engine that does as it is told."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp.editor import TIMEOUT_S, editor
from tests.lsp.fake_engine import FakeEngine, HangUp, Pause, Piece

STREAMS = {"starcoder": True}


async def test_a_plain_request(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: [" + ", "b"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("def add(a, b):\n    return a║\n\nprint(add(1, 2))\n")
        (item,) = await ed.items(at)
        assert item["insertText"] == " + b"
        assert item["range"] == {"start": {"line": 1, "character": 12}, "end": {"line": 1, "character": 12}}
        assert item["command"]["command"] == "starcoder.accepted"
        assert item["starcoder"]["latencyMs"] > 0
        assert not ed.heard.deltas
    (body,) = engine.requests
    assert body["prompt"] == "def add(a, b):\n    return a"
    assert body["suffix"] == "\n\nprint(add(1, 2))\n"


async def test_each_finished_alternative_is_one_partial_result_and_the_final_result_is_empty(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.answer = lambda body: [Piece("first()", 0), Piece("second", 1), Piece("()", 1)]
    async with editor(engine.options(alternatives=2), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        result = await ed.ask(at, partialResultToken="p1")
        assert result == {"items": []}
        assert [token for token, _ in ed.heard.partials] == ["p1", "p1"]
        assert [[item["insertText"] for item in value] for _, value in ed.heard.partials] == [
            ["first()"],
            ["second()"],
        ]


async def test_text_streams_to_a_client_that_declared_it(engine: FakeEngine, tmp_path: Path) -> None:
    pause = Pause()
    engine.answer = lambda body: ["a = 1\n", "    b", pause, " = 2\n", "    return a"]
    async with editor(engine.options(), home=tmp_path, experimental=STREAMS) as ed:
        at = ed.open("def f():\n    ║\n")
        asked = ed.ask(at, partialResultToken=7, message_id="m1")
        await ed.heard.wait(lambda: any(d["text"] == "a = 1\n    b" for d in ed.heard.deltas))
        assert ed.heard.deltas[-1] == {
            "token": 7,
            "requestId": "m1",
            "uri": "file:///project/a.py",
            "version": 1,
            "index": 0,
            "text": "a = 1\n    b",
            "shown": "a = 1",
            "done": False,
        }
        assert not asked.done()
        pause.resume()
        await asked
        last = ed.heard.deltas[-1]
        assert (last["shown"], last["done"]) == ("a = 1\n    b = 2\n    return a", True)
        shown = [delta["shown"] for delta in ed.heard.deltas]
        assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
        assert ed.heard.partials[0][1][0]["insertText"] == last["shown"]


async def test_a_cancelled_request_is_answered_as_such_and_the_engine_is_told(
    engine: FakeEngine, tmp_path: Path
) -> None:
    pause = Pause()
    engine.answer = lambda body: ["slow", pause]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        asked = ed.ask(at, message_id="m1")
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        ed.cancel("m1")
        with pytest.raises(JsonRpcException) as failure:
            await asked
        assert failure.value.code == -32800
        await asyncio.wait_for(engine.abandoned.get(), TIMEOUT_S)
        engine.answer = lambda body: [" + 1"]
        assert await ed.texts(ed.type(at, "y"), kind=2) == [" + 1"]


async def test_a_newer_request_of_a_document_ends_the_older_one(engine: FakeEngine, tmp_path: Path) -> None:
    pause = Pause()
    engine.answer = lambda body: ["other", pause]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        older = ed.ask(at)
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        engine.answer = lambda body: [" + 1"]
        newer = ed.ask(ed.type(at, "y"))
        assert await older == {"items": []}
        assert [item["insertText"] for item in (await newer)["items"]] == [" + 1"]
        await asyncio.wait_for(engine.abandoned.get(), TIMEOUT_S)


@pytest.mark.parametrize("cancels", [True, False])
async def test_typing_what_is_being_suggested_keeps_the_stream_running(
    engine: FakeEngine, tmp_path: Path, cancels: bool
) -> None:
    pause = Pause()
    engine.answer = lambda body: ["pri", pause, "nt(value)"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("value = 1\n║\n")
        older = ed.ask(at, kind=2, message_id="m1")
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        if cancels:  # as editors do: cancel, then the edit, then the new request
            ed.cancel("m1")
        at = ed.type(at, "prin")  # one character further than the stream has come
        newer = ed.ask(at, kind=2)
        if cancels:
            with pytest.raises(JsonRpcException):
                await older
        else:
            assert await older == {"items": []}
        pause.resume()
        assert [item["insertText"] for item in (await newer)["items"]] == ["t(value)"]
        assert len(engine.requests) == 1
        # And the finished suggestion goes on serving, also after a backspace.
        assert await ed.texts(ed.type(at, "t("), kind=2) == ["value)"]
        assert len(engine.requests) == 1


@pytest.mark.parametrize(
    ("before_pause", "after_pause", "typed"),
    [
        # Nothing has been generated, so what is typed may still turn out to be it.
        pytest.param("", "other", "y", id="goes another way"),
        pytest.param("value", "", "value", id="ends where the user is"),
    ],
)
async def test_an_earlier_answer_without_text_for_the_user_is_replaced_by_a_new_one(
    engine: FakeEngine, tmp_path: Path, before_pause: str, after_pause: str, typed: str
) -> None:
    pause = Pause()
    engine.answer = lambda body: [part for part in (before_pause, pause, after_pause) if part]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        older = ed.ask(at, kind=2)
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        newer = ed.ask(ed.type(at, typed), kind=2, partialResultToken="p")
        assert await older == {"items": []}
        engine.answer = lambda body: [" + 1"]
        pause.resume()
        assert await newer == {"items": []}
        assert [item["insertText"] for _, (item,) in ed.heard.partials] == [" + 1"]
        assert len(engine.requests) == 2


async def test_typing_something_else_asks_anew(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: ["print(value)"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("value = 1\n║\n")
        assert await ed.texts(at, kind=2) == ["print(value)"]
        engine.answer = lambda body: ["se value:"]
        assert await ed.texts(ed.type(at, "ra"), kind=2) == ["se value:"]
        assert len(engine.requests) == 2


async def test_two_documents_at_once(engine: FakeEngine, tmp_path: Path) -> None:
    """And others whose URIs name no possible path."""
    pauses = {"one": Pause(), "two": Pause()}

    def answer(body: dict[str, str]) -> list[object]:
        name = body["prompt"].split()[0]
        return [f"{name}_", pauses[name], "done"]

    engine.answer = answer  # type: ignore[assignment]
    async with editor(engine.options(), home=tmp_path) as ed:
        asked = {}
        for uri in ("file:///a%00", "file:///\ud800", "x://[y"):
            document = {"uri": uri, "languageId": "python", "version": 1, "text": "one two three\n" * 30}
            for method in ("textDocument/didOpen", "textDocument/didFocus"):
                ed.notify(method, {"textDocument": document})
        for name in pauses:
            at = ed.open(f"{name} = ║\n", uri=f"file:///project/{name}.py")
            asked[name] = ed.ask(at, uri=f"file:///project/{name}.py")
        for pause in pauses.values():
            await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        for name in ("two", "one"):
            pauses[name].resume()
            assert (await asked[name])["items"][0]["insertText"] == f"{name}_done"


async def test_the_selected_item_of_the_editors_list_is_honoured(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: ["(1, 2)"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("import math\nmath.po║\n")
        place = {"start": {"line": 1, "character": 5}, "end": {"line": 1, "character": 7}}
        selected = {"selectedCompletionInfo": {"range": place, "text": "power"}}
        (item,) = await ed.items(at, context=selected)
        assert item["insertText"] == "power(1, 2)"
        assert item["range"] == place
        # A fuzzy match: what is replaced is no beginning of what replaces it.
        selected = {"selectedCompletionInfo": {"range": place, "text": "exp"}}
        (item,) = await ed.items(at, context=selected)
        assert (item["insertText"], item["filterText"]) == ("exp(1, 2)", "po(1, 2)")
    assert [body["prompt"] for body in engine.requests] == [
        "import math\nmath.power",
        "import math\nmath.exp",
    ]


async def test_a_document_that_is_not_open_has_no_completions(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        assert await ed.items(types.Position(0, 0), uri="file:///project/unknown.py") == []


def documented(section: str) -> set[str]:
    """The first column of the table under a heading of docs/lsp-messages.md."""
    page = Path(__file__).parents[3] / "docs" / "lsp-messages.md"
    _, _, rest = page.read_text(encoding="utf-8").partition(f"## {section}")
    rows = re.findall(r"^\| (`.*?) \|", rest.partition("\n## ")[0], re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


async def test_the_messages_are_as_documented(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path, experimental=STREAMS) as ed:
        (item,) = await ed.items(ed.open("x = ║\n"))
        assert item["starcoder"].keys() == documented("Items")
        assert ed.heard.deltas[-1].keys() == documented("`starcoder/completionDelta`")
        assert ed.heard.statuses[-1].keys() == documented("`starcoder/status`")


async def test_an_unreadable_request_gets_an_error_that_names_what_is_missing(
    engine: FakeEngine, tmp_path: Path
) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        with pytest.raises(JsonRpcException, match="'position' is missing"):
            await ed.request(
                "textDocument/inlineCompletion", {"textDocument": {"uri": "file:///project/a.py"}}
            )
        assert await ed.texts(ed.open("x = ║\n")) == ["pass"]


async def test_an_engine_that_dies_in_mid_stream_ends_the_request_and_the_next_one_works(
    engine: FakeEngine, tmp_path: Path
) -> None:
    pause = Pause()
    engine.answer = lambda body: ["half", pause, HangUp()]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        asked = ed.ask(at)
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        pause.resume()
        assert await asked == {"items": []}
        await ed.heard.wait(lambda: any(s["state"] == "offline" for s in ed.heard.statuses))
        engine.answer = lambda body: ["whole"]
        assert await ed.texts(at) == ["whole"]
        await ed.heard.state("ready")


async def test_statuses_from_the_start_to_a_completion(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        await ed.heard.state("ready")
        await ed.texts(ed.open("x = ║\n"))
        await ed.heard.wait(lambda: ed.heard.statuses[-1]["latencyMs"] is not None)
        states = [status["state"] for status in ed.heard.statuses]
        assert [state for i, state in enumerate(states) if state != states[i - 1] or not i] == [
            "starting",
            "ready",
            "busy",
            "ready",
        ]
        assert ed.heard.statuses[-1]["model"] == "fake"


async def test_no_engine_is_a_status_and_an_empty_answer(tmp_path: Path) -> None:
    options = {
        "engine": {"url": "http://127.0.0.1:9", "fimTemplate": "suffix"},
        "completion": {"debounceMs": 0},
    }
    async with editor(options, home=tmp_path) as ed:
        assert await ed.items(ed.open("x = ║\n")) == []
        status = next(s for s in ed.heard.statuses if s["state"] == "offline")
        assert "127.0.0.1:9" in status["message"]
        await ed.heard.wait(lambda: any("127.0.0.1:9" in message for message in ed.heard.messages))


async def test_a_client_that_traces_is_told_what_becomes_of_a_question(
    engine: FakeEngine, tmp_path: Path
) -> None:
    pause = Pause()
    engine.answer = lambda body: ["other", pause]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        older = ed.ask(at)
        await asyncio.wait_for(pause.reached.wait(), TIMEOUT_S)
        assert not ed.heard.traces
        ed.notify("$/setTrace", {"value": "messages"})
        engine.answer = lambda body: [" + 1"]
        at = ed.type(at, "y")
        newer = ed.ask(at)
        await older
        await newer
        await ed.texts(ed.type(at, " "), kind=2)
        assert ed.heard.traces == [
            "a.py:1:5 (version 1): another question came",
            "a.py:1:6 (version 2): the engine is asked",
            "a.py:1:7 (version 3): an earlier answer goes on",
        ]
