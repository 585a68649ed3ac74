"""Issues as training texts."""

from __future__ import annotations

import pytest

from tests.training.corpus.formats.marked_texts import marked, tokens_of
from training.corpus.errors import CorpusError
from training.corpus.formats.issues import (
    Event,
    events_of,
    is_bot,
    issue_text,
    truncated,
    without_bots,
    without_mail,
)
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason

LONG = "The build fails on every machine that I have tried it on, with the message below. " * 3


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
