"""Diagnostics of matches and what can be done about them, in the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from tests.attribution.samples import document, index_of
from tests.lsp.editor import Editor, editor
from tests.lsp.indexed import NEW, REVISION, ROOT, build_index, excerpt, options, text_of

URI = "file:///project/a.py"
PATH = "lsp/completion/type_through.py"
COPIED = excerpt(PATH, "def type_through", "def _typed")
SHAPE = excerpt("attribution/tokens/shape.py", "def _is_keyword", "@cache")
FIRST = text_of(PATH).partition(COPIED)[0].count("\n") + 1
LAST = FIRST + COPIED.count("\n") - 1
# What follows the excerpt is not what follows it in its file, or the match would go on.
TEXT = f"import sys\n\n\n{COPIED}X = 1\n{NEW}Y = 1\n{SHAPE}"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("attribution") / "index")


async def marked(ed: Editor, text: str = TEXT, *, uri: str = URI, language: str = "python") -> list[Any]:
    """Open a text, check all of it, and wait for its diagnostics; they come in the text's order."""
    ed.open("║" + text, uri=uri, language=language)
    await ed.command("starcoder.checkAttribution", {"uri": uri})
    await ed.heard.wait(lambda: bool(ed.heard.diagnostics.get(uri)))
    return sorted(ed.heard.diagnostics[uri], key=lambda diagnostic: diagnostic.range.start.line)


async def actions(ed: Editor, line: int, *, uri: str = URI, **context: Any) -> list[dict[str, Any]]:
    at = {"line": line, "character": 0}
    params = {
        "textDocument": {"uri": uri},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [], **context},
    }
    found: list[dict[str, Any]] = await ed.request("textDocument/codeAction", params)
    return found


async def run(ed: Editor, action: dict[str, Any]) -> None:
    await ed.command(action["command"]["command"], *action["command"]["arguments"])


def titled(found: list[dict[str, Any]], beginning: str) -> dict[str, Any]:
    (action,) = (action for action in found if action["title"].startswith(beginning))
    return action


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n")


async def test_matches_are_diagnostics_with_code_and_link(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        first, second = await marked(ed)
    assert first.severity == types.DiagnosticSeverity.Information
    assert (first.source, first.code) == ("starcoder attribution", "exact")
    assert first.code_description.href.startswith(f"https://example.com/alice/gate/blob/{REVISION}/lsp/")
    assert first.message.endswith(
        f"tokens as in alice/gate, lsp/completion/type_through.py:{FIRST}-{LAST}: MIT"
    )
    assert first.range.start.line == line_of(TEXT, COPIED)
    assert "BSD-3-Clause" in second.message
    assert second.range.start.line == line_of(TEXT, SHAPE)
    assert first.related_information is None


async def test_an_edit_takes_away_what_it_touches_and_moves_the_rest(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        _, second = await marked(ed)
        ed.type(types.Position(line_of(TEXT, "    remainder ="), 4), "x = 1\n    ")
        await ed.heard.wait(lambda: len(ed.heard.diagnostics[URI]) == 1)
        (left,) = ed.heard.diagnostics[URI]
        assert left.message == second.message
        assert left.range.start.line == second.range.start.line + 1
        ed.type(types.Position(0, 0), "\n\n")
        await ed.heard.wait(
            lambda: ed.heard.diagnostics[URI][0].range.start.line == second.range.start.line + 3
        )
        ed.type(left.range.start, "# mine")
        ed.type(types.Position(second.range.start.line + 3, 0), "#")
        await ed.heard.wait(lambda: not ed.heard.diagnostics[URI])


async def test_closing_a_document_and_a_check_that_finds_nothing_clear_them(
    index: Path, tmp_path: Path
) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        await marked(ed)
        ed.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri=URI))
        )
        await ed.heard.wait(lambda: not ed.heard.diagnostics[URI])
        await marked(ed)
        place = {"start": {"line": line_of(TEXT, NEW), "character": 0}}
        place["end"] = {"line": place["start"]["line"] + 4, "character": 0}
        await ed.command("starcoder.checkAttribution", {"uri": URI, "range": place})
        await ed.heard.wait(lambda: not ed.heard.diagnostics[URI])


