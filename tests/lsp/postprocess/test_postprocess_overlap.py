"""Filters against what is there already: brackets, the suffix, the line's rest, the line above."""

from __future__ import annotations

import time

import pytest

from lsp.postprocess import CursorContext, Ended, Suggestion, postprocess
from lsp.postprocess.overlap import (
    cut_closed_brackets,
    cut_repeated_tail,
    cut_suffix_overlap,
    drop_line_above,
    fit_closed_tail,
)
from tests.lsp.cursors import at, filtered


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("a, b)", "def f():\n    x = foo(║)\n", "a, b"),
        ("x))", "y = foo(bar(║))\n", "x"),
        ("x))", "y = foo(bar(║)\n", "x)"),
        ("a), g(b", "y = f(║)\n", "a), g(b"),
        ("bar(x)", "y = foo(║)\n", "bar(x)"),
        ("a)", "x = outer(\n    foo(║)\n)\n", "a"),
        ("a)", "x = outer(\n    foo(║)\nprint(1)\n", "a)"),
        ("'a', ')')", "y = foo(║)\n", "'a', ')'"),
        ("1, 2]", "y = [║]\n", "1, 2"),
        ("\n    a,\n    b,\n)", "y = foo(║)\n", "\n    a,\n    b,\n"),
        ("a):\n    return 1", "def f(║)\n", "a"),
        (")", "y = foo(║)\n", None),
        ("foo(x)", "# see (║\n", "foo(x)"),
        ("(b)) :-)", '"""\nsome prose (a║)\n"""\n', "(b)) :-)"),
        ("x}", "y = foo(║\n", "x"),
        ("]", "y = foo(║\n", None),
    ],
)
def test_closing_brackets_that_stand_there_already_are_cut(text: str, drawing: str, left: str | None) -> None:
    assert filtered(cut_closed_brackets, text, drawing) == left


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("\n    b();\n}", "function f() {\n  if (a) {║\n  }\n}\n", "\n    b();\n}"),
        ("\n    b();\n  }", "function f() {\n  if (a) {║\n  }\n}\n", "\n    b();"),
        (
            "\n    b();\n  } else {\n    c();",
            "function f() {\n  if (a) {║\n  }\n}\n",
            "\n    b();\n  } else {\n    c();",
        ),
        ("/[)]/.test(x)", "if (║) {\n}\n", "/[)]/.test(x)"),
        ("`${a})`, b)", "foo(║)\n", "`${a})`, b"),
        ("x // :)\n)", "foo(║)\n", "x // :)\n"),
    ],
)
def test_brackets_of_scripts(text: str, drawing: str, left: str | None) -> None:
    # In the first case the text closes the `if`, so that the `}` below is the function's.
    if left is not None and left.endswith("}"):
        drawing = drawing.replace("\n  }\n}\n", "\n}\n")
    assert filtered(cut_closed_brackets, text, drawing, language="typescript") == left


@pytest.mark.parametrize("char", ["'a'", "')'", "'\\''", "'\\x29'"])
def test_characters_of_c_and_lifetimes_of_rust_are_no_strings(char: str) -> None:
    assert filtered(cut_closed_brackets, f"{char})", "f(║);\n", language="c") == char
    assert filtered(cut_closed_brackets, "&'a str)", "f(║);\n", language="rust") == "&'a str"


def test_brackets_of_the_line_are_counted_in_any_language() -> None:
    assert filtered(fit_closed_tail, "a, b)", "foo(║)\n", language="ruby") == "a, b"
    assert filtered(fit_closed_tail, "a)", "foo(bar(║)\n", language="ruby") == "a)"
    assert filtered(fit_closed_tail, 'name"', 'puts "║"\n', language="ruby") == "name"
    assert filtered(fit_closed_tail, "bar(x)", "foo(║)\n", language="ruby") == "bar(x)"


