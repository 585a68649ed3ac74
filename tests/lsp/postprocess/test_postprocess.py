"""The list of filters as a whole: order, reasons, line ends, and the growing text of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.postprocess import FINAL, STREAMING, CursorContext, Ended, Suggestion, postprocess
from lsp.postprocess.stream import SuggestionStream
from tests.lsp.cursors import at, final


def test_a_good_suggestion_comes_out_as_it_is() -> None:
    context = at("def area(r):\n    return ║\n\nprint(area(2))\n")
    outcome = postprocess(Suggestion("3.14 * r ** 2"), context)
    assert outcome.suggestion == Suggestion("3.14 * r ** 2")


def test_the_filter_that_dropped_is_named() -> None:
    context = at("def f():\n    ║\n    return 1\n")
    assert postprocess(Suggestion(" \n "), context).dropped_by == "drop_blank"
    assert postprocess(Suggestion("return 1"), context).dropped_by == "cut_suffix_overlap"


def test_the_streaming_filters_are_the_final_ones_in_the_same_order() -> None:
    assert [step for step in FINAL if step in STREAMING] == list(STREAMING)


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_the_documents_line_ends_go_in_and_come_out(eol: str) -> None:
    drawing = "def f(x):\n    if x:║\n    return 1\n".replace("\n", eol)
    assert (
        final("\r\n        x += 1\n        y = 2\n    return 1", drawing)
        == f"{eol}        x += 1{eol}        y = 2"
    )


def test_a_suggestion_of_one_line_knows_no_line_end() -> None:
    assert final("+ 1\n", "x = 2 ║") == "+ 1"


lines = st.lists(
    st.sampled_from(
        [
            "x = 1",
            "    y = 2",
            "    return y",
            "",
            "}",
            "    }",
            "f(",
            ")",
            "  )",
            "else {",
            '"',
            "'''",
            "# (",
            "    y = 2",
        ]
    ),
    max_size=8,
)


@given(
    above=lines,
    before=st.sampled_from(["", "    ", "f(", "if x {", "    y"]),
    tail=st.sampled_from(["", "", ")", "}", " + 1"]),
    below=lines,
    suggestion=lines,
    ended=st.sampled_from([Ended.STOP, Ended.LENGTH]),
    language=st.sampled_from(["python", "typescript", "c", "ruby"]),
    step_chars=st.integers(1, 30),
    crlf=st.booleans(),
)
def test_what_a_stream_shows_only_grows(
    above: list[str],
    before: str,
    tail: str,
    below: list[str],
    suggestion: list[str],
    ended: Ended,
    language: str,
    step_chars: int,
    crlf: bool,
) -> None:
    eol = "\r\n" if crlf else "\n"
    context = CursorContext.at(
        prefix=eol.join([*above, before]), suffix=eol.join([tail, *below]), language=language
    )
    text = "\n".join(suggestion)
    stream = SuggestionStream(context)
    shown = ""
    for start in range(0, len(text), step_chars):
        shown += stream.push(text[start : start + step_chars])
        assert stream.shown == shown
    outcome = stream.finish(ended)
    if shown:
        assert outcome.suggestion is not None
        assert outcome.suggestion.text.startswith(shown)


@given(suggestion=lines, below=lines, ended=st.sampled_from(list(Ended)))
def test_filters_only_shorten_what_they_do_not_indent(
    suggestion: list[str], below: list[str], ended: Ended
) -> None:
    context = CursorContext.at(prefix="    if x:", suffix="\n" + "\n".join(below), language="typescript")
    text = "\n".join(suggestion)
    outcome = postprocess(Suggestion(text, ended), context)
    assert outcome.suggestion is None or text.startswith(outcome.suggestion.text)


def test_a_stream_shows_whole_lines_as_they_come() -> None:
    stream = SuggestionStream(at("def f():║\n\n\ndef g():\n    pass\n"))
    assert stream.push("\n    x = ") == ""
    assert stream.push("1\n    y") == "\n    x = 1"
    assert stream.push(" = 2\n") == "\n    y = 2"
    outcome = stream.finish(Ended.STOP)
    assert outcome.suggestion is not None
    assert outcome.suggestion.text == "\n    x = 1\n    y = 2"


def test_a_stream_holds_back_lines_that_may_be_the_next_ones() -> None:
    stream = SuggestionStream(at("def f(x):║\n    return 1\n    # end\n"))
    assert stream.push("\n    y = 1\n") == "\n    y = 1"
    assert stream.push("    return 1\n") == ""
    # It was not the next line of the document after all.
    assert stream.push("    return 2\n") == "\n    return 1\n    return 2"


def test_with_text_behind_the_cursor_a_stream_waits_for_the_end() -> None:
    stream = SuggestionStream(at("x = foo(║)\n"))
    assert stream.push("a,\n    b)\n") == ""
    outcome = stream.finish(Ended.STOP)
    assert outcome.suggestion is not None
    assert outcome.suggestion.text == "a,\n    b"


def test_a_finished_stream_keeps_what_was_shown_even_if_a_filter_would_drop_it() -> None:
    stream = SuggestionStream(at("║"))
    text = "".join(f"x = {n % 2}\n" for n in range(12))
    shown = stream.push(text)
    assert stream.is_looping()
    outcome = stream.finish(Ended.LENGTH)
    assert shown
    assert outcome.suggestion is not None
    assert outcome.suggestion.text == shown
