"""Lines, edits and positions of `lsp.documents.documents`, against the plainest possible re-computation."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types
from pygls.workspace import PositionCodec

from lsp.documents.documents import (
    Document,
    Documents,
    columns_of,
    columns_to_index,
    file_path,
    line_end,
    named_paths,
    split_lines,
)

ENCODINGS = ("utf-8", "utf-16", "utf-32")
# Line ends, their look-alikes that are none in LSP, and characters of 1 to 4 UTF-8 bytes.
ALPHABET = st.sampled_from(
    ["a", "b", " ", "\n", "\r", "\r\n", "\x0c", "\u2028", "\x85", "é", "漢", "🎉", "\ud83d"]
)
TEXTS = st.lists(ALPHABET, max_size=30).map("".join)


def open_text(text: str, encoding: str = "utf-16") -> Document:
    codec = PositionCodec(types.PositionEncodingKind(encoding))
    return Document("file:///a.py", text, 1, "python", position_codec=codec)


def change(document: Document, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
    wanted = types.Range(start=types.Position(*start), end=types.Position(*end))
    document.apply_change(types.TextDocumentContentChangePartial(range=wanted, text=text))


def plain_index(text: str, line: int, column: int, encoding: str) -> int:
    """The specification, read literally: count units from the start of the line."""
    start = 0
    for _ in range(line):
        ends = [i for i in range(start, len(text)) if text[i] in "\r\n"]
        if not ends:
            return len(text)
        start = ends[0] + (2 if text[ends[0] : ends[0] + 2] == "\r\n" else 1)
    units = 0
    while start < len(text) and text[start] not in "\r\n":
        width = columns_of(text[start], encoding)
        if units + width > column:
            break
        units += width
        start += 1
    return start


def test_lines_are_split_at_the_three_line_ends_of_lsp_only() -> None:
    assert split_lines("a\x0cb\r\nc\u2028d\re\x85\n") == ["a\x0cb\r\n", "c\u2028d\r", "e\x85\n", ""]
    assert split_lines("") == [""]
    assert [line_end(line) for line in ("a\r\n", "b\n", "c\r", "d")] == ["\r\n", "\n", "\r", ""]


@given(TEXTS)
def test_split_lines_loses_nothing(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line_end(line) for line in lines[:-1])
    assert not line_end(lines[-1])


@pytest.mark.parametrize(
    ("encoding", "column", "index"),
    [
        ("utf-8", 7, 4),
        ("utf-16", 5, 4),
        ("utf-32", 4, 4),
        ("utf-16", 4, 3),
        ("utf-8", 5, 3),
        ("utf-8", 99, 5),
    ],
)
def test_columns_around_an_emoji(encoding: str, column: int, index: int) -> None:
    # The specification's own example; a column in the middle of the emoji means its start.
    assert columns_to_index('x="😋"', column, encoding) == index


@given(TEXTS.filter(lambda text: "\ud83d" not in text), st.sampled_from(ENCODINGS))
def test_columns_round_trip(text: str, encoding: str) -> None:
    for index in range(len(text) + 1):
        assert columns_to_index(text, columns_of(text[:index], encoding), encoding) == index


@given(TEXTS, st.data(), st.sampled_from(ENCODINGS))
def test_edits_equal_the_same_edits_of_the_whole_text(text: str, data: st.DataObject, encoding: str) -> None:
    document = open_text(text, encoding)
    for _ in range(3):
        places = [(data.draw(st.integers(0, 6)), data.draw(st.integers(0, 12))) for _ in range(2)]
        first, second = sorted(places, key=lambda place: plain_index(text, place[0], place[1], encoding))
        inserted = data.draw(TEXTS)
        start = plain_index(text, *first, encoding)
        end = plain_index(text, *second, encoding)
        change(document, first, second, inserted)
        text = text[:start] + inserted + text[end:]
        assert document.source == text
        assert list(document.lines) == split_lines(text)


def test_a_full_change_replaces_the_text() -> None:
    document = open_text("a\nb")
    document.apply_change(types.TextDocumentContentChangeWholeDocument(text="c\r\nd"))
    assert list(document.lines) == ["c\r\n", "d"]


def test_the_cursor_never_lands_inside_a_line_end() -> None:
    document = open_text("ab\r\ncd")
    assert document.to_index(types.Position(0, 99)) == (0, 2)
    assert document.to_index(types.Position(7, 3)) == (1, 2)


def test_positions_are_not_mutated() -> None:
    position = types.Position(0, 99)
    open_text("ab").to_index(position)
    assert position == types.Position(0, 99)


def test_text_around_the_cursor() -> None:
    document = open_text("one\ntwo\nthree\n")
    assert document.text_before(1, 2) == "one\ntw"
    assert document.text_before(2, 2, first_line=1) == "two\nth"
    assert document.text_after(1, 2) == "o\nthree\n"
    assert document.text_after(1, 2, last_line=1) == "o\n"


def test_a_document_that_is_not_open_is_read_from_disk_with_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\r\nb\xff\r\n")
    workspace = Documents(None, folders=[], encoding="utf-16")
    document = workspace.get_text_document(path.as_uri())
    assert document.lines == ["a\r\n", "b\ufffd\r\n", ""]
    assert workspace.open_document(path.as_uri()) is None


def test_edits_are_reported_with_their_lines() -> None:
    heard = []
    workspace = Documents(None, folders=[], encoding="utf-16", on_edit=lambda _, edit: heard.append(edit))
    item = types.TextDocumentItem(uri="file:///a.py", language_id="python", version=1, text="a\nb\nc\n")
    workspace.put_text_document(item)
    document = workspace.open_document("file:///a.py")
    assert document is not None
    change(document, (1, 0), (2, 0), "x\ny\nz\n")
    document.apply_change(types.TextDocumentContentChangeWholeDocument(text="a\nx\n!\nz\nc\n"))
    assert [(e.start_line, e.removed_lines, e.added_lines) for e in heard] == [(1, 2, 4), (2, 4, 4)]
    assert document.source == "a\nx\n!\nz\nc\n"


def test_an_edit_of_a_long_file_does_not_walk_it() -> None:
    """100,000 lines: pygls needs 30 to 60 ms a keystroke here; the bound leaves a slow machine room.

    In time of the processor, of which a busy machine takes no more.
    """
    document = open_text("    value = compute(1, 2, 3)  # a line\n" * 100_000)
    started = time.process_time()
    for column in range(100):
        change(document, (50_000, column), (50_000, column), "x")
    assert (time.process_time() - started) / 100 < 2e-3
    assert document.lines[50_000].startswith("x" * 100)


@pytest.mark.parametrize(
    "uri",
    ["file:///a%00.py", "file:///a\0.py", "file:///\ud800/.env", "x://[y/.env", "file://[y/.env", "%00", ""],
)
def test_a_uri_that_names_no_possible_path_is_no_file_and_can_be_handled(uri: str) -> None:
    assert file_path(uri) is None
    for path in named_paths(uri):
        path.exists()  # raises nothing
        assert path.name.endswith(".env") == uri.endswith(".env")
    assert Document(uri, "text").uri == uri
