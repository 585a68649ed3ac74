from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from model.fim_format import SPECIAL_TOKENS
from training.corpus.document import Reason
from training.corpus.errors import CorpusError
from training.corpus.formats.code import star_bin, tags
from training.corpus.formats.commits import Commit, changed_lines, commit_of, commit_text, says_something
from training.corpus.formats.issues import (
    Event,
    events_of,
    is_bot,
    issue_text,
    truncated,
    without_bots,
    without_mail,
)
from training.corpus.formats.marked import MarkedText, segments
from training.corpus.formats.notebooks import script_of, structured_text

LONG = "The build fails on every machine that I have tried it on, with the message below. " * 3


def tokens_of(marked: MarkedText) -> list[str]:
    return [marked.text[start:end] for start, end in marked.special]


def marked(outcome: MarkedText | Reason) -> MarkedText:
    assert isinstance(outcome, MarkedText), outcome
    assert set(tokens_of(outcome)) <= set(SPECIAL_TOKENS)
    return outcome


# --- code


@pytest.mark.parametrize(
    ("stars", "name"),
    [
        *((None, "0"), (0, "0"), (1, "1-10"), (10, "1-10"), (11, "10-100"), (100, "10-100")),
        *((101, "100-1000"), (1000, "100-1000"), (1001, "1000+")),
    ],
)
def test_star_bins(stars: int | None, name: str) -> None:
    assert star_bin(stars) == name


def test_tags_stand_in_their_order_and_the_newline_only_after_a_tag() -> None:
    assert tags("o/r", "a.py", 12, (True, True, True)).text == "<reponame>o/r<filename>a.py<gh_stars>10-100\n"
    assert tags("o/r", "a.py", None, (False, True, False)).text == "<filename>a.py\n"
    assert tags("o/r", "a.py", 5, (False, False, False)).text == ""


def test_letters_of_a_token_in_a_text_are_ordinary() -> None:
    text = MarkedText().token("<issue_start>").plain("a <issue_start> b").token("<issue_closed>")
    pieces = list(segments(text.text, text.special))
    assert [(piece.text, piece.is_token) for piece in pieces] == [
        ("<issue_start>", True),
        ("a <issue_start> b", False),
        ("<issue_closed>", True),
    ]


# --- issues


def test_an_issue_is_a_conversation_without_names() -> None:
    events = [
        Event(author="ada-l", text=f"{LONG}\n@bob please look"),
        Event(author="bob", text="Thanks ada-l, mended. bobsled is another word."),
        Event(author="ada-l", text="", closes=True),
    ]
    assert marked(issue_text("Build fails, says bob", events)).text == (
        f"<issue_start>Title: Build fails, says username_1\nusername_0: {LONG}\n@username_1 please look"
        "<issue_comment>username_1: Thanks username_0, mended. bobsled is another word.<issue_closed>"
    )


def test_a_closing_comment_follows_its_token() -> None:
    events = [Event(author="a1", text=LONG), Event(author="b1", text="Done.", closes=True)]
    text = marked(issue_text("T", events))
    assert text.text.endswith("<issue_closed>username_1: Done.")
    assert tokens_of(text) == ["<issue_start>", "<issue_closed>"]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([Event(author="a", text="short"), Event(author="b", text="too")], Reason.ISSUE_TOO_SHORT),
        ([Event(author="a", text="x " * 3501)], Reason.ISSUE_OF_ONE_USER),
        ([Event(author="a", text="x " * 50)] * 11, Reason.ISSUE_OF_ONE_USER),
        ([Event(author="stale[bot]", text=LONG)], Reason.ISSUE_OF_BOTS),
    ],
)
def test_issues_that_teach_little_are_dropped(events: list[Event], reason: Reason) -> None:
    assert issue_text("T", events) is reason


def test_one_user_may_write_up_to_7000_characters_in_10_events() -> None:
    assert isinstance(issue_text("T", [Event(author="a", text="x" * 700)] * 10), MarkedText)


