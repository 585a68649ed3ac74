"""Where completions end: ║ is the cursor; the text generated is given whole and also in pieces."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import RequestError
from model.stopping import MAX_PREFIX_CHARS, MAX_SUFFIX_CHARS, StopAt, StopRules, StopState


def run(rules: StopRules, pieces: list[str]) -> tuple[str, bool]:
    """(all that is emitted, whether a rule ended it) for text that comes in `pieces`."""
    state = StopState(rules)
    emitted = ""
    for piece in pieces:
        result = state.push(piece)
        assert result.finished == (result.reason == "stop")
        emitted += result.emit
        if result.finished:
            assert state.push("more").emit == ""
            assert state.flush() == ""
            return emitted, True
    return emitted + state.flush(), False


def check(rules: StopRules, generated: str) -> str:
    """What is emitted of `generated`, the same however it is cut into pieces."""
    whole = run(rules, [generated])[0]
    assert run(rules, list(generated))[0] == whole
    for size in (2, 3, 5, 7):
        assert run(rules, [generated[i : i + size] for i in range(0, len(generated), size)])[0] == whole
    assert generated.startswith(whole)
    return whole


def rules_at(document: str, stop_at: StopAt | None, path: str | None, *stop: str) -> StopRules:
    prefix, suffix = document.split("║")
    return StopRules.for_cursor(prefix, suffix, stop_at=stop_at, path=path, stop=stop)


def line(document: str, generated: str, path: str | None = None) -> str:
    return check(rules_at(document, StopAt.LINE, path), generated)


def block(document: str, generated: str, path: str | None = None) -> str:
    return check(rules_at(document, StopAt.BLOCK, path), generated)


class TestStopStrings:
    def stopped(self, generated: str, *stop: str) -> str:
        return check(StopRules(stop=stop), generated)

    def test_the_stop_string_is_not_emitted(self):
        assert self.stopped("one\n\ntwo", "\n\n") == "one"

    def test_without_one_everything_is_emitted(self):
        assert self.stopped("one two", "\n\n") == "one two"

    def test_the_beginning_of_a_stop_string_at_the_end_is_emitted(self):
        assert self.stopped("one\n", "\n\n") == "one\n"

    def test_the_one_that_is_complete_first_counts(self):
        assert self.stopped("xabcdy", "abcd", "bc") == "xa"

    def test_a_false_start_within_the_stop_string(self):
        assert self.stopped("aaaab!", "aab") == "aa"

    def test_text_that_may_become_one_is_held_back_and_no_more(self):
        state = StopState(StopRules(stop=("</s>",)))
        assert state.push("a<").emit == "a"
        assert state.push("/").emit == ""
        assert state.push("p>").emit == "</p>"

    def test_an_empty_stop_string_is_refused(self):
        with pytest.raises(RequestError, match="must not be empty") as caught:
            StopRules(stop=("a", ""))
        assert caught.value.field == "stop"

    @given(
        pieces=st.lists(st.text("ab\n", max_size=4), max_size=12),
        stop=st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3),
    )
    def test_pieces_do_not_matter(self, pieces, stop):
        rules = StopRules(stop=tuple(stop))
        assert run(rules, pieces) == run(rules, list("".join(pieces)))
        emitted, finished = run(rules, pieces)
        assert not any(one in emitted for one in stop)
        assert finished == any(one in "".join(pieces) for one in stop)


class TestLine:
    def test_ends_with_the_line(self):
        assert line("for i in ra║\n", "nge(3):\n    pass") == "nge(3):"

    def test_nothing_is_held_back(self):
        state = StopState(rules_at("x = ║\n", StopAt.LINE, None))
        assert [state.push(piece).emit for piece in ["1 ", "+", " foo", "(2"]] == ["1 ", "+", " foo", "(2"]

    def test_finished_at_the_line_end_itself(self):
        assert StopState(rules_at("x = ║", StopAt.LINE, None)).push("1\n").finished

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_a_line_end_at_the_cursor_leads_to_the_next_line(self, end):
        assert line(f"def f():║{end}", f"{end}    return 1{end}{end}x") == f"{end}    return 1"

    def test_line_ends_of_windows_in_two_pieces(self):
        state = StopState(rules_at("x = ║", StopAt.LINE, None))
        assert state.push("1\r").emit == "1"
        assert state.push("\n2").emit == ""

    def test_empty_lines_before_the_text(self):
        assert line("import os║\n", "\n\n\ndef f():\n    pass") == "\n\n\ndef f():"

    def test_nothing_but_empty_lines(self):
        emitted, finished = run(rules_at("x║", StopAt.LINE, None), ["\n"] * 20)
        assert (emitted, finished) == ("", True)

    def test_text_that_ends_without_a_line_end(self):
        assert line("x = ║", "1  ") == "1  "

    def test_white_space_alone_is_kept_if_the_model_ends_there(self):
        assert line("if x:║", "\n    ") == "\n    "

    def test_after_a_stop_string(self):
        assert check(rules_at("x = ║", StopAt.LINE, None, ";"), "1; y\nz") == "1"

    def test_a_stop_string_longer_than_the_line(self):
        assert check(rules_at("x = ║", StopAt.LINE, None, "\n\n"), "1\n\nz") == "1"

    def test_an_emoji_and_wide_text(self):
        assert line("print('║')", "日本語 🦙 ok')\nx") == "日本語 🦙 ok"


# What stands after the cursor on its line is not generated twice.
REST_OF_LINE = [
    ("foo(║)", "a, b)", "a, b"),
    ("foo(║)", "bar(x))", "bar(x)"),
    ("foo(║)", "bar(x)", "bar(x)"),  # right as it is
    ("foo(║)", "a)(b", "a)(b"),
    ("foo(║)", "a)(b)", "a)(b"),
    ("foo(║)", "a) + 1", "a"),
    ("foo(║, b)", "a, b)", "a"),
    ("foo(║, b)", "x, y", "x, y"),
    ("foo(bar(║)", "x)", "x)"),  # one of the two is still to be closed
    ("foo(bar(║)", "x))", "x)"),
    ("if (foo(║)) {", "a)) {", "a"),
    ("x = ║;", "1 + 2;", "1 + 2"),
    ("x = [a║]", ", b]", ", b"),
    ("x = {'a': ║}", "{'b': 1}}", "{'b': 1}"),
    ('print("║")', 'hello")', "hello"),
    ('print("║")', 'he said (")', "he said ("),
    ("print('║')", "a' + 'b')", "a' + 'b"),
    ("if x║:", " == {1: 2}:", " == {1: 2}"),
    ("x = d[║:]", "1:]", "1"),
    ("foo║()", "_bar()", "_bar"),
    ("x = ║ + 1", "a + 1", "a"),
    ("x = ║ + 1", "a * (b + 1)", "a * (b + 1)"),
    ("<p class='║'>", "big'>", "big"),
    ("it's (║)", "a)", "a"),
]


@pytest.mark.parametrize(("document", "generated", "expected"), REST_OF_LINE)
@pytest.mark.parametrize("stop_at", [StopAt.LINE, StopAt.BLOCK])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_rest_of_the_line(document, generated, expected, stop_at, ending):
    rules = rules_at(f"first = 1\n{document}\nlast = 2\n", stop_at, None)
    assert check(rules, generated + ending).rstrip("\r\n") == expected


class TestLineAndSuffix:
    def test_the_line_that_follows(self):
        document = "def f(x):\n    ║\n    return x\n"
        assert line(document, "return x\n") == ""
        assert line(document, "return x") == ""
        assert line(document, "return x + 1\n") == "return x + 1"
        assert line(document, "return y\n") == "return y"

    def test_the_line_that_follows_after_a_line_end(self):
        assert line("x = f(x)║\n\nreturn x\n", "\nreturn x\n") == ""

    def test_the_same_words_at_another_depth(self):
        assert line("if a:\n    if b:\n        ║\n    return x\n", "return x\n") == "return x"

    def test_a_line_that_closes_what_the_next_line_closes(self):
        assert line("foo(\n    a,\n    ║\n)\n", "b)\n") == "b"


PYTHON = [
    (
        "the body of a function",
        "def f(x):║\n\n\nprint(f(1))\n",
        "\n    y = x + 1\n    return y\n\n\nprint(f(2))\n",
        "\n    y = x + 1\n    return y",
    ),
    (
        "the rest of a body",
        "def f(x):\n    ║\n\n\nprint(f(1))\n",
        "for i in x:\n        print(i)\n    return x\n\n\ndef g():\n    pass\n",
        "for i in x:\n        print(i)\n    return x",
    ),
    (
        "an else belongs to the block",
        "def f(x):\n    ║\n",
        "if x:\n        return 1\n    else:\n        return 2\n\nx = 1\n",
        "if x:\n        return 1\n    else:\n        return 2",
    ),
    (
        "one function on the top level",
        "import os\n\n\n║\n",
        "def f():\n    return 1\n\n\ndef g():\n    return 2\n",
        "def f():\n    return 1",
    ),
    (
        "one decorated function on the top level",
        "║\n",
        "@cache\ndef f():\n    a = 1\n\n    return a\n\n\n@cache\ndef g():\n    return 2\n",
        "@cache\ndef f():\n    a = 1\n\n    return a",
    ),
    (
        "try and except on the top level",
        "║\n",
        "try:\n    import a\nexcept ImportError:\n    a = None\nfinally:\n    b = 1\nc = 2\n",
        "try:\n    import a\nexcept ImportError:\n    a = None\nfinally:\n    b = 1",
    ),
    (
        "a paragraph on the top level",
        "║",
        "import os\nimport re\n\nimport numpy\n",
        "import os\nimport re",
    ),
    (
        "one method",
        "class A:\n    ║\n\n    def z(self): ...\n",
        "def a(self):\n        return 1\n\n    def b(self):\n        return 2\n",
        "def a(self):\n        return 1",
    ),
    (
        "a call over several lines",
        "x = foo(║\n",
        "\n    a,\n    b,\n)\nbar()\n",
        "\n    a,\n    b,\n)",
    ),
    (
        "a call whose bracket is there",
        "x = foo(\n    ║\n)\n",
        "a,\n    b,\n)\nbar()\n",
        "a,\n    b,",
    ),
    (
        "a call whose bracket is there, behind the cursor",
        "x = foo(║)\n",
        "\n    a,\n    b,\n)\nbar()\n",
        "\n    a,\n    b,\n",
    ),
    (
        "text at the left margin within a string",
        "def f():\n    ║\n",
        'x = """\nSELECT 1\n"""\n    return x\n\nprint()\n',
        'x = """\nSELECT 1\n"""\n    return x',
    ),
    (
        "arguments at the left margin",
        "def f():\n    ║\n",
        "foo(\n1,\n)\n    return 2\n\nx = 1\n",
        "foo(\n1,\n)\n    return 2",
    ),
    (
        "a bracket within a comment and a string",
        "def f():\n    ║\n",
        "a = ')'  # :-)\n    b = '('  # (\n    return a\nc = 1\n",
        "a = ')'  # :-)\n    b = '('  # (\n    return a",
    ),
    (
        "a comment at the margin within the body",
        "def f():\n    ║\n",
        "a = 1\n# b = 2\n    return a\n",
        "a = 1\n# b = 2\n    return a\n",
    ),
    (
        "the comment of what comes next",
        "def f():\n    ║\n",
        "return 1\n\n# And now\nx = 1\n",
        "return 1",
    ),
    (
        "a docstring",
        'def f():\n    """Do ║\n    return 1\n',
        'it.\n\n    Quickly\n    """\n',
        'it.\n\n    Quickly\n    """\n',
    ),
    (
        "statements at the level of the cursor's line",
        "def f():\n    x = ║\n",
        "1\n    y = 2\n    return x + y\n\nz = 3\n",
        "1\n    y = 2\n    return x + y",
    ),
    (
        "the line is the last one of its block",
        "def f():\n    if x:\n        return 1║\n    return 2\n",
        "\n\nprint(1)\n",
        "",
    ),
    (
        "a bracket closed on a later line",
        "x = foo(a,║\n        b)\n",
        "\n        c,\n        d)\ny = 2\n",
        "\n        c,\n        d",
    ),
    (
        "floor division over lines",
        "def f():\n    ║\n",
        "a = b // (c +\n        d)\n    return a\n",
        "a = b // (c +\n        d)\n    return a\n",
    ),
    (
        "match statement",
        "def f(x):\n    ║\n\nf(1)\n",
        "match x:\n        case 1:\n            return 2\n        case _:\n            return 3\n\nf(2)\n",
        "match x:\n        case 1:\n            return 2\n        case _:\n            return 3",
    ),
]

