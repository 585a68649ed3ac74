"""The quote that an editor closed: the document must become what the model wrote."""

from __future__ import annotations

import pytest

from lsp.completion.closed_quote import fit_closed_quote
from lsp.postprocess import CursorContext, Suggestion


def completed(marked: str, text: str, *, can_replace: bool = True) -> str | None:
    """The document's text with the suggestion taken."""
    before, after = marked.split("║")
    context = CursorContext.at(prefix=before, suffix=after, language="python", can_replace=can_replace)
    suggestion = fit_closed_quote(Suggestion(text), context)
    return None if suggestion is None else before + suggestion.text + after[suggestion.replace_chars :]


@pytest.mark.parametrize(
    ("marked", "text", "document"),
    [
        ('s = "║"\n', 'hello"', 's = "hello"\n'),
        ('s = "║"\n', "hello", 's = "hello"\n'),
        ('s = "║"\n', 'hello" + name', 's = "hello" + name\n'),
        ('s = "║"\n', 'a" + "b"', 's = "a" + "b"\n'),
        ('s = "║"\n', r"say \"hi\"", r's = "say \"hi\""' + "\n"),
        ('print("║")\n', 'hello")', 'print("hello")\n'),
        ('print("║")\n', 'hello"', 'print("hello")\n'),
        ('print("║")\n', 'hello", name', 'print("hello", name)\n'),
        ("d['║']\n", "key']", "d['key']\n"),
        ("s = '║'\n", 'it is "quoted"\'', "s = 'it is \"quoted\"'\n"),
        ('"""║"""\n', 'Doc."""', '"""Doc."""\n'),
        ('"""║"""\n', 'A "quoted" word.', '"""A "quoted" word."""\n'),
        # Not closed by an editor: other text follows, or no quote.
        ('s = "║ world"\n', 'hello"', 's = "hello" world"\n'),
        ("f(║)\n", '"a")', 'f("a"))\n'),
        ("x = ║\n", '"a"', 'x = "a"\n'),
    ],
)
def test_the_document_becomes_what_the_model_wrote(marked: str, text: str, document: str) -> None:
    assert completed(marked, text) == document


def test_a_client_that_only_inserts_gets_what_can_be_inserted() -> None:
    assert completed('s = "║"\n', 'hello" + name', can_replace=False) == 's = "hello"\n'
    assert completed('s = "║"\n', '" + name', can_replace=False) is None


def test_a_suggestion_of_nothing_but_the_quote_is_none() -> None:
    assert completed('s = "abc║"\n', '"') is None
