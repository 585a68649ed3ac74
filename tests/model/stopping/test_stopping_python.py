"""Where blocks of Python end: ║ is the cursor. Also in code that people wrote."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest

from model.stopping.stopping import StopAt, StopRules
from tests.model.stopping.stopping import block, run

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


@pytest.mark.parametrize(
    ("document", "generated", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in PYTHON + PYTHON_SUFFIX],
)
def test_block(document: str, generated: str, expected: str) -> None:
    assert block(document, generated, "a.py") == expected


DATA = Path(__file__).parents[4] / "shared" / "data" / "human-eval-infilling"
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

    def test_single_lines_come_out_whole(self, stop_at: StopAt, goes_on: bool) -> None:
        for task in infilling_tasks("SingleLineInfilling"):
            text = self.emitted(task, stop_at, goes_on)
            assert text.rstrip() == task["canonical_solution"].rstrip(), task["task_id"]
            assert is_python(task["prompt"] + text + task["suffix"]), task["task_id"]

    def test_spans_are_shortened_at_most(self, stop_at: StopAt, goes_on: bool) -> None:
        exact = 0
        for task in infilling_tasks("RandomSpanInfillingLight"):
            text = self.emitted(task, stop_at, goes_on)
            assert task["canonical_solution"].startswith(text.rstrip()), task["task_id"]
            exact += text.rstrip() == task["canonical_solution"].rstrip()
            if stop_at is StopAt.BLOCK:  # a line alone often is no whole statement
                assert is_python(task["prompt"] + text + task["suffix"]), task["task_id"]
        assert exact >= (155 if stop_at is StopAt.BLOCK else 70)
