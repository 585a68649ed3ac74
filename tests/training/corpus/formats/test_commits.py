"""Commits as training texts."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.training.corpus.formats.marked_texts import tokens_of
from training.corpus.errors import CorpusError
from training.corpus.formats.commits import Commit, changed_lines, commit_of, commit_text, says_something
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason


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
