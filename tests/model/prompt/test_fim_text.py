"""Prompts with sentinels written out, told from other texts."""

from __future__ import annotations

import pytest

from model.prompt.fim_text import FimText, FimTextReader

READER = FimTextReader(prefix="<P>", suffix="<S>", middle="<M>")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<P>a\n<S>b<M>", ("", "a\n", "b")),
        ("<S>b<P>a<M>", ("", "a", "b")),
        ("<P><S>b<M>a", ("", "a", "b")),
        ("<P><S><M>", ("", "", "")),
        ("<P>a<S><M>", ("", "a", "")),
        ("<F>x.py\ny<P>a<S>b<M>", ("<F>x.py\ny", "a", "b")),
    ],
)
def test_the_forms(text: str, parts: tuple[str, str, str]) -> None:
    before, prefix, suffix = parts
    assert READER.read(text) == FimText(before=before, prefix=prefix, suffix=suffix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "<P>a<S>b",  # no middle
        "<P>a<S>b<M>c",  # something was generated already
        "<P>a<P><S>b<M>",  # which one?
        "<M>a<S>b<P>",
        "re.sub('<P>|<S>|<M>', '', text)",  # code about such prompts
    ],
)
def test_other_texts(text: str) -> None:
    assert READER.read(text) is None
