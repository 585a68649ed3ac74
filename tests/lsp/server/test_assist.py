"""The assistant in the language server: a real client over stdio, a server that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp.sources.marks import SOURCE as SOURCE_OF_COPIES
from tests.lsp.editor import Editor, editor
from tests.lsp.fake_engine import FakeEngine, Pause
from tests.lsp.indexed import NEW, build_index, excerpt

URI = "file:///project/a.py"
COPIED = excerpt("lsp/completion/type_through.py", "def type_through", "def _typed")
SOURCE = "import os\n\n\ndef add(a, b):\n    return a - b\n"
WHOLE = types.Range(types.Position(3, 0), types.Position(5, 0))
AT_ADD = types.Range(types.Position(3, 6), types.Position(3, 6))
FIXED = "It subtracts.\n\n```python\ndef add(a, b):\n    return a + b\n```"
REVIEWING = types.WorkspaceEditClientCapabilities(
    document_changes=True, change_annotation_support=types.ChangeAnnotationsSupportOptions()
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("attribution") / "index")


def wire(place: types.Range) -> dict[str, Any]:
    return {
        name: {"line": end.line, "character": end.character}
        for name, end in (("start", place.start), ("end", place.end))
    }


def diagnostic(message: str = "wrong sign", source: str = "judge") -> types.Diagnostic:
    place = types.Range(types.Position(4, 11), types.Position(4, 16))
    return types.Diagnostic(range=place, message=message, source=source)


def params(kind: str, place: types.Range | None = WHOLE, **more: Any) -> dict[str, Any]:
    asked = {"token": "t", "kind": kind, "textDocument": {"uri": URI}, **more}
    return asked if place is None else {**asked, "range": wire(place)}


@pytest_asyncio.fixture
async def ed(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Editor]:
    async with editor(
        engine.options(), home=tmp_path, experimental={"starcoder": True}, edits=REVIEWING
    ) as opened:
        opened.open(SOURCE + "║")
        yield opened


def answering(engine: FakeEngine, *steps: Any) -> None:
    engine.answer = lambda body: steps


def asked_of(engine: FakeEngine) -> Sequence[dict[str, str]]:
    messages: Sequence[dict[str, str]] = engine.requests[-1]["messages"]
    return messages


class TestAnswers:
    async def test_an_answer_is_streamed_and_then_whole(self, ed: Editor, engine: FakeEngine) -> None:
        answering(engine, "It ", "adds.")
        result = await ed.request("starcoder/assist", params("explain"))
        assert ed.heard.answers == [{"token": "t", "text": "It "}, {"token": "t", "text": "adds."}]
        assert result == {
            "conversation": result["conversation"],
            "model": "fake",
            "text": "It adds.",
            "finishReason": "stop",
            "edit": None,
            "references": [],
            "note": None,
            "caution": None,
        }
        system, message = asked_of(engine)
        assert (system["role"], message["role"]) == ("system", "user")
        assert "def add(a, b):\n    return a - b\n```" in message["content"]
        assert "lines 4 to 5" in message["content"]
        assert [status["state"] for status in ed.heard.statuses][-2:] == ["busy", "ready"]

    async def test_an_edit_for_that_version_of_the_document(self, ed: Editor, engine: FakeEngine) -> None:
        answering(engine, FIXED)
        asked = params("fix", diagnostics=[{"range": wire(WHOLE), "message": "wrong sign"}])
        result = await ed.request("starcoder/assist", asked)
        (change,) = result["edit"]["documentChanges"]
        assert change["textDocument"] == {"uri": URI, "version": 1}
        (edit,) = change["edits"]
        assert edit["range"] == {
            "start": {"line": 3, "character": 0},
            "end": {"line": 4, "character": 16},
        }
        assert edit["newText"] == "def add(a, b):\n    return a + b"
        note = result["edit"]["changeAnnotations"][edit["annotationId"]]
        assert note["needsConfirmation"] is True
        assert result["note"] is None
        assert "wrong sign" in asked_of(engine)[-1]["content"]

    async def test_no_code_block_no_edit_and_the_reason(self, ed: Editor, engine: FakeEngine) -> None:
        answering(engine, "I would rather not.")
        result = await ed.request("starcoder/assist", params("edit", question="Use sum()."))
        assert result["edit"] is None
        assert "no code block" in result["note"]

    async def test_a_document_that_has_moved_on_is_not_edited(self, ed: Editor, engine: FakeEngine) -> None:
        pause = Pause()
        answering(engine, "Well: ", pause, FIXED)
        asked = ed.request("starcoder/assist", params("fix"))
        await pause.reached.wait()
        ed.type(types.Position(0, 0), "# new\n")
        await ed.texts(types.Position(1, 0), uri="file:///project/none.py")  # the edit has arrived
        pause.resume()
        result = await asked
        assert result["edit"] is None
        assert "changed meanwhile" in result["note"]

    async def test_a_cursor_means_the_function_around_it(self, ed: Editor, engine: FakeEngine) -> None:
        answering(engine, '```python\n"""Add."""\n```')
        result = await ed.request("starcoder/assist", params("document", AT_ADD))
        (edit,) = result["edit"]["documentChanges"][0]["edits"]
        assert edit["newText"] == '    """Add."""\n'
        assert edit["range"]["start"] == edit["range"]["end"] == {"line": 4, "character": 0}

    async def test_line_ends_and_columns_are_the_documents(self, ed: Editor, engine: FakeEngine) -> None:
        uri = "file:///project/b.py"
        ed.open("def f():\r\n    return '𝔘'\r\n║", uri=uri)
        answering(engine, "```python\ndef f():\n    return 1\n```")
        asked = params("edit", question="One.") | {"textDocument": {"uri": uri}}
        del asked["range"]
        result = await ed.request("starcoder/assist", asked)
        (edit,) = result["edit"]["documentChanges"][0]["edits"]
        assert edit["newText"] == "def f():\r\n    return 1"
        # The whole document, of which the last line is empty.
        assert edit["range"]["end"] == {"line": 2, "character": 0}


class TestConversations:
    async def test_what_was_said_is_told_again_until_it_is_forgotten(
        self, ed: Editor, engine: FakeEngine
    ) -> None:
        answering(engine, "It adds.")
        first = await ed.request("starcoder/assist", params("explain"))
        known = {"kind": "ask", "question": "And now?", "conversation": first["conversation"]}
        second = await ed.request("starcoder/assist", known)
        assert second["conversation"] == first["conversation"]
        assert [each["role"] for each in asked_of(engine)] == ["system", "user", "assistant", "user"]
        assert asked_of(engine)[2]["content"] == "It adds."
        # What was around the code is not told twice.
        assert "import os" not in asked_of(engine)[1]["content"]

        await ed.command("starcoder.forgetConversations", first["conversation"])
        third = await ed.request("starcoder/assist", known)
        assert third["conversation"] != first["conversation"]
        assert len(asked_of(engine)) == 2

    async def test_a_question_that_was_cancelled(self, ed: Editor, engine: FakeEngine) -> None:
        answering(engine, "The be", Pause())
        asked = ed.request("starcoder/assist", params("explain"), message_id="m")
        await ed.heard.wait(lambda: bool(ed.heard.answers))
        ed.cancel("m")
        with pytest.raises(JsonRpcException, match="cancel"):
            await asked
        await asyncio.wait_for(engine.abandoned.get(), 30)
        assert engine.n_finished == 0


class TestExclusions:
    async def test_a_secret_file_is_never_sent(self, ed: Editor, engine: FakeEngine) -> None:
        uri = "file:///project/.env"
        ed.open("TOKEN=hush║", uri=uri)
        document = {"textDocument": {"uri": uri}}
        with pytest.raises(JsonRpcException, match="is excluded"):
            await ed.request("starcoder/assist", {"kind": "explain", **document})
        assert engine.requests == []
        result = await ed.request("starcoder/assist", {"kind": "ask", "question": "Why?", **document})
        assert "is excluded" in result["note"]
        assert "hush" not in str(engine.requests)

    async def test_nothing_is_offered_in_one(self, ed: Editor) -> None:
        uri = "file:///project/.env"
        ed.open("TOKEN=hush║", uri=uri)
        assert await titles(ed, uri=uri) == []


BAD = [
    ({"kind": "sing"}, "known are ask"),
    ({"kind": "ask"}, "a question is needed"),
    ({"kind": "explain"}, "a textDocument is needed"),
    ({"kind": "explain", "textDocument": {"uri": "file:///project/none.py"}}, "not an open document"),
    (params("explain") | {"range": {"start": 1}}, "range must be"),
    (params("fix", diagnostics=[{"message": "m"}]), "diagnostics must be"),
    (None, "a question is needed"),
]


class TestErrors:
    @pytest.mark.parametrize(("asked", "words"), BAD)
    async def test_a_bad_request_says_what_is_wrong(self, ed: Editor, asked: Any, words: str) -> None:
        with pytest.raises(JsonRpcException, match=words):
            await ed.request("starcoder/assist", asked)

    async def test_an_engine_that_is_not_there(self, tmp_path: Path) -> None:
        options = {"engine": {"url": "http://127.0.0.1:9"}}
        async with editor(options, home=tmp_path, experimental={"starcoder": True}) as ed:
            with pytest.raises(JsonRpcException, match="cannot be reached"):
                await ed.request("starcoder/assist", {"kind": "ask", "question": "Why?"})


async def actions(ed: Editor, place: types.Range = WHOLE, **more: Any) -> list[dict[str, Any]]:
    uri = more.pop("uri", URI)
    context = {"diagnostics": [], **more}
    asked = {"textDocument": {"uri": uri}, "range": wire(place), "context": context}
    found: list[dict[str, Any]] = await ed.request("textDocument/codeAction", asked)
    return [each for each in found if "ssist" in each["command"]["command"]]


async def titles(ed: Editor, place: types.Range = WHOLE, **more: Any) -> list[str]:
    return [each["title"] for each in await actions(ed, place, **more)]


DIAGNOSTICS = [
    {"range": wire(WHOLE), "message": "wrong sign", "source": "judge"},
    {"range": wire(WHOLE), "message": "a copy", "source": SOURCE_OF_COPIES},
]


class TestActions:
    async def test_a_selection_can_be_asked_about(self, ed: Editor) -> None:
        assert await titles(ed) == ["Explain", "Document", "Write a test", "Ask…"]

    async def test_a_diagnostic_can_be_fixed(self, ed: Editor) -> None:
        first, *_ = await actions(ed, diagnostics=DIAGNOSTICS)
        assert first["title"] == "Fix this diagnostic: wrong sign"
        assert first["command"]["command"] == "starcoder.assist"
        (argument,) = first["command"]["arguments"]
        assert (argument["kind"], argument["uri"]) == ("fix", URI)
        assert argument["diagnostics"][0]["message"] == "wrong sign"
        assert first["diagnostics"][0]["message"] == "wrong sign"

    async def test_a_moving_cursor_lights_no_lamp(self, ed: Editor) -> None:
        assert await titles(ed, AT_ADD, triggerKind=2) == []
        assert len(await titles(ed, AT_ADD, triggerKind=1)) == 4
        assert len(await titles(ed, AT_ADD, triggerKind=2, diagnostics=DIAGNOSTICS)) == 1

    async def test_only_what_is_wanted(self, ed: Editor) -> None:
        assert await titles(ed, only=["quickfix"], diagnostics=DIAGNOSTICS) == [
            "Fix this diagnostic: wrong sign"
        ]
        assert len(await titles(ed, only=["refactor"], diagnostics=DIAGNOSTICS)) == 4
        assert await titles(ed, only=["source"]) == []


class TestOtherEditors:
    async def test_the_server_shows_the_answer_and_offers_the_edit(
        self, engine: FakeEngine, tmp_path: Path
    ) -> None:
        answering(engine, FIXED)
        async with editor(engine.options(), home=tmp_path, shows_documents=True) as ed:
            ed.open(SOURCE + "║")
            found = {each["title"]: each["command"] for each in await actions(ed, diagnostics=DIAGNOSTICS)}
            assert list(found) == [
                "Fix this diagnostic: wrong sign",
                "Explain",
                "Document",
                "Write a test",
            ]
            command = found["Fix this diagnostic: wrong sign"]
            result = await ed.command(command["command"], *command["arguments"])
            assert result["text"] == FIXED
            (offered,) = ed.heard.edits
            assert offered.edit.changes is not None
            (edit,) = offered.edit.changes[URI]
            assert edit.new_text.endswith("a + b")
            (shown,) = ed.heard.shown
            path = Path(shown.uri.removeprefix("file://"))
            assert FIXED in path.read_text(encoding="utf-8")
            assert ed.heard.answers == []
        assert not path.exists()

    async def test_an_editor_that_shows_no_documents_gets_a_message(
        self, engine: FakeEngine, tmp_path: Path
    ) -> None:
        answering(engine, "It adds.")
        async with editor(engine.options(), home=tmp_path) as ed:
            ed.open(SOURCE + "║")
            await ed.command("starcoder.runAssist", {"kind": "explain", "uri": URI, "range": wire(WHOLE)})
            await ed.heard.wait(lambda: any("It adds." in each for each in ed.heard.messages))


class TestAttribution:
    async def test_what_could_not_be_checked_is_withheld_where_the_user_wants_that(
        self, engine: FakeEngine, tmp_path: Path
    ) -> None:
        answering(engine, FIXED)
        options = engine.options() | {
            "attribution": {"onMatch": "block", "index": str(tmp_path / "no index")}
        }
        async with editor(options, home=tmp_path, experimental={"starcoder": True}) as ed:
            ed.open(SOURCE + "║")
            result = await ed.request("starcoder/assist", params("fix"))
        assert "a + b" not in result["text"]
        assert result["text"].startswith("It subtracts.\n\n```python\n(not checked")
        assert result["edit"] is None
        assert result["note"].startswith("not checked")
        assert [each["text"] for each in ed.heard.answers] == [result["text"]]

    async def test_code_that_is_a_copy_names_its_source(
        self, engine: FakeEngine, index: Path, tmp_path: Path
    ) -> None:
        answering(engine, f"𝔘se this:\n\n```python\n{COPIED}```\n\nOr this:\n\n```python\n{NEW}```\n")
        options = engine.options() | {"attribution": {"index": str(index)}}
        async with editor(options, home=tmp_path, experimental={"starcoder": True}) as ed:
            result = await ed.request("starcoder/assist", {"kind": "ask", "question": "How?"})
        (found,) = result["references"]
        assert (found["name"], found["license"], found["path"]) == (
            "alice/gate",
            "MIT",
            "lsp/completion/type_through.py",
        )
        span = found["span"]
        units = result["text"].encode("utf-16-le")
        copied = units[2 * span["start"] : 2 * span["end"]].decode("utf-16-le")
        assert copied.strip() == COPIED.strip()

    async def test_a_copy_is_withheld_where_the_user_wants_that(
        self, engine: FakeEngine, index: Path, tmp_path: Path
    ) -> None:
        answering(engine, f"This:\n\n```python\n{COPIED}", f"```\n\nOr:\n\n```python\n{NEW}```\n")
        options = engine.options() | {"attribution": {"index": str(index), "onMatch": "block"}}
        async with editor(options, home=tmp_path, experimental={"starcoder": True}) as ed:
            result = await ed.request("starcoder/assist", {"kind": "ask", "question": "How?"})
            known = {"kind": "ask", "question": "Again?", "conversation": result["conversation"]}
            await ed.request("starcoder/assist", known)
        assert "(blocked by attribution: MIT · alice/gate)" in result["text"]
        assert COPIED not in result["text"]
        assert NEW in result["text"]
        assert COPIED not in str(ed.heard.answers)
        assert COPIED not in asked_of(engine)[2]["content"]
