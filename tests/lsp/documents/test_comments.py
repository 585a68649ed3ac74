"""Comments of every syntax, and the places where one may stand."""

from __future__ import annotations

import pytest

from lsp.documents.comments import comment_line, comment_syntax, syntax_above


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("python", "# hi"),
        ("typescript", "// hi"),
        ("css", "/* hi */"),
        ("html", "<!-- hi -->"),
        ("sql", "-- hi"),
        ("clojure", ";; hi"),
        ("vim", '" hi'),
        ("latex", "% hi"),
        ("ocaml", "(* hi *)"),
        ("fortran", "! hi"),
        ("bat", "REM hi"),
        ("handlebars", "{{!-- hi --}}"),
    ],
)
def test_syntaxes(language: str, expected: str) -> None:
    syntax = comment_syntax(language)
    assert syntax is not None
    assert syntax.comment("hi") == expected


@pytest.mark.parametrize("language", ["json", "csv", "plaintext", "never-heard-of"])
def test_what_has_no_comments_gets_none(language: str) -> None:
    assert comment_syntax(language) is None
    assert comment_line(["x\n"], 0, language, "hi") is None


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("css", "a/* b */ c", "/* a/* b *%2F c */"),
        ("html", "a --> <script>", "<!-- a -%2D> <script> -->"),
        ("xml", "https://host/a--b", "<!-- https://host/a-%2Db -->"),
        ("php", "a ?> b", "// a ?%3E b"),
        ("ocaml", "a *) b", "(* a *%29 b *)"),
        ("c", "ends in a backslash \\", "// ends in a backslash /"),
        ("java", "\\u000a run();", "// /u000a run();"),
        ("python", "two\nlines\r\nand\ttabs", "# two lines and tabs"),
    ],
)
def test_no_text_ends_its_comment(language: str, text: str, expected: str) -> None:
    syntax = comment_syntax(language)
    assert syntax is not None
    assert syntax.comment(text) == expected


@pytest.mark.parametrize(
    ("language", "lines", "line", "at", "written"),
    [
        ("python", ["def f():\n", "    x = 1\n"], 1, 1, "    # hi\n"),
        ("python", ["x = 1 + \\\n", "  2 + \\\n", "  3\n"], 2, 0, "# hi\n"),
        ("python", ["#!/usr/bin/env python3\n", "x = 1\n"], 0, 1, "# hi\n"),
        ("xml", ['<?xml version="1.0"?>\r\n', "  <a/>\r\n"], 0, 1, "  <!-- hi -->\r\n"),
        ("html", ["<!DOCTYPE html>\n", "<p>\n"], 0, 1, "<!-- hi -->\n"),
        ("php", ["<?php\n", "  f();\n"], 0, 1, "  // hi\n"),
        ("php", ["<p>\n", "<?php f(); ?>\n", "<b>\n"], 2, 2, "<!-- hi -->\n"),
        ("go", ["x := 1"], 0, 0, "// hi\n"),
        ("rust", ["fn f() {\r", "\tg()\r", "}"], 1, 1, "\t// hi\r"),
    ],
)
def test_the_place_the_indentation_and_the_line_end(
    language: str, lines: list[str], line: int, at: int, written: str
) -> None:
    assert comment_line(lines, line, language, "hi") == (at, written)


def test_parts_of_a_page_have_their_own_comments() -> None:
    page = ["<style>\n", "p {}\n", "</style>\n", "<p>\n", '<script type="module">\n', "f();\n", "</script>\n"]
    starts = [syntax and syntax.start for n in range(8) for syntax in [syntax_above(page, n, "vue")]]
    assert starts == ["<!--", "/*", "/*", "<!--", "<!--", "//", "//", "<!--"]
