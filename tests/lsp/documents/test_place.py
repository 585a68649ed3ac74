"""The window around a cursor: right and bounded."""

from __future__ import annotations

from lsp.documents.documents import Document
from lsp.documents.place import (
    LINES_AFTER,
    LINES_BEFORE,
    MAX_CHARS_AFTER,
    MAX_CHARS_BEFORE,
    Selected,
    find_place,
)


def at(text: str, **options: object) -> tuple[Document, int, int]:
    before, after = text.split("║")
    document = Document("file:///a.py", before + after, 1, "python")
    line = before.count("\n")
    return document, line, len(before) - before.rfind("\n") - 1


def test_a_small_document_is_taken_whole() -> None:
    place = find_place(*at("import os\nos.║\nprint()\n"))
    assert (place.before, place.after, place.from_file_start) == ("import os\nos.", "\nprint()\n", True)
    assert (place.replace_start_char, place.replace_end_char, place.lead) == (3, 3, "")


def test_the_window_is_bounded_in_lines_and_characters() -> None:
    document, line, start_char = at("some line of code\n" * 3000 + "x║" + "\nsome line of code" * 3000)
    place = find_place(document, line, start_char)
    assert place.before.count("\n") == LINES_BEFORE
    assert place.after.count("\n") == LINES_AFTER + 1  # the cursor's own line end, too
    assert (place.line_before, place.line_tail, place.from_file_start) == ("x", "", False)
    place = find_place(*at("a," * 50_000 + "║" + "b," * 50_000))
    assert (len(place.before), len(place.after)) == (MAX_CHARS_BEFORE, MAX_CHARS_AFTER)
    assert not place.from_file_start


def test_half_a_surrogate_pair_does_not_reach_the_engine() -> None:
    place = find_place(*at('x = "\ud83d" # é║ \ude00 🎉'))
    assert (place.before, place.after) == ('x = "\ufffd" # é', " \ufffd 🎉")


def test_the_selected_item_stands_in_the_prompt_as_if_it_were_typed() -> None:
    document, line, start_char = at("import os\nos.pa║\n")
    selected = Selected(start_char=3, end_char=5, text="path")
    place = find_place(document, line, start_char, selected=selected)
    assert (place.before, place.after) == ("import os\nos.path", "\n")
    assert (place.replace_start_char, place.replace_end_char, place.lead) == (3, 5, "path")


def test_what_stands_above_the_document_comes_first() -> None:
    assert find_place(*at("b║"), above="a\n\n").before == "a\n\nb"