@pytest.mark.parametrize(
    ("language", "name", "text", "comment"),
    [
        (
            "python",
            "a.py",
            "class Gate:\n    " + "\n    ".join(COPIED.splitlines()) + "\n",
            "    # Source: alice/gate, LINES (revision 0123abc), license: MIT, https://…\n",
        ),
        (
            "javascript",
            "a.js",
            f"// @ts-check\r\n\t{COPIED.replace(chr(10), chr(13) + chr(10))}",
            "\t// Source: alice/gate, LINES (revision 0123abc), license: MIT, https://…\r\n",
        ),
        (
            "html",
            "a.html",
            f"<!doctype html>\n<pre>\n{COPIED}</pre>\n",
            "<!-- Source: alice/gate, LINES (revision 0123abc), license: MIT, https://… -->\n",
        ),
        (
            "html",
            "b.html",
            f"<!doctype html>\n<script>\n  {COPIED}</script>\n",
            "  // Source: alice/gate, LINES (revision 0123abc), license: MIT, https://…\n",
        ),
        (
            "css",
            "a.css",
            f"p {{}}\n{COPIED}",
            "/* Source: alice/gate, LINES (revision 0123abc), license: MIT, https://… */\n",
        ),
        (
            "emacs-lisp",
            "a.el",
            f"\n  {COPIED}",
            "  ;; Source: alice/gate, LINES (revision 0123abc), license: MIT, https://…\n",
        ),
        (
            "sql",
            "a.sql",
            f"select 1;\n{COPIED}",
            "-- Source: alice/gate, LINES (revision 0123abc), license: MIT, https://…\n",
        ),
    ],
)
async def test_a_comment_above_the_match_in_the_files_own_syntax(
    index: Path, tmp_path: Path, language: str, name: str, text: str, comment: str
) -> None:
    uri = f"file:///project/{name}"
    address = (
        f"https://example.com/alice/gate/blob/{REVISION}/lsp/completion/type_through.py#L{FIRST}-L{LAST}"
    )
    lines = f"lsp/completion/type_through.py:{FIRST}-{LAST}"
    async with editor(options(index), home=tmp_path) as ed:
        (diagnostic,) = await marked(ed, text, uri=uri, language=language)
        action = titled(await actions(ed, diagnostic.range.start.line, uri=uri), "Say in a comment")
        assert action["diagnostics"][0]["code"] == diagnostic.code
        (edit,) = action["edit"]["changes"][uri]
        line = line_of(text, "def type_through")
        at = {"line": line, "character": 0}
        assert edit["range"] == {"start": at, "end": at}
        assert edit["newText"] == comment.replace("https://…", address).replace("LINES", lines)
        # Applied, the match is labelled and its diagnostic gone.
        ed.type(types.Position(line, 0), edit["newText"], uri=uri)
        await ed.heard.wait(lambda: not ed.heard.diagnostics[uri])


async def test_a_language_without_comments_gets_none(index: Path, tmp_path: Path) -> None:
    uri = "file:///project/a.json"
    async with editor(options(index), home=tmp_path) as ed:
        await marked(ed, COPIED, uri=uri, language="json")
        titles = [action["title"] for action in await actions(ed, 0, uri=uri)]
    assert not any(title.startswith("Say in a comment") for title in titles)
    assert any(title.startswith("Show the licence") for title in titles)