def test_a_client_that_can_replace_gets_the_rest_of_the_line_too() -> None:
    context = at("def f(║)\n", can_replace=True)
    outcome = postprocess(Suggestion("a, b):\n    return a + b"), context)
    assert outcome.suggestion == Suggestion("a, b):\n    return a + b", replace_chars=1)
    # Nothing to gain: the plain insertion serves every client.
    outcome = postprocess(Suggestion("a, b)"), context)
    assert outcome.suggestion == Suggestion("a, b")


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("\n        x += 1\n    return x", "def f(x):\n    if x:║\n    return x\n", "\n        x += 1"),
        (
            "\n        x += 1\n\n    return x\n\ndef",
            "def f(x):\n    if x:║\n\n    return x\n\ndef\n",
            "\n        x += 1",
        ),
        ("urn x", "    ret║\n    return x\n", None),
        # the same words at another indentation are another statement
        ("\n        return x", "def f(x):\n    if x:║\n    return x\n", "\n        return x"),
        # neighbours that are equal anyway
        ("\n    0, 0,", "x = [\n    0, 0,║\n    0, 0,\n    0, 0,\n]\n", "\n    0, 0,"),
        ("\nnext(it)\nnext(it)", "it = iter(x)║\nnext(it)\n", "\nnext(it)\nnext(it)"),
        # something stands behind the cursor: other filters judge
        ("b\nc", "a ║d\nc\n", "b\nc"),
    ],
)
def test_the_next_lines_are_not_written_again(text: str, drawing: str, left: str | None) -> None:
    assert filtered(cut_suffix_overlap, text, drawing) == left


def test_closing_lines_of_indented_blocks_are_not_doubled_but_namespaces_keep_theirs() -> None:
    drawing = "for (;;) {\n  if (a) {║\n  }\n}\n"
    assert filtered(cut_suffix_overlap, "\n    b();\n  }", drawing, language="javascript") == "\n    b();"
    drawing = "namespace a {\nint f() {║\n\n}\n"
    assert filtered(cut_suffix_overlap, "\n  return 1;\n}", drawing, language="cpp") == "\n  return 1;\n}"
    drawing = "namespace a {\nint f() {║\n}\n}\n"
    assert filtered(cut_suffix_overlap, "\n  return 1;\n}", drawing, language="cpp") == "\n  return 1;"


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("x, width, height)", "draw(║width, height)\n", "x, "),
        ("a + total", "return ║total\n", "a + "),
        ("__cplusplus", "#ifdef ║plus\n", "__cplusplus"),
        ("1111111", "x = 0b1║1111\n", "1111111"),
        ("b, ", "f(║x)\n", "b, "),
        ("total", "return ║total\n", None),
    ],
)
def test_the_rest_of_the_line_is_not_written_again(text: str, drawing: str, left: str | None) -> None:
    assert filtered(cut_repeated_tail, text, drawing) == left


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("result = compute(x)", "    result = compute(x)\n    ║\n", None),
        ("b = read(file)\nc = read(file)", "a = 1\nb = read(file)\nc = read(file)\n║", None),
        ("result = compute(y)", "    result = compute(x)\n    ║\n", "result = compute(y)"),
        ("pass", "    pass\n    ║\n", "pass"),
        ("store(next(it))", "    store(next(it))\n    store(next(it))\n    ║\n", "store(next(it))"),
    ],
)
def test_the_line_above_is_not_written_again(text: str, drawing: str, left: str | None) -> None:
    assert filtered(drop_line_above, text, drawing) == left


@pytest.mark.parametrize("line", ["=/[", "/a[", ")", '"', "\\", '"""', "`${", "    \n", "/*"])
@pytest.mark.parametrize("language", ["python", "typescript", "c", "ruby"])
def test_no_text_takes_long(line: str, language: str) -> None:
    text = (line * 5_000)[:15_000]
    started = time.process_time()
    context = CursorContext.at(prefix=text, suffix="\n" + text, language=language)
    postprocess(Suggestion(text[:2_000], Ended.LENGTH), context)
    assert time.process_time() - started < 1.0
