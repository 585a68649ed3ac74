"""What becomes of items: counted once, judged by what is left of them in the document."""

from __future__ import annotations

import time

import pytest
from lsprotocol import types

from lsp.completion.acceptance import REMEMBERED_ITEMS, Acceptances
from lsp.completion.reading import Item
from lsp.documents.documents import Documents
from lsp.documents.place import Selected, find_place
from lsp.status.telemetry import LatencyBook

URI = "file:///a.py"


@pytest.fixture
def documents() -> Documents:
    documents = Documents(None, folders=[], encoding="utf-16")
    item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text="x = \nlast()\n")
    documents.put_text_document(item)
    return documents


@pytest.fixture
def book() -> LatencyBook:
    return LatencyBook()


@pytest.fixture
def acceptances(documents: Documents, book: LatencyBook) -> Acceptances:
    return Acceptances(documents, book)


def item(documents: Documents, text: str, selected: Selected | None = None) -> Item:
    document = documents.open_document(URI)
    assert document is not None
    return Item(index=0, place=find_place(document, 0, 4, selected=selected), text=text)


def replace_all(documents: Documents, text: str) -> None:
    identifier = types.VersionedTextDocumentIdentifier(version=2, uri=URI)
    documents.update_text_document(identifier, types.TextDocumentContentChangeWholeDocument(text=text))


@pytest.mark.parametrize(
    ("later", "retained"),
    [
        ("import os\nx = compute(a,  b)\nlast()\n", 1.0),  # moved and reformatted
        ("x = compute(c, d)\nlast()\n", 4 / 6),
        ("x = 1\n", 0.0),
    ],
)
async def test_retained_is_what_is_left_after_half_a_minute(
    documents: Documents, book: LatencyBook, acceptances: Acceptances, later: str, retained: float
) -> None:
    acceptances.accepted(acceptances.offer(item(documents, "compute(a, b)")))
    replace_all(documents, later)
    acceptances.judge_retained(time.monotonic() + 29)
    assert book.report()["retainedJudged"] == 0
    acceptances.judge_retained(time.monotonic() + 31)
    assert book.report()["retained"] == pytest.approx(retained, abs=1e-3)


async def test_an_item_is_accepted_once(
    documents: Documents, book: LatencyBook, acceptances: Acceptances
) -> None:
    item_id = acceptances.offer(item(documents, "f()"))
    for _ in range(2):
        acceptances.accepted(item_id)
    acceptances.accepted("of nobody")
    assert book.report()["accepted"] == 1


async def test_a_part_of_an_item_does_not_count_the_selected_text(
    documents: Documents, book: LatencyBook, acceptances: Acceptances
) -> None:
    offered = item(documents, "(a, b)", Selected(start_char=4, end_char=4, text="compute"))
    acceptances.partially_accepted(acceptances.offer(offered), len("compute(a"))
    assert book.report()["acceptedChars"] == len("(a")


def test_items_count_as_shown_unless_the_client_tells_it_itself(
    documents: Documents, book: LatencyBook, acceptances: Acceptances
) -> None:
    first = acceptances.offer(item(documents, "f()"))
    acceptances.shown(first)
    assert book.report()["shown"] == 1
    second = acceptances.offer(item(documents, "g()"))
    assert book.report()["shown"] == 1
    acceptances.shown(second)
    assert book.report()["shown"] == 2


def test_the_memory_of_items_is_bounded(
    documents: Documents, book: LatencyBook, acceptances: Acceptances
) -> None:
    ids = [acceptances.offer(item(documents, "f()")) for _ in range(REMEMBERED_ITEMS + 1)]
    acceptances.rejected(ids[0])
    assert book.report()["rejected"] == 0
    acceptances.rejected(ids[1])
    assert book.report()["rejected"] == 1