async def test_the_licence_is_shown_with_its_page_and_origin(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        first, second = await marked(ed)
        for diagnostic, spdx, whose in (
            (first, "MIT", "alice/gate"),
            (second, "BSD-3-Clause", "erin/shapes"),
        ):
            action = titled(await actions(ed, diagnostic.range.start.line), "Show the licence")
            assert action["title"] == f"Show the licence: {spdx}"
            await run(ed, action)
            (message,) = (message for message in ed.heard.messages if message.startswith(spdx))
            assert f"https://spdx.org/licenses/{spdx}.html" in message
            assert whose in message
            assert REVISION in message


async def test_the_source_is_opened_by_its_address_or_as_a_text_that_cannot_be_written(
    index: Path, tmp_path: Path
) -> None:
    async with editor(options(index), home=tmp_path, shows_documents=True) as ed:
        (first, _) = await marked(ed)
        found = await actions(ed, first.range.start.line)
        await run(ed, titled(found, "Open alice/gate"))
        (shown,) = ed.heard.shown
        assert (shown.uri, shown.external) == (first.code_description.href, True)
        await run(ed, titled(found, "Show the indexed text of lsp/completion/type_through.py"))
        text = ed.heard.shown[1]
        path = Path(text.uri.removeprefix("file://"))
        assert path.name == "type_through.py"
        assert path.read_text(encoding="utf-8") == text_of(PATH)
        assert path.stat().st_mode & 0o777 == 0o400
        assert text.selection == types.Range(types.Position(FIRST - 1, 0), types.Position(LAST, 0))
    assert not path.exists(), "taken away at the end"


async def test_editors_that_cannot_show_documents_get_the_address(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path) as ed:
        (first, _) = await marked(ed)
        found = await actions(ed, first.range.start.line)
        await run(ed, titled(found, "Open alice/gate"))
        assert any(first.code_description.href in message for message in ed.heard.messages)


async def test_a_source_that_was_removed_meanwhile_is_not_shown(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index")
    async with editor(options(index), home=tmp_path, shows_documents=True) as ed:
        (first, _) = await marked(ed)
        found = await actions(ed, first.range.start.line)
        with open_writer(index, create=False) as writer:
            writer.remove([OptOut(repository="alice/gate")])
        await run(ed, titled(found, "Show the indexed text"))
        assert not ed.heard.shown
        assert any("not in the index any more" in message for message in ed.heard.messages)


async def test_a_source_that_lies_in_the_workspace_is_related_and_opened_itself(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index_of(
        index,
        [document("me/mine", PATH, text_of(PATH))],
    )
    async with editor(options(index), home=tmp_path, shows_documents=True, folder=ROOT) as ed:
        (diagnostic,) = await marked(ed, COPIED)
        (related,) = diagnostic.related_information
        assert related.location.uri == (ROOT / PATH).as_uri()
        assert related.location.range.start == types.Position(FIRST - 1, 0)
        found = await actions(ed, 0)
        assert not [action for action in found if action["title"].startswith("Show the indexed text")]
        await run(ed, titled(found, "Open me/mine"))
        (shown,) = ed.heard.shown
        assert shown.uri == related.location.uri


@pytest.mark.parametrize(("experimental", "offered"), [(None, True), ({"starcoder": True}, False)])
async def test_any_editor_can_ask_about_a_selection_by_a_code_action(
    index: Path, tmp_path: Path, experimental: Any, offered: bool
) -> None:
    async with editor(options(index), home=tmp_path, experimental=experimental) as ed:
        ed.open("║" + COPIED)
        title = "Where does this code come from?"
        found = [action for action in await actions(ed, 14) if action["title"] == title]
        assert len(found) == offered
        for action in found:
            assert action not in await actions(ed, 14, only=["quickfix"])
            assert action in await actions(ed, 14, only=["source"])
            await run(ed, action)
            await ed.heard.wait(lambda: any("found in" in message for message in ed.heard.messages))
            titled(await actions(ed, 14, only=["quickfix"]), "Show the licence")
            with pytest.raises(ValueError, match="not enough values"):
                titled(await actions(ed, 14, only=["source"]), "Show the licence")


async def test_the_message_is_shown_to_editors_that_do_not_know_us_only(index: Path, tmp_path: Path) -> None:
    async with editor(options(index), home=tmp_path, experimental={"starcoder": True}) as ed:
        await marked(ed)
        assert not any("found in" in message for message in ed.heard.messages)
