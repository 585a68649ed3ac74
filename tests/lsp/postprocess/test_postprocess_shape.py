"""Filters of a suggestion's shape and against loops."""

from __future__ import annotations

import time

import pytest

from lsp.postprocess import Ended, is_looping
from lsp.postprocess.repetition import cut_repeated_blocks, cut_repeated_characters
from lsp.postprocess.shape import (
    cut_beyond_block,
    cut_leaked_tokens,
    cut_unfinished_last_line,
    cut_unseen_characters,
    drop_blank,
    drop_short,
    fit_first_indent,
    to_document_eol,
    to_file_indentation,
    trim_end,
)
from tests.lsp.cursors import filtered, final

LENGTH = Ended.LENGTH


def test_leaked_control_tokens_end_the_text_unless_the_file_is_about_them() -> None:
    assert filtered(cut_leaked_tokens, "x<|endoftext|>import os", "a = ║") == "x"
    assert filtered(cut_leaked_tokens, "x<fim_middle>y", "a = ║") == "x"
    assert filtered(cut_leaked_tokens, '"<fim_middle>"', 'A = "<fim_prefix>"\nB = ║') == '"<fim_middle>"'
    assert filtered(cut_leaked_tokens, "usage: x <filename>", "a = ║") == "usage: x <filename>"


def test_only_a_cut_text_loses_its_last_line() -> None:
    assert filtered(cut_unfinished_last_line, "a = 1\nb = so", "║", ended=LENGTH) == "a = 1"
    assert filtered(cut_unfinished_last_line, "a = 1\nb = so", "║") == "a = 1\nb = so"
    assert filtered(cut_unfinished_last_line, "a = so", "║", ended=LENGTH) == "a = so"
    assert filtered(cut_unfinished_last_line, "\n  a = so", "x:║", ended=LENGTH) == "\n  a = so"


@pytest.mark.parametrize(
    ("text", "drawing", "left"),
    [
        ("\n    x = 1\n    return x\n\ndef g():\n    pa", "def f():║", "\n    x = 1\n    return x"),
        ("x = 1\n    return x\ny = 2\nz", "def f():\n    ║", "x = 1\n    return x"),
        (
            "\n    a()\n  } else {\n    b()\n  }\n}\nmore",
            "  if (a) {║",
            "\n    a()\n  } else {\n    b()\n  }",
        ),
        ("x = 1\ny = 2\nz", "║", "x = 1\ny = 2\nz"),
    ],
)
def test_a_runaway_ends_with_its_block(text: str, drawing: str, left: str) -> None:
    assert filtered(cut_beyond_block, text, drawing, ended=LENGTH) == left
    assert filtered(cut_beyond_block, text, drawing) == text


def test_the_end_is_trimmed_where_the_line_ends_anyway() -> None:
    assert filtered(trim_end, "x = 1  \n\n", "║\ny = 2\n") == "x = 1"
    assert filtered(trim_end, "x, ", "f(║y)") == "x, "
    assert filtered(trim_end, "  x", "║") == "  x"


def test_nothing_to_see_is_not_shown() -> None:
    assert filtered(drop_blank, " \n\t", "║") is None
    assert filtered(drop_short, "x", "a = ║") is None
    assert filtered(drop_short, "x", "a = ║", manual=True) == "x"
    assert filtered(drop_short, "():", "def f║") == "():"


def test_an_indentation_is_not_written_twice() -> None:
    drawing = "def f():\n    x = 1\n    ║\n"
    assert filtered(fit_first_indent, "    return x\n    # end", drawing) == "return x\n    # end"
    deeper = "def f():\n    if x:  # why\n    ║\n"
    assert filtered(fit_first_indent, "    return x", deeper) == "    return x"
    in_call = "x = f(\n    a,\n    ║\n"
    assert filtered(fit_first_indent, "    b", in_call) == "    b"
    assert filtered(fit_first_indent, "    return x", drawing, language="c") == "    return x"


def test_the_files_own_kind_of_indentation() -> None:
    tabs = "func f() {\n\tif a {\n\t\tb()\n\t}\n\tfor x {║\n\t}\n}\n"
    assert filtered(
        to_file_indentation, "\n        b()\n        if c {\n            d()\n        }", tabs, language="go"
    ) == ("\n\t\tb()\n\t\tif c {\n\t\t\td()\n\t\t}")
    assert filtered(to_file_indentation, "\n    b()\n    if c {\n      d()\n    }", tabs, language="go") == (
        "\n\t\tb()\n\t\tif c {\n\t\t\td()\n\t\t}"
    )
    spaces = "def f():\n  x = 1\n  if x:║\n"
    assert filtered(to_file_indentation, "\n\t\ty = 2\n\treturn x", spaces) == "\n    y = 2\n  return x"