@pytest.mark.parametrize(
    "author", ["dependabot[bot]", "codecov-io", "travis-ci", "k8s-ci-robot", "my-ci", "Coveralls"]
)
def test_bots_are_known_by_their_names(author: str) -> None:
    assert is_bot(author)


@pytest.mark.parametrize("author", ["abbott", "circe", "robotics-fan", "testa"])
def test_people_are_not_bots(author: str) -> None:
    assert not is_bot(author)


def test_a_call_to_a_bot_goes_with_its_answer() -> None:
    events = [
        Event(author="a", text=LONG),
        Event(author="b", text="/retest"),
        Event(author="k8s-ci-robot", text="running"),
        Event(author="b", text="a person's comment"),
        Event(author="codecov-io", text="coverage"),
    ]
    assert [event.text for event in without_bots(events)] == [LONG, "a person's comment"]


def test_long_comments_lose_their_middle() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert truncated("\n".join(lines)).split("\n") == [*lines[:60], "[Truncated]", *lines[80:]]
    assert truncated("\n".join(lines[:80])) == "\n".join(lines[:80])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "I agree.\nFrom: Ada <a@b.io>\nReply to this email directly or view it on GitHub:\nhttps://github.com/x\nBye",
            "I agree.",
        ),
        ("> what he wrote\n> more\nMy answer.", "My answer."),
        ("Fixed.\n______________________________\n", "Fixed."),
        ("Nothing to remove.", "Nothing to remove."),
    ],
)
def test_what_mail_programs_add_is_removed(text: str, expected: str) -> None:
    assert without_mail(text) == expected


def test_a_row_of_the_stack_becomes_events() -> None:
    row = {
        "repo": "o/r",
        "events": [
            {
                "author": "a",
                "type": "issue",
                "action": "opened",
                "title": "T",
                "description": "D",
                "comment": None,
            },
            {
                "author": "b",
                "type": "comment",
                "action": "created",
                "title": None,
                "comment": "C",
                "description": "",
            },
            {
                "author": "a",
                "type": "issue",
                "action": "closed",
                "title": "T",
                "comment": "",
                "description": "",
            },
        ],
    }
    title, events = events_of(row)
    assert title == "T"
    assert events == [
        Event(author="a", text="D"),
        Event(author="b", text="C"),
        Event(author="a", text="", closes=True),
    ]
    with pytest.raises(CorpusError, match="without events of known form"):
        events_of({"events": [{"user": "a"}]})


# --- commits


def commit(
    old: str, new: str, subject: str = "Mend the rounding of negative prices", file: str = "a.py"
) -> Commit:
    return Commit(old_file=file, old_text=old, new_text=new, subject=subject, repositories=("o/r",))


def many(subject_number: int = 0, lines: int = 8, count: int = 600) -> list[MarkedText | Reason]:
    """Commits of `lines` changed lines in the middle of 200, each of another file."""
    old = [f"line {number}" for number in range(200)]
    new = [f"new {n}" if 100 <= n < 100 + lines else line for n, line in enumerate(old)]
    return [commit_text(commit("\n".join(old), "\n".join(new), file=f"{i}.py")) for i in range(count)]


def test_a_commit_has_before_message_after() -> None:
    outcomes = [outcome for outcome in many() if isinstance(outcome, MarkedText)]
    assert len(outcomes) == 600
    for outcome in outcomes:
        assert tokens_of(outcome) == ["<commit_before>", "<commit_msg>", "<commit_after>"]
        assert "<commit_msg>Mend the rounding of negative prices<commit_after>" in outcome.text
        assert "line 100\n" in outcome.text
        assert "new 100\n" in outcome.text


