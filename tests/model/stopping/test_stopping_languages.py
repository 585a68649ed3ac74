"""Where blocks of languages other than Python end: ║ is the cursor."""

from __future__ import annotations

import pytest

from tests.model.stopping.stopping import block

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
def test_block(path: str, document: str, generated: str, expected: str) -> None:
    assert block(document, generated, path) == expected
