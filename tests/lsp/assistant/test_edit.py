"""Which code a question is about, what is said of it, and what becomes of the answer: all without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.assistant.conversations import MAX_CHARS, MAX_CONVERSATIONS, MAX_MESSAGES, Conversations
from lsp.assistant.edit import CUT_OFF, NO_BLOCK, PART, SAME, Change, change_of
from lsp.assistant.prompt import CodeProblem, QuestionKind, Said, put
from lsp.assistant.subject import Subject, around_diagnostic, common_indent, definition_at, selected
from lsp.documents.documents import Document, split_lines
from model.fences import code_blocks

PYTHON = """\
import math


class Circle:
    def __init__(self, radius):
        self.radius = radius

    @property
    def area(self):
        if self.radius < 0:
            raise ValueError(self.radius)

        return math.pi * self.radius**2

    def other(self):
        pass


x = 1
y = 2
"""
C = """\
int twice(int x)
{
    if (x > 0) {
        return 2 * x;
    } else {
        return 0;
    }
}

int main(void) {
    return twice(1);
}
"""


def lines(text: str) -> list[str]:
    return [line.rstrip("\r\n") for line in split_lines(text)]


def subject(text: str, first: int, last: int, *, language: str = "python") -> Subject:
    document = Document("file:///project/a.py", text, 1, language)
    return Subject.of(document, first, last, path="a.py")


def applied(text: str, change: Change | str) -> str:
    assert isinstance(change, Change), change
    all_lines = lines(text)
    all_lines[change.first : change.last] = change.lines
    return "\n".join(all_lines)


class TestSubjects:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (8, (7, 13)),  # on the head
            (7, (7, 13)),  # on its decorator
            (10, (7, 13)),  # within a branch
            (12, (7, 13)),
            (5, (4, 6)),
            (3, (3, 16)),  # the class
            (18, (18, 20)),  # outside of any: the paragraph
        ],
    )
    def test_the_function_around_a_line(self, line: int, expected: tuple[int, int]) -> None:
        assert definition_at(lines(PYTHON), line) == expected

    @pytest.mark.parametrize(("line", "expected"), [(0, (0, 8)), (3, (0, 8)), (5, (0, 8)), (10, (9, 12))])
    def test_with_braces(self, line: int, expected: tuple[int, int]) -> None:
        assert definition_at(lines(C), line) == expected

    @given(st.lists(st.sampled_from(["", "  ", "a:", "  b", "    c {", "}", "  if x:", "@d"]), min_size=1))
    def test_it_holds_the_line_whatever_the_text(self, text: list[str]) -> None:
        for line in range(len(text)):
            first, last = definition_at(text, line)
            assert 0 <= first < last <= len(text)

    def test_a_fault_in_a_long_function_is_shown_with_what_is_near(self) -> None:
        text = ["def f():", *(f"    x{n} = {n}" for n in range(200))]
        assert around_diagnostic(text, 100, 101) == (90, 111)
        assert around_diagnostic(lines(PYTHON), 12, 13) == (7, 13)

    def test_a_selection_that_ends_at_a_lines_start_does_not_take_that_line(self) -> None:
        assert selected((2, 4), (5, 0)) == (2, 5)
        assert selected((2, 4), (5, 1)) == (2, 6)
        assert selected((2, 0), (2, 0)) == (2, 3)

    def test_code_is_told_without_its_indentation(self) -> None:
        assert subject(PYTHON, 4, 6).code == "def __init__(self, radius):\n    self.radius = radius"

    @pytest.mark.parametrize(
        ("given_lines", "expected"),
        [([" a", "  b"], " "), (["\ta", "  b"], ""), (["  a", "", "    "], "  "), ([], "")],
    )
    def test_indentation_in_common(self, given_lines: list[str], expected: str) -> None:
        assert common_indent(given_lines) == expected


class TestWords:
    def said(
        self,
        kind: QuestionKind,
        question: str = "",
        problems: tuple[CodeProblem, ...] = (),
        room: int = 10_000,
    ) -> Said:
        return put(kind, question, subject(PYTHON, 7, 13), problems, max_chars=room)

    def test_the_code_comes_last_and_what_is_around_it_first(self) -> None:
        said = self.said(QuestionKind.EXPLAIN)
        around, code = code_blocks(said.text)
        assert said.text[code.start : code.end].startswith("@property\ndef area(self):\n    if")
        assert "class Circle" in said.text[around.start : around.end]
        assert "`a.py`, lines 8 to 13:" in said.text
        assert said.text.endswith(said.kept)
        assert "class Circle" not in said.kept
        assert code.language == "python"

    def test_a_long_file_is_not_told_whole_and_documentation_and_tests_need_none_of_it(self) -> None:
        text = "x = 1\n" * 4_000 + PYTHON + "x = 1\n" * 4_000
        long = subject(text, 4_007, 4_013)
        edit = put(QuestionKind.EDIT, "Use numpy.", long, (), max_chars=24_000)
        assert 2_900 < len(edit.text) - len(edit.kept) < 3_300
        for kind in (QuestionKind.DOCUMENT, QuestionKind.TEST):
            said = put(kind, "", long, (), max_chars=24_000)
            assert said.text == said.kept

    def test_documentation_is_asked_for_by_its_name(self) -> None:
        assert self.said(QuestionKind.DOCUMENT).text.startswith("Add a docstring to this code.")
        other = put(QuestionKind.DOCUMENT, "", subject("f();\n", 0, 1, language="c"), (), max_chars=500)
        assert other.text.startswith("Add a documentation comment to this code.")

    def test_a_diagnostic_with_its_line(self) -> None:
        problem = CodeProblem(message="undefined  name\n'math'", source="pyflakes", line=12)
        text = self.said(QuestionKind.FIX, problems=(problem,)).text
        assert "pyflakes: undefined name 'math'\nin line 13: `return math.pi * self.radius**2`" in text

    def test_a_question_beside_the_task(self) -> None:
        assert "Use numpy." in self.said(QuestionKind.EDIT, "Use numpy. ").kept

    @given(st.integers(0, 900))
    def test_it_keeps_to_its_room(self, room: int) -> None:
        said = self.said(QuestionKind.EXPLAIN, room=room)
        # Beside the code there is the task, the name of the file and the fences.
        assert len(said.text) <= max(room, 0) + 120
        assert all(block.closed for block in code_blocks(said.text))
        assert said.is_cut == (len(list(code_blocks(said.text))) == 1 and "radius**2" not in said.text)

    def test_code_with_fences_of_its_own(self) -> None:
        text = '"""\n```py\nHuman: x\n```\n"""\n'
        said = put(QuestionKind.ASK, "Why?", subject(text, 0, 5), (), max_chars=500)
        *_, code = code_blocks(said.text)
        assert said.text[code.start : code.end] == text

    def test_a_question_without_code(self) -> None:
        assert put(QuestionKind.ASK, " Why? ", None, (), max_chars=10).text == "Why?"


FUNCTION = "def add(a, b):\n    return a + b\n"
DOCS = '"""Add.\n\n        More.\n        """'
CHANGING = [QuestionKind.DOCUMENT, QuestionKind.FIX, QuestionKind.EDIT]
METHOD = "class A:\n    def add(self, b):\n        return b\n"


def block(code: str, language: str = "python") -> str:
    return f"Here:\n\n```{language}\n{code}\n```\nThat is all."


class TestChanges:
    def change(
        self,
        answer: str,
        kind: QuestionKind = QuestionKind.EDIT,
        *,
        text: str = FUNCTION,
        complete: bool = True,
    ) -> Change | str:
        first = 1 if text == METHOD else 0
        return change_of(answer, kind, subject(text, first, len(lines(text)) - 1), is_complete=complete)

    def test_the_code_takes_the_place_of_the_old_lines(self) -> None:
        change = self.change(block("def add(a, b):\n    return b + a"))
        assert applied(FUNCTION, change) == "def add(a, b):\n    return b + a\n"

    def test_at_the_depth_of_the_old_lines(self) -> None:
        change = self.change(block("  def add(self, b):\n\n      return -b\n"), text=METHOD)
        assert applied(METHOD, change) == "class A:\n    def add(self, b):\n\n        return -b\n"

    def test_the_block_of_the_documents_language_is_taken(self) -> None:
        answer = "```sh\npip install x\n```\n" + block("def add(a, b):\n    return 3")
        assert applied(FUNCTION, self.change(answer)) == "def add(a, b):\n    return 3\n"

    @pytest.mark.parametrize(
        ("answer", "complete", "expected"),
        [
            ("No code here.", True, NO_BLOCK),
            ("```python\n\n```", True, NO_BLOCK),
            ("```python\ndef add(a, b):", False, CUT_OFF),
            (block(FUNCTION), True, SAME),
        ],
    )
    def test_no_change_and_why(self, answer: str, complete: bool, expected: str) -> None:
        assert self.change(answer, complete=complete) == expected

    def test_a_model_that_forgets_the_last_fence(self) -> None:
        answer = "```python\ndef add(a, b):\n    return 1"
        assert applied(FUNCTION, self.change(answer)) == "def add(a, b):\n    return 1\n"

    def test_what_stands_above_the_code_is_not_written_again(self) -> None:
        above = "import json\nimport math\n\n\n"
        whole = subject(above + FUNCTION, 4, 6)

        def change(answer: str) -> Change | str:
            return change_of(block(answer), QuestionKind.FIX, whole, is_complete=True)

        assert change(above + FUNCTION) == SAME
        fixed = FUNCTION.replace("a + b", "b + a")
        assert applied(above + FUNCTION, change("import json\n\n" + fixed)) == above + fixed
        # What is new stays.
        assert applied(above + FUNCTION, change("import os\n\n" + fixed)) == above + "import os\n\n" + fixed

    def test_an_excerpt_does_not_replace_a_long_function(self) -> None:
        long = "def f():\n" + "".join(f"    x{n} = {n}\n" for n in range(10))
        assert self.change(block("x3 = 4"), QuestionKind.FIX, text=long) == PART

    @pytest.mark.parametrize(
        ("text", "documentation", "expected"),
        [
            (FUNCTION, '"""Add."""', 'def add(a, b):\n    """Add."""\n    return a + b\n'),
            (
                METHOD,
                "    " + DOCS.replace("        ", "    "),
                METHOD.replace(
                    "        return", '        """Add.\n\n        More.\n        """\n        return'
                ),
            ),
            (FUNCTION, "# Adds.\n# Really.", "# Adds.\n# Really.\ndef add(a, b):\n    return a + b\n"),
            (
                "def add(\n    a, b\n):\n    return a\n",
                '"""Add."""',
                'def add(\n    a, b\n):\n    """Add."""\n    return a\n',
            ),
            (FUNCTION, f'{FUNCTION[:14]}\n    """Add."""\n    return a + b', None),
        ],
    )
    def test_documentation_alone_is_put_where_it_belongs(
        self, text: str, documentation: str, expected: str | None
    ) -> None:
        expected = expected or 'def add(a, b):\n    """Add."""\n    return a + b\n'
        assert applied(text, self.change(block(documentation), QuestionKind.DOCUMENT, text=text)) == expected

    def test_a_comment_of_another_language(self) -> None:
        text = "    int twice(int x) {\n        return 2 * x;\n    }\n"
        answer = block("/**\n * Twice x.\n */", "c")
        change = change_of(answer, QuestionKind.DOCUMENT, subject(text, 0, 3, language="c"), is_complete=True)
        assert applied(text, change) == "    /**\n     * Twice x.\n     */\n" + text

    def test_other_code_is_no_documentation(self) -> None:
        assert self.change(block("print(add(1, 2))"), QuestionKind.DOCUMENT) == PART

    def test_a_second_docstring_is_not_put_beside_the_first(self) -> None:
        text = 'def add(a, b):\n    """Add."""\n    return a + b\n'
        assert self.change(block('"""Sum."""'), QuestionKind.DOCUMENT, text=text) == PART

    @given(
        st.text(alphabet="ab`\n #\"'d", max_size=60),
        st.sampled_from([QuestionKind.DOCUMENT, QuestionKind.FIX, QuestionKind.EDIT]),
    )
    def test_whatever_the_answer_the_rest_of_the_file_stays(self, answer: str, kind: QuestionKind) -> None:
        text = f"before\n{FUNCTION}after\n"
        change = change_of(answer, kind, subject(text, 1, 3), is_complete=True)
        if isinstance(change, Change):
            result = applied(text, change)
            assert result.startswith("before\n")
            assert result.endswith("\nafter\n")


class TestConversations:
    def test_they_are_kept_and_forgotten(self) -> None:
        kept = Conversations()
        first, said = kept.open(None)
        assert said == ()
        kept.add(first, "q", "a")
        assert kept.open(first) == (first, kept.open(first)[1])
        assert [(each.role, each.text) for each in kept.open(first)[1]] == [("user", "q"), ("assistant", "a")]
        kept.forget(first)
        assert kept.open(first)[1] == ()
        assert kept.open(first)[0] != first

    def test_their_number_and_length_have_bounds(self) -> None:
        kept = Conversations()
        ids = [kept.open(None)[0] for _ in range(MAX_CONVERSATIONS + 3)]
        for each in ids:
            kept.add(each, "q", "a")
        assert len(kept) == MAX_CONVERSATIONS
        assert kept.open(ids[0])[1] == ()
        for n in range(MAX_MESSAGES):
            kept.add(ids[-1], f"q{n}", "a")
        messages = kept.open(ids[-1])[1]
        assert len(messages) == MAX_MESSAGES
        assert messages[-2].text == f"q{MAX_MESSAGES - 1}"
        kept.add(ids[-1], "long", "x" * MAX_CHARS)
        assert kept.open(ids[-1])[1][0].text == "long"
        kept.forget()
        assert len(kept) == 0