PYTHON_SUFFIX = [
    (
        "an else of which the suffix is the body",
        "if a:\n    ║\n    b()\nd()\n",
        "c()\nelse:",
        "c()\nelse:",
    ),
    (
        "a definition of which the suffix is the body",
        "x = 1\n║\n    return a\n",
        "y = 2\n\ndef f(a):",
        "y = 2\n\ndef f(a):",
    ),
    (
        "a line before the one in whose block it is",
        "def f():\n    if x:\n        return 1║\n    return 2\n",
        "\n    if y:\n        return 3\n    return 2\n",
        "\n    if y:\n        return 3",
    ),
    (
        "the suffix is reached",
        "def f(x):\n    ║\n    return x\n",
        "x = x + 1\n    y = 2\n    return x\n",
        "x = x + 1\n    y = 2",
    ),
    (
        "the suffix is reached at the end of the text",
        "def f(x):\n    ║\n    y = 2\n    return x\n",
        "x = x + 1\n    y = 2",
        "x = x + 1",
    ),
    (
        "the suffix is reached with two lines",
        "def f(x):\n    ║\n    y = 2\n    return x\n",
        "x = x + 1\n    y = 2\n    return x\n    print()\n",
        "x = x + 1",
    ),
    (
        "only the first line of the suffix is the same",
        "class A:\n    ║\n\n    @property\n    def b(self):\n        return 2\n",
        "@property\n    def a(self):\n        return 1\n",
        "@property\n    def a(self):\n        return 1\n",
    ),
    (
        "the same line at another depth",
        "def f(x):\n    ║\n    return x\n",
        "if x:\n        return x\n    x = 2\n",
        "if x:\n        return x\n    x = 2\n",
    ),
    (
        "the block ends after the suffix's first line",
        "def f(x):\n    ║\n    return x\n    # end\n",
        "x = 1\n    return x\n\ny = 1\n",
        "x = 1",
    ),
    (
        "an else that is there",
        "if a:\n    ║\nelse:\n    b()\n",
        "c()\nelse:\n    d()\n",
        "c()",
    ),
    (
        "with line ends of Windows",
        "def f(x):\r\n    ║\r\n    return x\r\n",
        "x = x + 1\r\n    return x\r\n",
        "x = x + 1",
    ),
]

