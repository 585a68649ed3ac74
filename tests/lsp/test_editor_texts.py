"""Texts as editors have them: encodings, line ends, notebooks, secret files, other open files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor, editor
from tests.lsp.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-32"], "utf-32"),
        (["utf-16", "utf-8"], "utf-16"),
    ],
)
async def test_positions_around_emoji_in_every_encoding(
    engine: FakeEngine, tmp_path: Path, offered: list[str] | None, chosen: str
) -> None:
    engine.answer = lambda body: [" + suffix"]
    async with editor(engine.options(), home=tmp_path, encodings=offered) as ed:
        assert ed.encoding == chosen
        at = ed.open('smile = "🎉é漢" ║\n')
        at = ed.type(at, "+ '😋'")
        (item,) = await ed.items(at)
        assert item["range"]["start"] == {"line": 0, "character": at.character}
    assert engine.requests[0]["prompt"] == "smile = \"🎉é漢\" + '😋'"


async def test_a_crlf_document_is_asked_for_in_lf_and_gets_crlf(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: ["a = 1\n    return a"]
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("def f():\r\n    ║\r\n\r\nf()\r\n")
        (item,) = await ed.items(at)
        assert item["insertText"] == "a = 1\r\n    return a"
        # Typing on through the line end keeps the suggestion.
        assert await ed.texts(ed.type(at, "a = 1\r\n    re"), kind=2) == ["turn a"]
    (body,) = engine.requests
    assert (body["prompt"], body["suffix"]) == ("def f():\n    ", "\n\nf()\n")


async def test_incremental_edits_are_what_the_engine_sees(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("total = 0\nfor x in xs:\n    ║\n")
        at = ed.type(at, "total += x\nprint(")
        await ed.items(at)
    assert engine.requests[0]["prompt"] == "total = 0\nfor x in xs:\n    total += x\nprint("


def notebook(ed: Editor, cells: list[tuple[int, str, str]]) -> None:
    """Open a notebook of (kind, language, text) cells with the URIs nb#0, nb#1, …"""
    uris = [f"vscode-notebook-cell:/project/nb.ipynb#{number}" for number in range(len(cells))]
    ed.client.notebook_document_did_open(
        types.DidOpenNotebookDocumentParams(
            notebook_document=types.NotebookDocument(
                uri="file:///project/nb.ipynb",
                notebook_type="jupyter-notebook",
                version=1,
                cells=[
                    types.NotebookCell(kind=types.NotebookCellKind(kind), document=uri)
                    for uri, (kind, _, _) in zip(uris, cells, strict=True)
                ],
            ),
            cell_text_documents=[
                types.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
                for uri, (_, language, text) in zip(uris, cells, strict=True)
            ],
        )
    )


async def test_the_earlier_cells_of_a_notebook_are_context_and_the_later_ones_are_not(
    engine: FakeEngine, tmp_path: Path
) -> None:
    code, markdown = 2, 1
    cells = [
        (code, "python", "import numpy as np\n"),
        (markdown, "markdown", "# Load\nthe data\n"),
        (code, "shellscript", "ls\n"),
        (code, "python", "data = np.load('x')"),
        (code, "python", "mean = "),
        (code, "python", "later = 1"),
    ]
    async with editor(engine.options(), home=tmp_path) as ed:
        notebook(ed, cells)
        uri = "vscode-notebook-cell:/project/nb.ipynb#4"
        await ed.items(types.Position(0, 7), uri=uri)
        # An edit of a cell comes by notebookDocument/didChange.
        change: dict[str, Any] = {
            "notebookDocument": {"uri": "file:///project/nb.ipynb", "version": 2},
            "change": {
                "cells": {
                    "textContent": [
                        {
                            "document": {"uri": uri, "version": 2},
                            "changes": [
                                {
                                    "range": {
                                        "start": {"line": 0, "character": 7},
                                        "end": {"line": 0, "character": 7},
                                    },
                                    "text": "data.",
                                }
                            ],
                        }
                    ]
                }
            },
        }
        ed.notify("notebookDocument/didChange", change)
        await ed.items(types.Position(0, 12), uri=uri)
    above = "import numpy as np\n\n# # Load\n# the data\n\ndata = np.load('x')\n\n"
    assert [body["prompt"] for body in engine.requests] == [f"{above}mean = ", f"{above}mean = data."]
    assert engine.requests[0]["suffix"] == ""


async def test_secret_and_ignored_files_never_reach_the_engine(engine: FakeEngine, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / ".git").mkdir()
    (work / ".gitignore").write_text("generated/\n")
    async with editor(engine.options(disabledLanguages=["markdown"]), home=tmp_path, folder=work) as ed:
        cases = {
            ".env": ("plaintext", "exclude.globs"),
            "generated/a.py": ("python", ".gitignore"),
            "notes.md": ("markdown", "disabledLanguages"),
        }
        for name, (language, reason) in cases.items():
            uri = (work / name).as_uri()
            at = ed.open(
                "SECRET_VALUE = compute_secret_value()\nsecond_line = SECRET_VALUE\n║\n",
                uri=uri,
                language=language,
            )
            assert await ed.items(at, uri=uri) == []
            status = await ed.heard.state("excluded")
            assert reason in status["message"]
        assert engine.requests == []
        # Nor as context of another file.
        uri = (work / "b.py").as_uri()
        at = ed.open("SECRET_VALUE = compute_secret_value()\nsecond_line = ║\n", uri=uri)
        assert await ed.texts(at, uri=uri) == ["pass"]
        await ed.heard.state("ready")
    (body,) = engine.requests
    assert "generated" not in str(body)
    assert ".env" not in str(body)


async def test_other_open_files_are_context(engine: FakeEngine, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    options = engine.options()
    options["engine"]["fimTemplate"] = "starcoder"
    async with editor(options, home=tmp_path, folder=work) as ed:
        ed.open(
            "class RateLimiter:\n    def acquire_token(self, bucket_name):\n        return bucket_name\n║",
            uri=(work / "limits.py").as_uri(),
        )
        uri = (work / "main.py").as_uri()
        at = ed.open("from limits import RateLimiter\nlimiter = RateLimiter()\nlimiter.║\n", uri=uri)
        await ed.items(at, uri=uri)
    prompt = engine.requests[-1]["prompt"]  # what comes before proves that the server completes
    assert "acquire_token" in prompt
    assert "limits.py" in prompt
    assert str(tmp_path) not in prompt


async def test_a_file_of_100_000_lines(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        half = "    value = compute(1, 2, 3)  # a line\n" * 50_000
        at = ed.open(half + "x = ║\n" + half)
        assert await ed.texts(at) == ["pass"]
    (body,) = engine.requests
    assert len(body["prompt"]) + len(body["suffix"]) < 50_000
    assert body["prompt"].endswith("# a line\nx = ")