def test_a_fifth_shows_the_whole_file_the_rest_up_to_32_lines_around_the_change() -> None:
    befores = [
        outcome.text.split("<commit_msg>")[0].removeprefix("<commit_before>")
        for outcome in many()
        if isinstance(outcome, MarkedText)
    ]
    firsts = Counter(int(before.split("\n")[0].split()[1]) for before in befores)
    lasts = Counter(int(before.split("\n")[-1].split()[1]) for before in befores)
    assert 0.14 < firsts[0] / 600 < 0.26
    del firsts[0], lasts[199]
    assert (min(firsts), max(firsts)) == (100 - 32, 100)
    assert (min(lasts), max(lasts)) == (107, 107 + 32)


@pytest.mark.parametrize(("lines", "share"), [(1, 0.1), (2, 0.1), (3, 1.0)])
def test_a_tenth_of_the_small_changes_is_kept(lines: int, share: float) -> None:
    kept = sum(isinstance(outcome, MarkedText) for outcome in many(lines=lines)) / 600
    assert kept == pytest.approx(share, abs=0.04)


def test_a_tenth_of_the_large_changes_and_half_of_short_subjects_and_data_are_kept() -> None:
    long = "\n".join(f"line {number}" for number in range(400))
    changed = "\n".join(f"new {number}" for number in range(400))
    medium = "\n".join(f"new {number}" if number < 9 else f"line {number}" for number in range(400))

    def kept(new: str, subject: str = "Mend the rounding of prices", suffix: str = "py") -> float:
        texts = [commit_text(commit(long, new, subject, f"{i}.{suffix}")) for i in range(400)]
        return sum(isinstance(text, MarkedText) for text in texts) / 400

    assert kept(changed) == pytest.approx(0.1, abs=0.05)
    assert kept(medium, subject="Mend the rounding") == pytest.approx(0.5, abs=0.08)
    assert kept(medium, suffix="json") == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("old", "new", "subject", "reason"),
    [
        ("x" * 100_000, "y", "Mend the rounding of prices", Reason.COMMIT_TOO_LARGE),
        ("x", "", "Mend the rounding of prices", Reason.COMMIT_EMPTY),
        ("x", "y", "v1.2.3", Reason.COMMIT_SUBJECT),
        ("x", "y", "", Reason.COMMIT_SUBJECT),
    ],
)
def test_commits_that_teach_nothing_are_dropped(old: str, new: str, subject: str, reason: Reason) -> None:
    assert commit_text(commit(old, new, subject)) is reason


@pytest.mark.parametrize(
    "subject",
    [
        "Update README.md",
        "update",
        "1.10.0",
        "v2.0.1-beta",
        "auto commit of today",
        "  ",
        " fix",
        "a" * 40 + " b",
    ],
)
def test_subjects_that_say_nothing(subject: str) -> None:
    assert not says_something(subject)


@pytest.mark.parametrize("subject", ["Add a test of rounding", "Bump to 2.0", "fix"])
def test_subjects_that_say_something(subject: str) -> None:
    assert says_something(subject)


@pytest.mark.parametrize(
    ("old", "new", "range_"),
    [
        ("abcde", "abXde", (2, 3, 3)),
        ("abc", "abXYc", (2, 2, 4)),
        ("abXYc", "abc", (2, 4, 2)),
        ("aaa", "aaaa", (3, 3, 4)),
        ("", "ab", (0, 0, 2)),
        ("abc", "abc", (3, 3, 3)),
    ],
)
def test_the_changed_range_is_what_head_and_tail_leave(
    old: str, new: str, range_: tuple[int, int, int]
) -> None:
    assert changed_lines(list(old), list(new)) == range_


def test_a_row_without_a_column_is_named() -> None:
    with pytest.raises(CorpusError, match="old_file"):
        commit_of({"subject": "x"})


# --- notebooks


def cell(kind: str, source: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
    return made | ({"outputs": outputs or [], "execution_count": None} if kind == "code" else {})


def stream(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}]