JAVASCRIPT = [
    (
        "a body with its brace",
        "function f(x) {║\n\nconst z = 1;\n",
        "\n  const y = x;\n  return y;\n}\n\nfunction g() {\n}\n",
        "\n  const y = x;\n  return y;\n}",
    ),
    (
        "a body whose brace is there",
        "function f(x) {\n  ║\n}\n",
        "const y = x;\n  return y;\n}\n\nfunction g() {\n}\n",
        "const y = x;\n  return y;",
    ),
    (
        "a body whose brace is behind the cursor",
        "function f(x) {║}\n",
        "\n  return x;\n}\n\nfunction g() {",
        "\n  return x;\n",
    ),
    (
        "the brace that is there is the outer one",
        "function f(x) {\n  if (x) {║\n}\n",
        "\n    return 1;\n  }\n  return 2;\n}\n",
        "\n    return 1;\n  }",
    ),
    (
        "a callback",
        "items.map((item) => {║\nnext();\n",
        "\n  return item.id;\n});\nother();\n",
        "\n  return item.id;\n});",
    ),
    (
        "a callback whose parenthesis is there",
        "items.map((item) => {║)\n",
        "\n  return item.id;\n})\nother();\n",
        "\n  return item.id;\n}",
    ),
    (
        "a callback that is closed already",
        "items.map((item) => {║});\n",
        "\n  return item.id;\n});\nother();\n",
        "\n  return item.id;\n",
    ),
    (
        "an else on the line of the brace",
        "function f(a) {\n  ║\n}\n",
        "if (a) {\n    b();\n  } else {\n    c();\n  }\n  return a;\n}\n",
        "if (a) {\n    b();\n  } else {\n    c();\n  }\n  return a;",
    ),
    (
        "an else after the block of the cursor's line",
        "  if (a) {║\n",
        "\n    b();\n  } else {\n    c();\n  }\n  d();\n",
        "\n    b();\n  } else {\n    c();\n  }",
    ),
    (
        "one function on the top level",
        "║\n",
        "export function f() {\n  return 1;\n}\n\nexport function g() {\n  return 2;\n}\n",
        "export function f() {\n  return 1;\n}",
    ),
    (
        "an object among others",
        "[\n  {\n    a: 1,\n  },\n  ║\n  {\n    a: 2,\n  },\n]\n",
        "{\n    a: 3,\n  },\n",
        "{\n    a: 3,\n  },\n",
    ),
    (
        "a template at the margin",
        "function f() {\n  ║\n}\n",
        "const a = `\n<p>${x}</p>\n`;\n  return a;\n}\n",
        "const a = `\n<p>${x}</p>\n`;\n  return a;",
    ),
    (
        "an apostrophe in a comment",
        "function f() {\n  ║\n}\n",
        "// it's (\n  return g(1);\n}\n",
        "// it's (\n  return g(1);",
    ),
    (
        "switch cases",
        "switch (x) {\n  case 1:\n    ║\n  case 2:\n    b();\n}\n",
        "a();\n    break;\n  case 2:\n    c();\n",
        "a();\n    break;",
    ),
    (
        "an empty body",
        "function f() {║\n",
        "\n}\n\nfunction g() {}\n",
        "\n}",
    ),
]

