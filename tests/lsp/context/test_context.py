"""Windows around a cursor: bounded, right, and stable while the user types."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.context.context import ContextBudget, PromptWindow, window_around
from lsp.documents.documents import split_lines

BUDGET = ContextBudget(prefix_chars=1000, suffix_chars=300, excerpt_chars=300)


def window(drawing: str, budget: ContextBudget = BUDGET) -> PromptWindow:
    before, after = drawing.split("║")
    line = before.count("\n")
    return window_around(split_lines(before + after), line, len(before) - before.rfind("\n") - 1, budget)


def test_a_small_document_is_taken_whole() -> None:
    found = window("import os\nos.║path\nprint()\n")
    assert (found.prefix, found.suffix) == ("import os\nos.", "path\nprint()\n")
    assert (found.start_line, found.end_line) == (0, 4)


@given(
    lines=st.lists(st.text(alphabet="ab (\t", max_size=80), min_size=1, max_size=120),
    line=st.integers(0, 119),
    column=st.integers(0, 80),
    eol=st.sampled_from(["\n", "\r\n"]),
)
def test_a_window_is_a_bounded_part_of_the_document(
    lines: list[str], line: int, column: int, eol: str
) -> None:
    line %= len(lines)
    column = min(column, len(lines[line]))
    text = eol.join(lines)
    cursor = sum(len(each) + len(eol) for each in lines[:line]) + column
    found = window_around(split_lines(text), line, column, BUDGET)
    assert text[:cursor].endswith(found.prefix)
    assert len(found.prefix) <= BUDGET.prefix_chars
    assert len(found.suffix) <= 2 * BUDGET.suffix_chars
    if found.start_line:
        assert len(found.prefix) >= 0.5 * BUDGET.prefix_chars - 80
        assert text[: cursor - len(found.prefix)].endswith(("\n", ""))
    assert found.suffix.rstrip() in text[cursor:]


def test_typing_leaves_the_start_and_the_suffix_alone() -> None:
    above = "".join(f"some_name_{n} = compute({n})\n" for n in range(400))
    below = "\n" + "".join(f"other_name_{n} = compute({n})\n" for n in range(400))
    first = window(above + "║" + below)
    changes = 0
    typed = ""
    for character in "def function(argument):\n    value = argument * 2\n    return value\n" * 8:
        typed += character
        now = window(above + typed + "║" + below)
        assert now.suffix == first.suffix
        changes += now.prefix[:100] != first.prefix[:100]
        first = now
    # 560 characters are typed into a window that drops about 250 at a time.
    assert 1 <= changes <= 4


def test_one_long_line_is_cut_in_steps_too() -> None:
    starts = {
        window("x" * n + "║").prefix[:1] and len(window("x" * n + "║").prefix) - n for n in range(5000, 5250)
    }
    assert len(starts) <= 2
    assert 750 <= len(window("x" * 5000 + "║").prefix) <= 1000


def test_brackets_that_come_and_go_with_the_editor_stay_out_of_the_suffix() -> None:
    assert window("x = foo║\ny\n").suffix == window("x = foo(║)\ny\n").suffix == "\ny\n"
    assert window('x = foo("║")\ny\n').suffix == "\ny\n"
    assert window("x = foo(║, b)\ny\n").suffix == ", b)\ny\n"
    assert window("x = {║}\r\ny\r\n").suffix == "\r\ny\r\n"


def test_the_suffix_ends_with_a_line() -> None:
    found = window("║\n" + "line of text\n" * 100)
    assert found.suffix.endswith("text\n")
    assert len(found.suffix) <= BUDGET.suffix_chars + 1


def test_a_huge_file_costs_what_a_small_one_costs() -> None:
    lines = split_lines("    some_name = compute(value)\n" * 200_000)
    started = time.process_time()
    for line in range(100_000, 100_200):
        window_around(lines, line, 4, BUDGET)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("tokens", [256, 1024, 2048, 8192])
@pytest.mark.parametrize("language", ["python", "typescript", "c", "haskell"])
def test_a_budget_fits_its_engine(tokens: int, language: str) -> None:
    budget = ContextBudget.of_engine(tokens, max_new_tokens=64, language=language)
    total = budget.prefix_chars + budget.suffix_chars + budget.excerpt_chars
    assert 2.0 * (tokens - 100) <= total <= 3.5 * (tokens - 64)
    whole = budget.without_excerpts()
    assert whole.prefix_chars + whole.suffix_chars == total
    assert whole.excerpt_chars == 0


def test_an_engine_with_hardly_any_context_still_gets_something() -> None:
    assert ContextBudget.of_engine(64, max_new_tokens=64).prefix_chars > 50
