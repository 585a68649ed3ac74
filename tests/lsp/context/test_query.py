"""What becomes context for other files: not a part of a key, however long its document has been closed."""

from __future__ import annotations

import pytest

from lsp.context.query import QueryMaker
from lsp.documents.documents import Document
from lsp.documents.place import find_place
from lsp.settings.settings import CompletionSettings

KEY = ["-----BEGIN RSA " + "PRIVATE KEY-----", *(f"MIIEpAIBAAKCAQEA{n:02}" for n in range(50))]
WORDS = [f"total_{n} = compute_total(items, {n})" for n in range(120)]


@pytest.mark.parametrize("has_key", [False, True])
def test_no_part_of_a_text_with_a_key_is_context_once_it_is_closed(has_key: bool) -> None:
    maker = QueryMaker(is_allowed=lambda path: True, roots=list)
    lines = [*WORDS[:40], *(KEY if has_key else []), *WORDS[40:]]
    other = Document("file:///project/other.py", "\n".join(lines), 0, "python")
    maker.opened(other)
    for line in (92, 20):
        maker.edited(other, line)
    maker.closed(other.path)
    here = Document("file:///project/here.py", "\n".join([*WORDS[40:60], ""]), 0, "python")
    place = find_place(here, 20, 0)
    query = maker.make(place, CompletionSettings(), single_line=False)
    assert (query.context == ()) is has_key