def notebook(*cells: dict[str, Any], language: str = "python", extension: str = ".py") -> str:
    metadata = {
        "kernelspec": {"name": language},
        "language_info": {"name": language, "file_extension": extension},
    }
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebook_is_text_code_and_output_in_turn() -> None:
    source = notebook(
        cell("code", "import numpy"),  # before the first text: left out
        cell("markdown", "# Adding\n<b>two</b> numbers"),
        cell("markdown", "more"),
        cell("code", "a = 1"),
        cell("code", "print(a + 1)", stream("2\n")),
        cell("markdown", "Plotting"),
        cell(
            "code", "plot(a)", [{"output_type": "display_data", "data": {"image/png": "…"}, "metadata": {}}]
        ),
        cell("markdown", "The end"),  # after the last code: left out
    )
    text = marked(structured_text(source))
    assert text.text == (
        "<jupyter_start><jupyter_text>Addingtwo numbers more"
        "<jupyter_code>a = 1\nprint(a + 1)<jupyter_output>2"
        "<jupyter_text>Plotting<jupyter_code>plot(a)<jupyter_output><empty_output>"
    )
    assert tokens_of(text)[-1] == "<empty_output>"


def test_long_outputs_are_cut_at_1000_characters() -> None:
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("x" * 1001)))
    assert marked(structured_text(source)).text.endswith("<jupyter_output>" + "x" * 1000 + "[...]")
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("x" * 1000)))
    assert marked(structured_text(source)).text.endswith("<jupyter_output>" + "x" * 1000)


def test_a_user_who_prints_a_token_prints_ordinary_text() -> None:
    source = notebook(cell("markdown", "t"), cell("code", "c", stream("<jupyter_start>")))
    text = marked(structured_text(source))
    assert text.text.endswith("<jupyter_output><jupyter_start>")
    assert tokens_of(text).count("<jupyter_start>") == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("not json", Reason.NOTEBOOK_UNREADABLE),
        ("[]", Reason.NOTEBOOK_UNREADABLE),
        ('{"cells": [{}]}', Reason.NOTEBOOK_UNREADABLE),
        (
            notebook(cell("markdown", "t"), cell("code", "x <- 1"), language="ir", extension=".r"),
            Reason.NOTEBOOK_UNREADABLE,
        ),
        (notebook(cell("code", "only code")), Reason.NOTEBOOK_EMPTY),
    ],
)
def test_what_is_no_notebook_of_python_is_dropped(source: str, reason: Reason) -> None:
    assert structured_text(source) is reason


def test_format_3_is_read_too() -> None:
    sheet = {
        "cells": [
            {"cell_type": "heading", "level": 2, "source": ["Title"]},
            {"cell_type": "code", "input": ["x = 1\n", "y"], "language": "python"},
        ]
    }
    source = json.dumps(
        {"worksheets": [sheet], "metadata": {"name": "n"}, "nbformat": 3, "nbformat_minor": 0}
    )
    assert (
        "<jupyter_text>Title<jupyter_code>x = 1\ny<jupyter_output><empty_output>"
        in marked(structured_text(source)).text
    )
    script = script_of(source, "a/n.ipynb")
    assert script == ("a/n.py", "# ## Title\n\nx = 1\ny\n")


def test_a_notebook_becomes_a_script_of_its_language() -> None:
    source = notebook(cell("markdown", "# Adding\ntwo"), cell("code", "%matplotlib inline\nprint(1)"))
    assert script_of(source, "dir/Adding.ipynb") == (
        "dir/Adding.py",
        "# # Adding\n# two\n\n# %matplotlib inline\nprint(1)\n",
    )
    source = notebook(cell("markdown", "Title"), cell("code", "x <- 1"), language="R", extension=".r")
    assert script_of(source, "a.ipynb") == ("a.r", "# Title\n\nx <- 1\n")
    assert script_of("{}", "a.ipynb") is Reason.NOTEBOOK_UNREADABLE