@pytest.mark.parametrize(
    "drawing", ["all:\n\techo\n║", "x = 1\n║", "if a:\n\tb\nif c:\n    d\n║", 'if a:\n\tx = """\n║']
)
def test_indentation_is_left_alone_where_it_means_something_or_is_not_clear(drawing: str) -> None:
    language = "makefile" if "echo" in drawing else "python"
    text = "a\n    b\n        c"
    assert filtered(to_file_indentation, text, drawing, language=language) == text


def test_line_ends() -> None:
    assert filtered(to_document_eol, "a\nb", "x\r\n║") == "a\r\nb"
    assert filtered(to_document_eol, "a\nb", "║\r\nx") == "a\r\nb"


def test_a_loop_of_characters_is_cut_to_its_first_round() -> None:
    loop = "x = [" + "0, 1, " * 20 + "0,"
    assert filtered(cut_repeated_characters, loop, "║", ended=LENGTH) == "x = [0, 1, "
    assert filtered(cut_repeated_characters, loop, "║") == loop
    assert filtered(cut_repeated_characters, "x = 1" + " " * 60, "║", ended=LENGTH) == "x = 1" + " " * 60


def test_a_loop_of_lines_is_cut_to_its_first_round() -> None:
    text = "a()\n" + "b(1)\nc(2)\n" * 5 + "b("
    assert filtered(cut_repeated_blocks, text, "║", ended=LENGTH) == "a()\nb(1)\nc(2)"
    assert filtered(cut_repeated_blocks, text, "║") == text
    assert final(text, "║", ended=LENGTH) == "a()\nb(1)\nc(2)"


def test_a_loop_is_seen_while_it_runs_and_ordinary_text_is_none() -> None:
    assert is_looping("x = '" + "ab" * 60)
    assert is_looping("f(x)\n" * 7)
    assert not is_looping("f(x)\n" * 3)
    assert not is_looping("import os\nimport sys\n\n\ndef f():\n    return os.path\n")


def test_looking_for_loops_is_cheap_on_long_lines() -> None:
    line = "".join(chr(97 + n * n % 26) for n in range(20_000))
    started = time.process_time()
    for _ in range(100):
        is_looping(line)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a = 1\nb\ufffd = 2", "a = 1\nb"),
        ("x\x00y", "x"),
        ("s = '\x1b[31m'", "s = '"),
        ("a\u202eb", "a"),
        ("a\u2066b", "a"),
        ("a\u200eb", "a"),
        ("a\x85b", "a"),
        ("a\u2028b", "a"),
        ("\ufeffabc", ""),
        ("a\tb\n", "a\tb\n"),
        ("é 日本 👩\u200d💻 \u00a0", "é 日本 👩\u200d💻 \u00a0"),
    ],
)
def test_a_suggestion_ends_before_what_no_reader_sees(text: str, left: str) -> None:
    assert filtered(cut_unseen_characters, text, "║") == left


@pytest.mark.parametrize(
    ("language", "drawing", "text", "left"),
    [
        ("javascript", "function f() {\n    ║\n}", "    return 1;", "return 1;"),
        ("javascript", "function f() {\n  a();\n  ║\n}", "  b();\n  c();", "b();\n  c();"),
        ("javascript", "function f() {\n  a\n  ║\n}", "  .then(b)", "  .then(b)"),
        ("javascript", "f(\n  a,\n  ║\n)", "  b", "  b"),
        ("javascript", "a = `\n  ║\n`", "  b", "  b"),
        ("go", "func f() {\n\t║\n}", "\treturn 1", "return 1"),
        ("go", "func f() {\n\tif a {\n\t\t║\n\t}\n}", "\t\treturn 1", "return 1"),
        ("java", "class A {\n    int f() {\n        ║\n    }\n}", "        return 1;", "return 1;"),
        ("yaml", "a:\n  ║", "  b: 1\n  c: 2", "b: 1\n  c: 2"),
        ("yaml", "a: |\n  ║", "  b", "  b"),
        ("ruby", "def f\n  ║\nend", "  1", "1"),
        ("html", "<div>\n  ║\n</div>", "  <p>a</p>", "<p>a</p>"),
    ],
)
def test_a_line_that_is_indented_is_not_indented_again(
    language: str, drawing: str, text: str, left: str
) -> None:
    assert filtered(fit_first_indent, text, drawing, language=language) == left