C = [
    (
        "braces on lines of their own",
        "║\n",
        "int main(void)\n{\n\tif (a)\n\t{\n\t\tb();\n\t}\n\treturn 0;\n}\n\nint g(void)\n{\n}\n",
        "int main(void)\n{\n\tif (a)\n\t{\n\t\tb();\n\t}\n\treturn 0;\n}",
    ),
    (
        "a preprocessor line within a body",
        "int f(void) {\n\t║\n}\n",
        "int a = 1;\n#ifdef X\n\ta = 2;\n#endif\n\treturn a;\n}\n",
        "int a = 1;\n#ifdef X\n\ta = 2;\n#endif\n\treturn a;",
    ),
    (
        "namespaces that are not indented",
        "namespace a {\nnamespace b {\n║\n}\n",
        "int x;\n}\n}\n",
        "int x;\n}",
    ),
    (
        "brackets in characters and comments",
        "int f(char c) {\n\t║\n}\n",
        "if (c == '}') /* } */ return 1; // }\n\treturn 0;\n}\nint g;\n",
        "if (c == '}') /* } */ return 1; // }\n\treturn 0;",
    ),
    (
        "a comment with text at the margin",
        "int f(char c) {\n\t║\n}\n",
        "/*\nText (\n*/\n\treturn 0;\n}\nint g;\n",
        "/*\nText (\n*/\n\treturn 0;",
    ),
]

