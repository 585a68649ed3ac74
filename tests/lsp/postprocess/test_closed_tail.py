"""What the editor closed behind the cursor (║) stays closed once, in the languages that have it.

A row is a line with the cursor, an answer, and the line that accepting it gives.
"""

from __future__ import annotations

import pytest

from lsp.postprocess import CursorContext, Suggestion, postprocess

ROWS = {
    "python": [
        ('print(f"{║}")', 'name}")', 'print(f"{name}")'),
        ('print(f"{║}")', 'name}")\nprint("x")', 'print(f"{name}")\nprint("x")'),
        ('print(f"{║}")', 'name!r}!")', 'print(f"{name!r}!")'),
        ('f"{x:║}"', '.2f}"', 'f"{x:.2f}"'),
        ('f"{x[║]}"', '0]}"', 'f"{x[0]}"'),
        ("f'{f\"{║}\"}'", "a}\"}'", "f'{f\"{a}\"}'"),
        ('re.match(r"(║)")', 'a|b)")', 're.match(r"(a|b)")'),
        ('re.match(r"(║)")', 'a|b)", text)', 're.match(r"(a|b)", text)'),
        ('print(f"{║}")', 'print(f"{name}")', 'print(f"{name}")'),
        ("return a║", "return a + b", "return a + b"),
        ("foo(║)", "a).bar(b)", "foo(a).bar(b)"),
        ("foo(║) + (b)", "a) + (b)", "foo(a) + (b)"),
        ('s = "║"', 'hello" + name', 's = "hello" + name'),
        ('s = "║"', 'a" + "b"', 's = "a" + "b"'),
        ('s = "║"', 'say \\"hi\\""', 's = "say \\"hi\\""'),
        ("d['║']", "key']", "d['key']"),
        ('"""║"""', 'Doc."""', '"""Doc."""'),
        ('"""║"""', 'A "quoted" word.', '"""A "quoted" word."""'),
        ('s = "║ world"', 'hello"', 's = "hello" world"'),
    ],
    "javascript": [
        ("a = `${║}`;", "name}`;", "a = `${name}`;"),
        ("a = /(║)/;", "b|c)/", "a = /(b|c)/;"),
        ("// foo (║)", "bar)", "// foo (bar)"),
        ("/* ║ */", "hi */", "/* hi */"),
        ("const {║} = x;", " a } = x;\nfoo();", "const { a } = x;"),
        ("import {║}", ' a } from "b";', 'import { a } from "b";'),
    ],
    "kotlin": [
        ('val a = "${║}"', 'name}"', 'val a = "${name}"'),
    ],
    "csharp": [
        ('a = $"{║}";', 'name}"', 'a = $"{name}";'),
    ],
    "swift": [
        ('let a = "\\(║)"', 'name)"', 'let a = "\\(name)"'),
    ],
    "ruby": [
        ('a = "#{║}"', 'name}"', 'a = "#{name}"'),
    ],
    "shellscript": [
        ('echo "${║}"', 'HOME}"', 'echo "${HOME}"'),
    ],
    "php": [
        ('<?php echo "{$║}";', 'name}";', '<?php echo "{$name}";'),
    ],
    "go": [
        ('fmt.Println("║")', 'a")', 'fmt.Println("a")'),
    ],
    "css": [
        ('a { b: url("║") }', 'x.png")', 'a { b: url("x.png") }'),
    ],
    "lua": [
        ('print("║")', 'a")', 'print("a")'),
    ],
    "yaml": [
        ("version: '║'", "1.2'", "version: '1.2'"),
    ],
    "markdown": [
        ("see [║]", "a](b)", "see [a](b)"),
        ('He said "║"', 'hi"', 'He said "hi"'),
    ],
    "latex": [
        ("\\frac{║}", "a}{b}", "\\frac{a}{b}"),
    ],
    "typescript": [
        ("let m: Map<║>", "string, number>", "let m: Map<string, number>"),
        ("let m: Map<║>", "string, number> = f()", "let m: Map<string, number> = f()"),
        ("const [a] = useState<║>", 'string>("")', 'const [a] = useState<string>("")'),
    ],
    "java": [
        ("  <║> T f();", "T>", "  <T> T f();"),
    ],
    "rust": [
        ("let v: Vec<║>;", "i32>;", "let v: Vec<i32>;"),
    ],
    "cpp": [
        ("std::vector<║>", "int> v;", "std::vector<int> v;"),
    ],
    "c": [
        ("#include <║>", "stdio.h>", "#include <stdio.h>"),
    ],
    "html": [
        ("<div ║>", 'class="a">', '<div class="a">'),
        ("<div ║></div>", 'class="a">b</div>', '<div class="a">b</div>'),
        ("<div>║</div>", "b</div>", "<div>b</div>"),
        ('<a href="║"></a>', 'x">y</a>', '<a href="x">y</a>'),
    ],
    "typescriptreact": [
        ("return <Button ║/>", "onClick={f} />", "return <Button onClick={f} />"),
        ("return <║>", "div>a</div>", "return <div>a</div>"),
    ],
}


def accepted(language: str, drawing: str, answer: str, *, can_replace: bool = True) -> str | None:
    """The document with the suggestion taken; None if there is none."""
    before, after = drawing.split("║")
    context = CursorContext.at(
        prefix=before,
        suffix=after,
        language=language,
        manual=True,
        can_replace=can_replace,
        from_file_start=True,
    )
    suggestion = postprocess(Suggestion(answer), context).suggestion
    return None if suggestion is None else before + suggestion.text + after[suggestion.replace_chars :]


@pytest.mark.parametrize(
    ("language", "drawing", "answer", "line"),
    [(language, *row) for language, rows in ROWS.items() for row in rows],
)
def test_nothing_is_closed_twice(language: str, drawing: str, answer: str, line: str) -> None:
    assert accepted(language, f"{drawing}\n", answer) == f"{line}\n"


@pytest.mark.parametrize(
    ("language", "drawing", "answer", "line"),
    [
        ("python", 's = "║"', 'hello" + name', 's = "hello"'),
        ("python", 'print(f"{║}")', 'name}")\nprint("x")', 'print(f"{name}")'),
        ("typescript", "let m: Map<║>", "string, number> = f()", "let m: Map<string, number>"),
        ("html", "<div ║></div>", 'class="a">b</div>', '<div class="a"></div>'),
        ("python", 's = "║"', '" + name', None),
        ("python", 's = "abc║"', '"', None),
    ],
)
def test_a_client_that_only_inserts_gets_what_can_be_inserted(
    language: str, drawing: str, answer: str, line: str | None
) -> None:
    wanted = None if line is None else f"{line}\n"
    assert accepted(language, f"{drawing}\n", answer, can_replace=False) == wanted


def test_what_follows_the_closed_line_is_not_written_again() -> None:
    drawing = "function f() {\n  if (║)\n    g();\n  }\n}\n"
    answer = "a) {\n    g();\n  }"
    assert accepted("javascript", drawing, answer) == "function f() {\n  if (a) {\n    g();\n  }\n}\n"
