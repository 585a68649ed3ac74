"""Commits of one file: `<commit_before>A<commit_msg>subject<commit_after>B`.

Rules of BigCode's preprocessing (`filtering_git_commits.ipynb`). One in five commits is laid out
with the whole file, the others with the changed lines and up to 32 more on either side. The
notebook's changed range begins at the file's first line by an oversight (a minimum with 0); here
it begins at the first line that changed, as the paper has it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from random import Random
from typing import Any

from training.corpus.errors import CorpusError
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason

COMMIT_BEFORE = "<commit_before>"
COMMIT_MSG = "<commit_msg>"
COMMIT_AFTER = "<commit_after>"
MAX_OLD_CHARS = 100_000
SMALL_CHANGE_LINES = 2
LARGE_CHANGE_LINES = 200
SMALL_OR_LARGE_RATE = 0.1
SHORT_SUBJECT_WORDS = 5
SHORT_SUBJECT_RATE = 0.5
DATA_RATE = 0.5
WHOLE_FILE_RATE = 0.2
MAX_WIDENING_LINES = 32
_MAX_CHARS_A_WORD = 20
_DATA = frozenset({".json", ".yml", ".yaml", ".xml", ".html"})
_BAD_PARTS = ("auto commit", "update contributing", "<?xml")
_BAD_SUBJECTS = frozenset(
    {"readme", "update", "dummy", "updated", "debug", "test", "update readme", "update readme.md"}
    | {"updated readme.md", "updated readme"}
)
_VERSION = re.compile(r"v?\d+\.\d+\.\d+(?=$|\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The change of one file."""

    old_file: str
    old_text: str
    new_text: str
    subject: str
    repositories: tuple[str, ...]

    @property
    def key(self) -> bytes:
        """What only one commit is kept of: the file, in its repositories."""
        return hashlib.sha256(f"{','.join(self.repositories)}/{self.old_file}".encode()).digest()


def commit_of(row: Mapping[str, Any]) -> Commit:
    """A row with the columns of BigCode's commits; raises CorpusError on another form."""
    try:
        return Commit(
            old_file=str(row["old_file"]),
            old_text=str(row["old_contents"]),
            new_text=str(row["new_contents"]),
            subject=str(row["subject"]),
            repositories=tuple(name for name in str(row["repos"]).split(",") if name),
        )
    except KeyError as error:
        raise CorpusError(f"a commit without the column {error}; it has {', '.join(row)}") from error


def commit_text(commit: Commit) -> MarkedText | Reason:
    """One commit in the training format, or why it is dropped; chance comes from its own contents."""
    random = Random(hashlib.sha256(commit.key + commit.subject.encode()).digest())
    reason = _why_not(commit, random)
    if reason is not None:
        return reason
    before, after = _shown(commit, random)
    marked = MarkedText().token(COMMIT_BEFORE).plain(before)
    return marked.token(COMMIT_MSG).plain(commit.subject).token(COMMIT_AFTER).plain(after)


def _why_not(commit: Commit, random: Random) -> Reason | None:
    if len(commit.old_text) >= MAX_OLD_CHARS:
        return Reason.COMMIT_TOO_LARGE
    if not commit.new_text:
        return Reason.COMMIT_EMPTY
    if not says_something(commit.subject):
        return Reason.COMMIT_SUBJECT
    for rate in _rates(commit):
        if random.random() > rate:
            return Reason.COMMIT_SAMPLED_OUT
    return None


def _rates(commit: Commit) -> list[float]:
    rates = []
    start, old_end, _ = changed_lines(commit.old_text.splitlines(), commit.new_text.splitlines())
    if old_end - start <= SMALL_CHANGE_LINES or old_end - start >= LARGE_CHANGE_LINES:
        rates.append(SMALL_OR_LARGE_RATE)
    if PurePosixPath(commit.old_file).suffix in _DATA:
        rates.append(DATA_RATE)
    if len(commit.subject.split()) < SHORT_SUBJECT_WORDS:
        rates.append(SHORT_SUBJECT_RATE)
    return rates


def says_something(subject: str) -> bool:
    """Whether a subject is more than a version, a stock phrase or one long word."""
    lowered = subject.lower()
    words = lowered.split()
    if not words or lowered in _BAD_SUBJECTS or any(part in lowered for part in _BAD_PARTS):
        return False
    if _VERSION.match(lowered) or len(subject) / len(words) > _MAX_CHARS_A_WORD:
        return False
    return not (lowered.startswith(" ") and len(words) == 1)


def changed_lines(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """(first changed line of both, end in the old file, end in the new one); ends are exclusive."""
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    most = min(len(old), len(new)) - start
    tail = 0
    while tail < most and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return start, len(old) - tail, len(new) - tail


def _shown(commit: Commit, random: Random) -> tuple[str, str]:
    if random.random() < WHOLE_FILE_RATE:
        return commit.old_text, commit.new_text
    old, new = commit.old_text.splitlines(), commit.new_text.splitlines()
    start, old_end, new_end = changed_lines(old, new)
    above, below = (random.randint(0, MAX_WIDENING_LINES) for _ in range(2))
    first = max(0, start - above)
    return "\n".join(old[first : old_end + below]), "\n".join(new[first : new_end + below])