GO = [
    (
        "an error check",
        "func f() error {\n\t║\n\treturn nil\n}\n",
        "if err := g(); err != nil {\n\t\treturn err\n\t}\n\treturn nil\n}\n",
        "if err := g(); err != nil {\n\t\treturn err\n\t}",
    ),
    (
        "a method with a receiver",
        "║\n",
        "func (s *S) Get() int {\n\treturn s.x\n}\n\nfunc (s *S) Set(x int) {\n\ts.x = x\n}\n",
        "func (s *S) Get() int {\n\treturn s.x\n}",
    ),
    (
        "a raw string",
        "func f() {\n\t║\n}\n",
        "q := `\nselect (\n`\n\trun(q)\n}\n",
        "q := `\nselect (\n`\n\trun(q)",
    ),
]

HTML = [
    (
        "an element among others",
        "<ul>\n  <li>\n    a\n  </li>\n  ║\n  <li>\n    b\n  </li>\n</ul>\n",
        "<li>\n    c\n  </li>\n",
        "<li>\n    c\n  </li>\n",
    ),
    (
        "the element's end is there",
        "<div>\n  ║\n</div>\n",
        "<p>It's (fine</p>\n  <p>b</p>\n</div>\n<div>\n",
        "<p>It's (fine</p>\n  <p>b</p>",
    ),
    (
        "the element's end is not there",
        "<div>║\n",
        "\n  <p>a</p>\n</div>\n<div>\n  b\n</div>\n",
        "\n  <p>a</p>\n</div>",
    ),
    (
        "the outer element's end is there",
        "<main>\n  <div>║\n</main>\n",
        "\n    <p>a</p>\n  </div>\n</main>\n",
        "\n    <p>a</p>\n  </div>",
    ),
]

YAML = [
    (
        "a mapping",
        "job:\n  steps:\n    ║\nother: 1\n",
        "- run: a\n    - run: b\n      name: c\n\nnext:\n  x: 1\n",
        "- run: a\n    - run: b\n      name: c",
    ),
    (
        "a key on the top level",
        "a: 1\n║\n",
        "b:\n  c: 2\n  d: [1,\n    2]\ne: 3\n",
        "b:\n  c: 2\n  d: [1,\n    2]",
    ),
    (
        "a block of text",
        "run: |║\nnext: 1\n",
        "\n  echo (\n  echo \"it's\n\nthen: 2\n",
        "\n  echo (\n  echo \"it's",
    ),
]

