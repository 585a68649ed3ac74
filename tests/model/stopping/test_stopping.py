"""Where completions end: ║ is the cursor; the text generated is given whole and also in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import RequestError
from model.stopping.stopping import MAX_PREFIX_CHARS, MAX_SUFFIX_CHARS, StopAt, StopRules, StopState
from tests.model.stopping.stopping import block, check, line, rules_at, run


class TestStopStrings:
    def stopped(self, generated: str, *stop: str) -> str:
        return check(StopRules(stop=stop), generated)

    def test_the_stop_string_is_not_emitted(self) -> None:
        assert self.stopped("one\n\ntwo", "\n\n") == "one"

    def test_without_one_everything_is_emitted(self) -> None:
        assert self.stopped("one two", "\n\n") == "one two"

    def test_the_beginning_of_a_stop_string_at_the_end_is_emitted(self) -> None:
        assert self.stopped("one\n", "\n\n") == "one\n"

    def test_the_one_that_is_complete_first_counts(self) -> None:
        assert self.stopped("xabcdy", "abcd", "bc") == "xa"

    def test_a_false_start_within_the_stop_string(self) -> None:
        assert self.stopped("aaaab!", "aab") == "aa"

    def test_text_that_may_become_one_is_held_back_and_no_more(self) -> None:
        state = StopState(StopRules(stop=("</s>",)))
        assert state.push("a<").emit == "a"
        assert state.push("/").emit == ""
        assert state.push("p>").emit == "</p>"

    def test_an_empty_stop_string_is_refused(self) -> None:
        with pytest.raises(RequestError, match="must not be empty") as caught:
            StopRules(stop=("a", ""))
        assert caught.value.field == "stop"

    @given(
        pieces=st.lists(st.text("ab\n", max_size=4), max_size=12),
        stop=st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3),
    )
    def test_pieces_do_not_matter(self, pieces: list[str], stop: list[str]) -> None:
        rules = StopRules(stop=tuple(stop))
        assert run(rules, pieces) == run(rules, list("".join(pieces)))
        emitted, finished = run(rules, pieces)
        assert not any(one in emitted for one in stop)
        assert finished == any(one in "".join(pieces) for one in stop)


class TestLine:
    def test_ends_with_the_line(self) -> None:
        assert line("for i in ra║\n", "nge(3):\n    pass") == "nge(3):"

    def test_nothing_is_held_back(self) -> None:
        state = StopState(rules_at("x = ║\n", StopAt.LINE, None))
        assert [state.push(piece).emit for piece in ["1 ", "+", " foo", "(2"]] == ["1 ", "+", " foo", "(2"]

    def test_finished_at_the_line_end_itself(self) -> None:
        assert StopState(rules_at("x = ║", StopAt.LINE, None)).push("1\n").finished

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_a_line_end_at_the_cursor_leads_to_the_next_line(self, end: str) -> None:
        assert line(f"def f():║{end}", f"{end}    return 1{end}{end}x") == f"{end}    return 1"

    def test_line_ends_of_windows_in_two_pieces(self) -> None:
        state = StopState(rules_at("x = ║", StopAt.LINE, None))
        assert state.push("1\r").emit == "1"
        assert state.push("\n2").emit == ""

    def test_empty_lines_before_the_text(self) -> None:
        assert line("import os║\n", "\n\n\ndef f():\n    pass") == "\n\n\ndef f():"

    def test_nothing_but_empty_lines(self) -> None:
        emitted, finished = run(rules_at("x║", StopAt.LINE, None), ["\n"] * 20)
        assert (emitted, finished) == ("", True)

    def test_text_that_ends_without_a_line_end(self) -> None:
        assert line("x = ║", "1  ") == "1  "

    def test_white_space_alone_is_kept_if_the_model_ends_there(self) -> None:
        assert line("if x:║", "\n    ") == "\n    "

    def test_after_a_stop_string(self) -> None:
        assert check(rules_at("x = ║", StopAt.LINE, None, ";"), "1; y\nz") == "1"

    def test_a_stop_string_longer_than_the_line(self) -> None:
        assert check(rules_at("x = ║", StopAt.LINE, None, "\n\n"), "1\n\nz") == "1"

    def test_an_emoji_and_wide_text(self) -> None:
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
def test_rest_of_the_line(document: str, generated: str, expected: str, stop_at: StopAt, ending: str) -> None:
    rules = rules_at(f"first = 1\n{document}\nlast = 2\n", stop_at, None)
    assert check(rules, generated + ending).rstrip("\r\n") == expected


class TestLineAndSuffix:
    def test_the_line_that_follows(self) -> None:
        document = "def f(x):\n    ║\n    return x\n"
        assert line(document, "return x\n") == ""
        assert line(document, "return x") == ""
        assert line(document, "return x + 1\n") == "return x + 1"
        assert line(document, "return y\n") == "return y"

    def test_the_line_that_follows_after_a_line_end(self) -> None:
        assert line("x = f(x)║\n\nreturn x\n", "\nreturn x\n") == ""

    def test_the_same_words_at_another_depth(self) -> None:
        assert line("if a:\n    if b:\n        ║\n    return x\n", "return x\n") == "return x"

    def test_a_line_that_closes_what_the_next_line_closes(self) -> None:
        assert line("foo(\n    a,\n    ║\n)\n", "b)\n") == "b"


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
def test_before_text_of_the_line(document: str, generated: str, as_line: str, as_block: str) -> None:
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
def test_brackets_that_the_completion_opens_for_the_suffix(
    document: str, generated: str, expected: str
) -> None:
    assert block(document, generated, "a.py") == expected


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
def test_any_text_in_any_pieces(
    before: str,
    after: str,
    generated: str,
    copied: int,
    cuts: list[int],
    stop_at: StopAt,
    stop: list[str],
    path: str | None,
) -> None:
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
    def test_short_texts_are_kept(self) -> None:
        rules = StopRules.for_cursor("a\nb", "c\nd")
        assert (rules.prefix_tail, rules.suffix) == ("a\nb", "c\nd")

    def test_long_texts_are_cut_at_lines(self) -> None:
        prefix = "class A:\n" + "    def f(self):\n        pass\n\n" * 300 + "x = 1\n" + "    y(\n" * 400
        rules = StopRules.for_cursor(prefix + "    z", "\n" + "abc def\n" * 1000)
        assert rules.prefix_tail.endswith("    z")
        assert rules.prefix_tail[0] in "x "
        assert len(rules.prefix_tail) <= MAX_PREFIX_CHARS
        assert len(rules.suffix) <= MAX_SUFFIX_CHARS
        assert rules.suffix.endswith("def\n")

    def test_one_very_long_line(self) -> None:
        rules = StopRules.for_cursor("x" * 100_000, "y" * 100_000)
        assert len(rules.prefix_tail) == MAX_PREFIX_CHARS
        assert len(rules.suffix) == MAX_SUFFIX_CHARS
