"""What is looked at around a cursor that selects nothing; the cursor is drawn as ║."""

from __future__ import annotations

import pytest

from lsp.documents.documents import split_lines
from lsp.documents.surroundings import MAX_LINES, MAX_TOKENS, MIN_TOKENS, around, count_tokens

FILLER = "    total = total + first * second - third / fourth  # as in the paper of that year\n" * 5
PYTHON = f"""import os
import sys

LIMIT = 3


@cache
@logged
def one(
    first,
    second,
):
    "What it does."
    if first:
        a║ = 1
{FILLER}    return a


def two():
    return 2
"""
C = f"""#include <a.h>

static int
f(int a)
{{
{FILLER}    return ║a;
}}

int g(void)
{{
    return 1;
}}
"""
JAVASCRIPT = f"""const a = 1;

export function f(x) {{
    if (x) {{
        a();
{FILLER.replace("    total", "        total")}    }} else {{
        b║(x);
    }}
}}

g();
"""
FLAT = "a = b + c\n" * 8 + "\n" + "d = e + f\n" * 8 + "\n" + "g = ║h + i\n" + "j = k + l\n" * 3


def seen(marked: str) -> str:
    line = marked[: marked.index("║")].count("\n")
    lines = split_lines(marked.replace("║", ""))
    first, last = around(lines, line)
    assert first <= line < last
    return "".join(lines[first:last])


def test_a_function_with_its_header_and_decorators() -> None:
    text = seen(PYTHON)
    assert text.startswith("@cache\n@logged\ndef one(\n")
    assert text.endswith("    return a\n")


def test_a_function_whose_brace_has_a_line_of_its_own() -> None:
    text = seen(C)
    assert text.startswith("f(int a)\n{\n")
    assert text.endswith("    return a;\n}\n")


def test_a_branch_with_the_chain_that_it_belongs_to() -> None:
    text = seen(JAVASCRIPT)
    assert text.startswith("    if (x) {\n")
    assert text.rstrip().endswith("}")
    assert "g();" not in text


def test_at_the_outermost_level_the_nearest_paragraphs() -> None:
    assert seen(FLAT) == FLAT.replace("║", "").split("\n\n", 1)[1]


@pytest.mark.parametrize("marked", [PYTHON, C, JAVASCRIPT, FLAT])
def test_enough_to_recognise(marked: str) -> None:
    assert count_tokens(seen(marked).splitlines(), (0, 10_000)) >= MIN_TOKENS


def test_all_of_a_short_file() -> None:
    assert seen("\n\nx = 1║\n\ny = 2\n") == "x = 1\n\ny = 2\n"
    assert seen("║") == ""
    assert around([""], 0) == (0, 1)


def test_never_too_much() -> None:
    long = "    x = y + z\n" * 100_000
    first, last = around(f"def f():\n{long}".splitlines(), 50_000)
    assert first < 50_000 < last
    assert MIN_TOKENS <= 5 * (last - first) < 2 * MIN_TOKENS
    wide = ["(" + "a + " * MAX_TOKENS + "b)\n", "c = d\n"]
    first, last = around(wide, 1)
    assert last - first <= MAX_LINES


def test_a_cursor_on_a_blank_line_of_a_block() -> None:
    marked = PYTHON.replace("a║ = 1\n", "a = 1\n║\n")
    assert seen(marked).startswith("@cache")