RUBY = [
    (
        "with its end",
        "def f(x)║\n",
        "\n  x.each do |y|\n    puts y\n  end\nend\n\ndef g\nend\n",
        "\n  x.each do |y|\n    puts y\n  end\nend",
    ),
    (
        "with the end there",
        "def f(x)\n  ║\nend\n",
        "if x\n    1\n  else\n    2\n  end\nend\n\ndef g\nend\n",
        "if x\n    1\n  else\n    2\n  end",
    ),
]

RUST = [
    (
        "lifetimes are not strings",
        "impl<'a> A<'a> {\n    ║\n}\n",
        "fn f(&'a self, c: char) -> &'a str {\n        if c == ')' { return \"\" }\n        self.x\n    }\n}",
        "fn f(&'a self, c: char) -> &'a str {\n        if c == ')' { return \"\" }\n        self.x\n    }",
    ),
]

CASES = [
    *[("a.py", *case) for case in PYTHON + PYTHON_SUFFIX],
    *[("a.js", *case) for case in JAVASCRIPT],
    *[("a.cpp", *case) for case in C],
    *[("a.go", *case) for case in GO],
    *[("a.html", *case) for case in HTML],
    *[("a.yaml", *case) for case in YAML],
    *[("a.rb", *case) for case in RUBY],
    *[("a.rs", *case) for case in RUST],
]


@pytest.mark.parametrize(
    ("path", "document", "generated", "expected"),
    [pytest.param(path, *rest, id=f"{path}: {name}") for path, name, *rest in CASES],
)
def test_block(path, document, generated, expected):
    assert block(document, generated, path) == expected


# The cursor stands before text of its line: what is inserted must leave that a line of its own.
BEFORE_A_LINE = [
    ("if a:\n    ║return x\n", "x = 1\n    y = x\n    return x\n", "x = 1\n    ", "x = 1\n    y = x\n    "),
    ("def f(x):\n║    return x\n", "    x += 1\n    return x\n", "    x += 1\n", "    x += 1\n"),
    ("def f(x):\n║    return x\n", "    x += 1\n", "    x += 1\n", "    x += 1\n"),
    ("def f(x):\n    ║return x\n", "return x\n", "", ""),
    ("def f(x):\n    ║return x\n", "await ", "await ", "await "),
    ("a = [\n    1,\n║b = 2\n", "    2,\n]\nb = 2\n", "    2,\n", "    2,\n]\n"),
    ("a = 1\n║    2,\n]\n", "b = [\n    2,\n]\n", "b = [\n", "b = [\n"),
    ("a = 1\nb = ║c(2)\n", "a + c(2)\n", "a + ", "a + "),
    ("║ 2)\n", "a = b(1, 2)\n", "a = b(1,", "a = b(1,"),
]


@pytest.mark.parametrize(("document", "generated", "as_line", "as_block"), BEFORE_A_LINE)
def test_before_text_of_the_line(document, generated, as_line, as_block):
    assert line(document, generated, "a.py") == as_line
    assert block(document, generated, "a.py") == as_block


# Brackets that the suffix closes and nobody has opened yet.
MISSING = [
    ("return ║string)\n", "len(string)\n", "len("),
    ("return ║set(x)))\n", "sorted(list(set(x)))\n", "sorted(list("),
    ("return int(║ == a\n", "round(a ** (1. / 3))) ** 3 == a\n", "round(a ** (1. / 3))) ** 3"),
    ("def f():\n║        'a': 1,\n    }\n    return\n", "    x = {\n        'a': 1,\n    }\n", "    x = {\n"),
]


@pytest.mark.parametrize(("document", "generated", "expected"), MISSING)
def test_brackets_that_the_completion_opens_for_the_suffix(document, generated, expected):
    assert block(document, generated, "a.py") == expected


DATA = Path(__file__).parents[3] / "shared" / "data" / "human-eval-infilling"
needs_infilling = pytest.mark.skipif(
    not DATA.is_dir(), reason="HumanEval infilling is not among the shared data of this machine"
)


def infilling_tasks(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / f"HumanEval-{name}.jsonl.gz", "rt") as lines:
        return [json.loads(one) for one in lines]


