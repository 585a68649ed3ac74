"""Typing into a suggestion. Drawings are whole documents with the cursor as ║."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.completion.type_through import DocumentState, Fit, Offer, TypedMatch, type_through


def state(drawing: str, version: int = 1, *, uri: str = "file:///a.py", first_line: int = 0) -> DocumentState:
    """The state of a drawn document, of which the lines before `first_line` are not in the window."""
    before, after = drawing.split("║")
    window = "".join(before.splitlines(keepends=True)[first_line:])
    return DocumentState(uri=uri, version=version, line=before.count("\n"), before=window, after=after)


def offer(text: str, drawing: str, *, finished: bool = True) -> Offer:
    return Offer(state=state(drawing), text=text, finished=finished)


def match(text: str, drawing: str, now: str, *, finished: bool = True) -> TypedMatch | None:
    return type_through(offer(text, drawing, finished=finished), state(now, 2))


@pytest.mark.parametrize(
    ("text", "before", "now", "typed", "remainder"),
    [
        ("return x", "def f():\n    ║", "def f():\n    ret║", "ret", "urn x"),
        ("return x", "def f():\n    ║", "def f():\n    ║", "", "return x"),
        ("\n    a = 1\n    b = 2", "def f():║\nmore", "def f():\n    a║\nmore", "\n    a", " = 1\n    b = 2"),
        ("\n    a = 1", "def f():║\nmore", "def f():\n║\nmore", "\n", "    a = 1"),
        ("😀 + 'é'", "x = ║", "x = 😀 ║", "😀 ", "+ 'é'"),
    ],
)
def test_what_is_typed_as_suggested_leaves_the_rest(
    text: str, before: str, now: str, typed: str, remainder: str
) -> None:
    found = match(text, before, now)
    assert found == TypedMatch(fit=Fit.REMAINDER, typed=typed, remainder=remainder)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("a\nx = ║\nb", "a\nx = ret║\nb"),  # typed something else
        ("a\nx = ║\nb", "c\nx = fo║\nb"),  # changed above
        ("a\nx = ║\nb", "a\nx = fo║\nc"),  # changed below
        ("a\nx = ║\nb", "a\nx ║\nb"),  # deleted more than was typed
        ("a\nx = ║\nb", "a║\nx = \nb"),  # moved away
        ("a\nx = ║", "a\nx = fo║\nmore"),
        ("a\nx = ║\nb", "new\na\nx = fo║\nb"),
    ],
)
def test_any_other_change_ends_it(before: str, now: str) -> None:
    assert match("foo(bar)", before, now) is None


def test_other_documents_and_older_versions_do_not_fit() -> None:
    made = Offer(state=state("x = ║", 5), text="foo", finished=True)
    assert type_through(made, state("x = f║", 4)) is None
    assert type_through(made, state("x = f║", 6, uri="file:///b.py")) is None
    assert type_through(made, state("x = f║", 6)) is not None


def test_all_typed_is_complete_only_when_nothing_more_comes() -> None:
    complete = match("foo", "x = ║", "x = foo║")
    assert complete is not None
    assert complete.fit is Fit.COMPLETE
    running = match("foo", "x = ║", "x = foo║", finished=False)
    assert running is not None
    assert running.fit is Fit.REMAINDER


def test_typing_may_be_ahead_of_a_running_suggestion() -> None:
    found = match("fo", "x = ║", "x = foo║", finished=False)
    assert found == TypedMatch(fit=Fit.AHEAD, typed="foo", remainder="")
    assert match("fo", "x = ║", "x = foo║", finished=True) is None
    assert match("fa", "x = ║", "x = foo║", finished=False) is None


@pytest.mark.parametrize(
    ("now", "typed", "closed"),
    [
        ("x = foo(║)\nb", "foo(", ")"),
        ("x = foo([║])\nb", "foo([", "])"),
        ("x = foo([1║])\nb", "foo([1", "])"),
    ],
)
def test_brackets_that_the_editor_closes_do_not_disturb(now: str, typed: str, closed: str) -> None:
    found = match("foo([1, 2])", "x = ║\nb", now)
    assert found is not None
    assert (found.typed, found.closed) == (typed, closed)
    assert typed + found.remainder == "foo([1, 2])"


def test_a_bracket_is_closed_on_a_line_of_its_own_after_enter() -> None:
    found = match("{\n  a();\n}", "if (x) ║\nb", "if (x) {\n  ║\n}\nb")
    assert found is not None
    assert (found.remainder, found.closed) == ("a();\n}", "\n}")


def test_a_closing_bracket_typed_over_the_one_that_stood_there() -> None:
    found = match("1, 2)", "x = foo(║)\nb", "x = foo(1, 2)║\nb", finished=False)
    assert found is not None
    assert (found.typed, found.remainder) == ("1, 2)", "")


def test_a_cursor_that_only_moved_has_typed_nothing() -> None:
    made = offer("1, 2)", "x = foo(1, 2║)\nb")
    assert (
        type_through(Offer(state=made.state, text=")", finished=False), state("x = foo(1, 2)║\nb", 1)) is None
    )
    assert match("\nb = 1", "x = 1║\nb", "x = 1\n║b") is None


def test_what_was_added_must_close_what_was_typed() -> None:
    assert match("foo(1)", "x = ║\nb", "x = foo║)\nb") is None
    assert match("foo(1)", "x = ║\nb", "x = foo(║]\nb") is None


def test_line_ends_of_the_document_are_no_difference() -> None:
    found = match("\n    a = 1\n    b", "def f():║\r\nmore", "def f():\r\n    a = 1\r\n║\r\nmore")
    assert found is not None
    assert found.remainder == "    b"


def test_windows_may_begin_at_different_lines() -> None:
    drawing = "".join(f"line {n}\n" for n in range(50))
    made = Offer(state=state(drawing + "x = ║"), text="foo", finished=True)
    found = type_through(made, state(drawing + "x = f║", 2, first_line=30))
    assert found is not None
    assert found.remainder == "oo"
    changed = drawing.replace("line 40", "line forty")
    assert type_through(made, state(changed + "x = f║", 2, first_line=30)) is None


def test_a_backspace_and_retyping_leads_back_to_the_offer() -> None:
    made = offer("turn x", "re║")
    remainders = []
    for version, now in enumerate(["ret║", "retu║", "ret║", "re║", "r║", "re║", "ret║"], start=2):
        found = type_through(made, state(now, version))
        remainders.append(None if found is None else found.remainder)
    assert remainders == ["urn x", "rn x", "urn x", "turn x", None, "turn x", "urn x"]


def test_a_long_paste_is_compared_quickly() -> None:
    made = offer("x" * 3000 + "(" * 3000, "a║\n" + "b" * 5000)
    now = state("a" + "x" * 3000 + "(" * 3000 + "║)\n" + "c" * 5000, 2)
    started = time.process_time()
    for _ in range(20):
        assert type_through(made, now) is None
    assert time.process_time() - started < 0.5


texts = st.text(alphabet="ab \n(){}\"'x", max_size=30)


@given(before=texts, after=texts, text=texts, length=st.integers(0, 30), crlf=st.booleans())
def test_every_beginning_of_a_suggestion_fits(
    before: str, after: str, text: str, length: int, crlf: bool
) -> None:
    eol = "\r\n" if crlf else "\n"
    typed = text[:length]
    made = offer(text, (before + "║" + after).replace("\n", eol))
    now = (before + typed + "║" + after).replace("\n", eol)
    found = type_through(made, state(now, 2))
    assert found is not None
    assert found.typed == typed
    assert found.typed + found.remainder == text


@given(before=texts, after=texts, text=texts, other=texts)
def test_what_fits_is_a_beginning(before: str, after: str, text: str, other: str) -> None:
    found = type_through(offer(text, f"{before}║{after}"), state(f"{before}{other}║{after}", 2))
    assert (found is not None) == text.startswith(other)
