"""Nothing secret leaves: by a path of any scheme, by root, by text, by each root's own settings."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp.editor import Editor, editor
from tests.lsp.fake_engine import FakeEngine, Pause

MARKED = "SHARED_VALUE = compute_shared_value()\nsecond_line = ║\n"
# Of a form that only keys have; put together here, so that no scanner finds it in this file.
TOKEN = "gh" + "p_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


@pytest.mark.parametrize(
    "uri",
    [
        "untitled:/home/u/p/.env",
        "untitled:.env",
        "vscode-vfs://github/o/r/.env",
        "vscode-remote://ssh-remote%2Bhost/home/u/p/.env",
        "file:///home/u/c#/.env",
        "file:///home/u/.kube/config",
        "git:/home/u/p/.env?%7B%22ref%22%3A%22~%22%7D",
        "file:///home/u/p/prod.env",
    ],
)
async def test_the_path_decides_whatever_the_scheme(engine: FakeEngine, tmp_path: Path, uri: str) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open(MARKED, uri=uri, language="plaintext")
        assert await ed.items(at, uri=uri) == []
        assert "exclude.globs" in (await ed.heard.state("excluded"))["message"]
        with pytest.raises(JsonRpcException, match="is excluded"):
            await ed.request("starcoder/assist", {"kind": "explain", "textDocument": {"uri": uri}})
        looked_up = await ed.command("starcoder.checkAttribution", {"uri": uri})
        assert "exclude.globs" in looked_up["message"]
        other = ed.open(MARKED)
        assert await ed.texts(other) == ["pass"]
    assert [".env" in str(body) for body in engine.requests] == [False]


async def test_a_text_with_a_secret_is_not_sent_to_a_server(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open(MARKED)
        assert await ed.texts(at) == ["pass"]
        ed.type(types.Position(0, 0), f"token = '{TOKEN}'\n")
        below = types.Position(2, at.character)
        assert await ed.items(below) == []
        assert "line 1 holds a key" in (await ed.heard.state("excluded"))["message"]
        # Nor is any of it context, also when it is closed.
        uri = "file:///project/b.py"
        other = ed.open(MARKED.replace("second", "third"), uri=uri)
        assert await ed.texts(other, uri=uri) == ["pass"]
        ed.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier("file:///project/a.py"))
        )
        assert await ed.texts(ed.type(other, "x + ", uri=uri), uri=uri) == ["pass"]
    assert len(engine.requests) == 3
    assert TOKEN not in str(engine.requests)


async def test_each_root_has_its_own_settings_and_their_edits_count(
    engine: FakeEngine, tmp_path: Path
) -> None:
    names = count()
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "private").mkdir(parents=True)
        (folder / ".git").mkdir()
    (second / ".starcoder.toml").write_text('[exclude]\nglobs = ["private/"]\n', encoding="utf-8")

    async def is_completed(ed: Editor, folder: Path) -> bool:
        uri = (folder / "private" / f"{next(names)}.py").as_uri()  # a new one: earlier answers are kept
        return bool(await ed.items(ed.open(MARKED, uri=uri), uri=uri))

    async with editor(engine.options(), home=tmp_path, folder=first) as ed:
        assert not await is_completed(ed, second)
        added: dict[str, Any] = {"added": [{"uri": second.as_uri(), "name": "second"}], "removed": []}
        ed.notify("workspace/didChangeWorkspaceFolders", {"event": added})
        assert not await is_completed(ed, second)
        assert await is_completed(ed, first)
        text = '[exclude]\nglobs = ["/private/"]\n[completion]\nmaxNewTokens = 9\n'
        (first / ".starcoder.toml").write_text(text, encoding="utf-8")
        assert not await is_completed(ed, first)
        (first / ".starcoder.toml").write_text("[completion]\nmaxNewTokens = 9\n", encoding="utf-8")
        assert await is_completed(ed, first)
    assert [body["max_tokens"] for body in engine.requests] == [64, 9]


@pytest.mark.parametrize("version", [{"version": None}, {}], ids=["null", "missing"])
async def test_a_change_without_a_version_is_applied(
    engine: FakeEngine, tmp_path: Path, version: dict[str, None]
) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        change = {"range": {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}}
        ed.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": "file:///project/a.py", **version},
                "contentChanges": [{**change, "text": "y + "}],
            },
        )
        await ed.items(types.Position(0, at.character + 4))
    assert engine.requests[0]["prompt"] == "x = y + "


async def test_a_closed_document_ends_its_stream_at_once(engine: FakeEngine, tmp_path: Path) -> None:
    pause = Pause()
    engine.answer = lambda body: ["pa", pause, "ss"]
    async with editor(engine.options(), home=tmp_path) as ed:
        asked = ed.ask(ed.open("x = ║\n"))
        await pause.reached.wait()
        ed.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier("file:///project/a.py"))
        )
        await engine.abandoned.get()
        assert await asked == {"items": []}