def is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


@needs_infilling
@pytest.mark.parametrize("stop_at", [StopAt.LINE, StopAt.BLOCK])
@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on with the suffix"])
class TestRealCode:
    """Middles that people wrote, by a model that ends there and by one that copies the suffix too."""

    def emitted(self, task: dict[str, str], stop_at: StopAt, goes_on: bool) -> str:
        generated = task["canonical_solution"] + (task["suffix"] if goes_on else "")
        rules = StopRules.for_cursor(task["prompt"], task["suffix"], stop_at=stop_at, path="a.py")
        return run(rules, [generated])[0]

    def test_single_lines_come_out_whole(self, stop_at, goes_on):
        for task in infilling_tasks("SingleLineInfilling"):
            text = self.emitted(task, stop_at, goes_on)
            assert text.rstrip() == task["canonical_solution"].rstrip(), task["task_id"]
            assert is_python(task["prompt"] + text + task["suffix"]), task["task_id"]

    def test_spans_are_shortened_at_most(self, stop_at, goes_on):
        exact = 0
        for task in infilling_tasks("RandomSpanInfillingLight"):
            text = self.emitted(task, stop_at, goes_on)
            assert task["canonical_solution"].startswith(text.rstrip()), task["task_id"]
            exact += text.rstrip() == task["canonical_solution"].rstrip()
            if stop_at is StopAt.BLOCK:  # a line alone often is no whole statement
                assert is_python(task["prompt"] + text + task["suffix"]), task["task_id"]
        assert exact >= (155 if stop_at is StopAt.BLOCK else 70)


# Pieces of code that the rules look at, so that random texts often touch them.
FRAGMENTS = st.sampled_from(
    [
        *("a", "b c", "(", ")", "{", "}", "[", "]"),
        *("'", '"', '"""', "`", "#", "//", "/*", "*/", "<!--", "</p>"),
        *(" ", "    ", "\t", "\n", "\r\n", "\r", ":", ", b)", " + 1", "else", "end", "return x", "def f"),
    ]
)


def code(max_size: int) -> st.SearchStrategy[str]:
    return st.lists(FRAGMENTS, max_size=max_size).map("".join)


@settings(max_examples=300)
@given(
    before=code(12),
    after=code(10),
    generated=code(20),
    copied=st.integers(0, 20),
    cuts=st.lists(st.integers(1, 9), max_size=60),
    stop_at=st.sampled_from([StopAt.LINE, StopAt.BLOCK]),
    stop=st.lists(st.sampled_from([")", "\n\n", "b c", "\nreturn x"]), max_size=2),
    path=st.sampled_from([None, "a.py", "a.js", "a.html", "a.rs"]),
)
def test_any_text_in_any_pieces(before, after, generated, copied, cuts, stop_at, stop, path):
    rules = StopRules(prefix_tail=before, suffix=after, stop_at=stop_at, stop=tuple(stop), path=path)
    generated += after[:copied]
    pieces, at = [], 0
    for size in [*cuts, len(generated)]:
        pieces.append(generated[at : at + size])
        at += size
    emitted = run(rules, pieces)[0]
    assert generated.startswith(emitted)
    assert emitted == run(rules, [generated])[0]
    assert emitted == run(rules, list(generated))[0]


class TestForCursor:
    def test_short_texts_are_kept(self):
        rules = StopRules.for_cursor("a\nb", "c\nd")
        assert (rules.prefix_tail, rules.suffix) == ("a\nb", "c\nd")

    def test_long_texts_are_cut_at_lines(self):
        prefix = "class A:\n" + "    def f(self):\n        pass\n\n" * 300 + "x = 1\n" + "    y(\n" * 400
        rules = StopRules.for_cursor(prefix + "    z", "\n" + "abc def\n" * 1000)
        assert rules.prefix_tail.endswith("    z")
        assert rules.prefix_tail[0] in "x "
        assert len(rules.prefix_tail) <= MAX_PREFIX_CHARS
        assert len(rules.suffix) <= MAX_SUFFIX_CHARS
        assert rules.suffix.endswith("def\n")

    def test_one_very_long_line(self):
        rules = StopRules.for_cursor("x" * 100_000, "y" * 100_000)
        assert len(rules.prefix_tail) == MAX_PREFIX_CHARS
        assert len(rules.suffix) == MAX_SUFFIX_CHARS
