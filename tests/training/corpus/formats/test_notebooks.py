"""Notebooks as training texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.training.corpus.formats.marked_texts import marked, tokens_of
from training.corpus.formats.notebooks import script_of, structured_text
from training.corpus.records.document import Reason


def cell(kind: str, source: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
    return made | ({"outputs": outputs or [], "execution_count": None} if kind == "code" else {})


def stream(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}]


def notebook(*cells: dict[str, Any], language: str = "python", extension: str = ".py") -> str:
    metadata = {
        "kernelspec": {"name": language},
        "language_info": {"name": language, "file_extension": extension},
    }
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebook_is_text_code_and_output_in_turn() -> None:
    source = notebook(
        cell("code", "import numpy"),  # before the first text: left out
        cell("markdown", "# Adding\n<b>two</b> numbers"),
        cell("markdown", "more"),
        cell("code", "a = 1"),
        cell("code", "print(a + 1)", stream("2\n")),
        cell("markdown", "Plotting"),
        cell(
            "code", "plot(a)", [{"output_type": "display_data", "data": {"image/png": "…"}, "metadata": {}}]
        ),
        cell("markdown", "The end"),  # after the last code: left out
    )
    text = marked(structured_text(source))
    assert text.text == (
        "<jupyter_start><jupyter_text>Addingtwo numbers more"
        "<jupyter_code>a = 1\nprint(a + 1)<jupyter_output>2"
        "<jupyter_text>Plotting<jupyter_code>plot(a)<jupyter_output><empty_output>"
    )
    assert tokens_of(text)[-1] == "<empty_output>"


def test_long_outputs_are_cut_at_1000_characters() -> None:
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("x" * 1001)))
    assert marked(structured_text(source)).text.endswith("<jupyter_output>" + "x" * 1000 + "[...]")
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("x" * 1000)))
    assert marked(structured_text(source)).text.endswith("<jupyter_output>" + "x" * 1000)


def test_a_user_who_prints_a_token_prints_ordinary_text() -> None:
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("<jupyter_start>")))
    text = marked(structured_text(source))
    assert text.text.endswith("<jupyter_output><jupyter_start>")
    assert tokens_of(text).count("<jupyter_start>") == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("not json", Reason.NOTEBOOK_UNREADABLE),
        ("[]", Reason.NOTEBOOK_UNREADABLE),
        ('{"cells": [{}]}', Reason.NOTEBOOK_UNREADABLE),
        (
            notebook(cell("markdown", "t"), cell("code", "x <- 1"), language="ir", extension=".r"),
            Reason.NOTEBOOK_UNREADABLE,
        ),
        (notebook(cell("code", "only code")), Reason.NOTEBOOK_EMPTY),
    ],
)
def test_what_is_no_notebook_of_python_is_dropped(source: str, reason: Reason) -> None:
    assert structured_text(source) is reason


def test_format_3_is_read_too() -> None:
    sheet = {
        "cells": [
            {"cell_type": "heading", "level": 2, "source": ["Title"]},
            {"cell_type": "code", "input": ["x = 1\n", "y"], "language": "python"},
        ]
    }
    source = json.dumps(
        {"worksheets": [sheet], "metadata": {"name": "n"}, "nbformat": 3, "nbformat_minor": 0}
    )
    assert (
        "<jupyter_text>Title<jupyter_code>x = 1\ny<jupyter_output><empty_output>"
        in marked(structured_text(source)).text
    )
    script = script_of(source, "a/n.ipynb")
    assert script == ("a/n.py", "# ## Title\n\nx = 1\ny\n")


def test_a_notebook_becomes_a_script_of_its_language() -> None:
    source = notebook(cell("markdown", "# Adding\ntwo"), cell("code", "%matplotlib inline\nprint(1)"))
    assert script_of(source, "dir/Adding.ipynb") == (
        "dir/Adding.py",
        "# # Adding\n# two\n\n# %matplotlib inline\nprint(1)\n",
    )
    source = notebook(cell("markdown", "Title"), cell("code", "x <- 1"), language="R", extension=".r")
    assert script_of(source, "a.ipynb") == ("a.r", "# Title\n\nx <- 1\n")
    assert script_of("{}", "a.ipynb") is Reason.NOTEBOOK_UNREADABLE
