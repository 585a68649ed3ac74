"""`starcoder.checkAttribution` and `attributionSource` through the real server and a real index."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from attribution.match.portrait import build_portrait
from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from tests.lsp.editor import Editor, cursor, editor
from tests.lsp.indexed import FILES, NEW, REVISION, build_index, documents, excerpt, options, text_of
from tests.lsp.server.test_completion_requests import documented

URI = "file:///project/a.py"
COPIED = excerpt("lsp/completion/type_through.py", "def type_through", "def _typed")
SHORT = excerpt("lsp/completion/type_through.py", "def _same_end", "def _closed_by_editor")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("attribution") / "index")


async def check(ed: Editor, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = await ed.command("starcoder.checkAttribution", {"uri": URI, **arguments})
    return result


def position(text: str, encoding: str = "utf-16") -> dict[str, int]:
    """The position at the end of a text."""
    at = cursor(text + "║", encoding)[1]
    return {"line": at.line, "character": at.character}


async def test_an_indexed_excerpt_is_found_with_its_source_and_licence(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        before = "import sys\n\n\n"
        ed.open(f"║{before}{COPIED}\n\n{NEW}")
        place = {"start": position(before), "end": position(before + COPIED)}
        result = await check(ed, range=place)
    lines = text_of("lsp/completion/type_through.py")
    first = lines[: lines.index(COPIED)].count("\n") + 1
    last = first + COPIED.count("\n") - 1
    assert result["uri"] == URI
    assert result["version"] == 1
    assert result["checked"] == place
    assert result["searched"] == {"kind": "index", "index": str(index), "documents": len(FILES)}
    (match,) = result["matches"]
    # From the first word to the last mark: the line end is no token.
    assert match["range"] == {"start": position(before), "end": position(before + COPIED[:-1])}
    assert (match["kind"], match["similarity"], match["alsoIn"]) == ("exact", 1.0, 0)
    assert match["source"] == {
        "repository": "alice/gate",
        "path": "lsp/completion/type_through.py",
        "revision": REVISION,
        "license": "MIT",
        "url": f"https://example.com/alice/gate/blob/{REVISION}/lsp/completion/type_through.py#L{first}-L{last}",
        "startLine": first,
        "endLine": last,
    }
    assert "alice/gate, lsp/completion/type_through.py" in result["message"]
    assert "MIT" in result["message"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_ranges_are_exact_whatever_the_line_ends_and_units(
    index: Path, tmp_path: Path, encoding: str, end: str
) -> None:
    before = '"😀 größer"\nx = "🙈"; '.replace("\n", end)
    # From the middle of the document's second line to the middle of its last.
    copied = " ".join(SHORT.splitlines()).strip().replace("    ", f"{end}    ")
    async with editor(options(index), home=tmp_path, encodings=[encoding]) as ed:
        assert ed.encoding == encoding
        ed.open(f"║{before}{copied} # 🦊{end}")
        whole = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
        result = await check(ed, range=whole)
    (match,) = result["matches"]
    assert match["kind"] == "reformatted"
    assert match["range"] == {
        "start": position(before, encoding),
        "end": position(before + copied, encoding),
    }


async def test_new_code_is_not_found_and_the_answer_says_where_it_was_looked_for(
    index: Path, tmp_path: Path
) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        ed.open("║" + NEW)
        result = await check(ed)
        assert result["matches"] == []
        assert result["message"] == (
            f"not found in {len(FILES)} files of {index} "
            "(the index is not the training set of this model, which is not known here)"
        )
        await ed.heard.wait(lambda: result["message"] in ed.heard.messages)
        assert URI not in ed.heard.diagnostics


async def test_without_a_selection_the_block_around_the_cursor_is_checked(
    index: Path, tmp_path: Path
) -> None:
    text = f"{NEW}\n\n{COPIED}\n\n{NEW.replace('tariff', 'postage')}"
    inside = text[: text.index("closed = _closed")]
    async with editor(options(index), home=tmp_path) as ed:
        ed.open("║" + text)
        at = position(inside)
        result = await check(ed, position=at)
        empty = await check(ed, range={"start": at, "end": at})
    assert result["matches"][0]["source"]["repository"] == "alice/gate"
    checked = result["checked"]
    assert checked["start"]["line"] <= at["line"] <= checked["end"]["line"]
    first = text[: text.index(COPIED)].count("\n")
    assert first <= checked["start"]["line"]
    assert checked["end"]["line"] <= first + COPIED.count("\n")
    assert empty["checked"] == checked


async def test_a_short_selection_counts_if_all_of_it_is_copied(index: Path, tmp_path: Path) -> None:
    line = (
        "    closed = _closed_by_editor(to_lf(offer.state.after), to_lf(now.after), typed, edited=edited)\n"
    )
    assert line in COPIED
    async with editor(options(index), home=tmp_path) as ed:
        ed.open(f"║{line}x = 1\n")
        (match,) = (await check(ed, range={"start": position(""), "end": position(line)}))["matches"]
        assert match["kind"] == "exact"
        assert match["tokens"] == 26
        result = await check(ed, range={"start": position(line), "end": position(line + "x = 1")})
        assert "too few" in result["message"]


async def test_a_text_of_no_document(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        result = await check(ed, uri="", text=COPIED)
        (match,) = result["matches"]
        assert match["range"] is None
        assert result["checked"] is None
        assert result["version"] is None
        assert not ed.heard.diagnostics


async def test_a_notebooks_cell(index: Path, tmp_path: Path) -> None:
    cells = {"cell:1": "import math\n", "cell:2": "x = '😀'\n" + SHORT}
    async with editor(options(index), home=tmp_path) as ed:
        ed.client.notebook_document_did_open(
            types.DidOpenNotebookDocumentParams(
                notebook_document=types.NotebookDocument(
                    uri="file:///n.ipynb",
                    notebook_type="jupyter-notebook",
                    version=1,
                    cells=[
                        types.NotebookCell(kind=types.NotebookCellKind.Code, document=uri) for uri in cells
                    ],
                ),
                cell_text_documents=[
                    types.TextDocumentItem(uri=uri, language_id="python", version=1, text=text)
                    for uri, text in cells.items()
                ],
            )
        )
        result = await check(ed, uri="cell:2")
        (match,) = result["matches"]
        assert match["range"]["start"] == {"line": 1, "character": 0}
        assert match["range"]["end"] == position(cells["cell:2"][:-1])
        await ed.heard.wait(lambda: bool(ed.heard.diagnostics.get("cell:2")))


async def test_the_source_of_a_match(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        (match,) = (await check(ed, text=COPIED))["matches"]
        source = await ed.command("starcoder.attributionSource", {"id": match["id"]})
        assert source["text"] == text_of("lsp/completion/type_through.py")
        assert source["name"] == "alice/gate/lsp/completion/type_through.py"
        assert source["license"] == "MIT"
        assert {key: source[key] for key in ("startLine", "endLine", "url")} == {
            key: match["source"][key] for key in ("startLine", "endLine", "url")
        }
        assert await ed.command("starcoder.attributionSource", {"id": "match-999"}) is None


async def test_a_missing_index_is_a_message_with_the_command_that_builds_one(tmp_path: Path) -> None:
    async with editor(options(tmp_path / "none"), home=tmp_path) as ed:
        result = await check(ed, text=COPIED)
        assert result["searched"] == {"kind": "none", "index": str(tmp_path / "none"), "documents": 0}
        assert f"starcoder-lsp index build SOURCES… --into {tmp_path / 'none'}" in result["message"]
        await ed.heard.wait(lambda: result["message"] in ed.heard.messages)
        # And once it is there, it is used.
        build_index(tmp_path / "none")
        assert len((await check(ed, text=COPIED))["matches"]) == 1


async def test_the_default_place_and_the_environments(index: Path, tmp_path: Path) -> None:
    default = tmp_path / ".local/share/starcoder-lsp/attribution"
    async with editor(options(None), home=tmp_path) as ed:
        result = await check(ed, text=COPIED)
        assert result["searched"]["index"] == str(default)
        assert result["message"].endswith("starcoder-lsp index build SOURCES…")
        build_index(default)
        assert (await check(ed, text=COPIED))["searched"]["kind"] == "index"
    environment = {"STARCODER_ATTRIBUTION_INDEX": str(index)}
    async with editor(options(None), home=tmp_path, environment=environment) as ed:
        assert (await check(ed, text=COPIED))["searched"]["index"] == str(index)
        status = await ed.command("starcoder.showStatus")
        assert status["attribution"]["documents"] == len(FILES)


async def test_removal_is_honoured_at_once_and_a_rebuilt_index_is_opened_anew(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index")
    async with editor(options(index), home=tmp_path) as ed:
        (match,) = (await check(ed, text=COPIED))["matches"]
        with open_writer(index, create=False) as writer:
            assert writer.remove([OptOut(owner="alice")]).documents == 1
        result = await check(ed, text=COPIED)
        assert result["matches"] == []
        assert result["searched"]["documents"] == len(FILES) - 1
        assert await ed.command("starcoder.attributionSource", {"id": match["id"]}) is None
        shutil.rmtree(index)
        assert (await check(ed, text=COPIED))["searched"]["kind"] == "none"
        build_index(index)
        assert len((await check(ed, text=COPIED))["matches"]) == 1


async def test_a_models_own_portrait_answers_where_there_is_no_index(tmp_path: Path) -> None:
    trained, other = tmp_path / "trained", tmp_path / "other"
    for folder in (trained, other):
        folder.mkdir()
    build_portrait(documents(), trained / "portrait.bin")
    given = {"attribution": {"index": str(tmp_path / "none")}}
    async with editor({"model": str(trained), **given}, home=tmp_path) as ed:
        before = "import os\n\n\n"
        ed.open(f"║{before}{COPIED}\n\n{NEW}")
        result = await check(ed)
        assert result["searched"]["kind"] == "portrait"
        assert f"seen in the training set of {trained}" in result["message"]
        assert "build the full index to see where: starcoder-lsp index build" in result["message"]
        (match,) = result["matches"]
        assert (match["kind"], match["source"]) == ("seen", None)
        assert match["range"]["start"]["line"] >= 3
        assert 0.5 < match["similarity"] < 1
        unseen = await check(ed, text=NEW)
        assert unseen["matches"] == []
        assert "not seen in the training set" in unseen["message"]
        # Another model's portrait is never asked, nor one for the model of a server.
        for settings in (
            {"model": str(other), **given},
            {"model": str(trained), "engine": {"url": "http://127.0.0.1:9"}, **given},
        ):
            ed.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": settings}})
            assert (await check(ed, text=COPIED))["searched"]["kind"] == "none"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "one object is expected"),
        ([{"uri": "file:///project/unknown.py"}], "not an open document"),
        ([{"uri": URI, "range": {"start": 1}}], "as in LSP"),
    ],
)
async def test_arguments_that_make_no_sense(
    index: Path, tmp_path: Path, arguments: list[Any], reason: str
) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        ed.open("x = ║\n")
        with pytest.raises(JsonRpcException, match=reason):
            await ed.command("starcoder.checkAttribution", *arguments)


async def test_the_answer_is_as_documented(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        result = await check(ed, text=COPIED)
        book = await ed.command("starcoder.showLatencyBook")
    names = documented("Attribution")
    assert result.keys() | result["matches"][0].keys() == names
    assert book["attribution"]["byHand"]["count"] == 1
    assert "1 texts by hand looked up" in book["text"]
