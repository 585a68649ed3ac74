"""GitHub issues as conversations: who said what, without bots and without names.

    <issue_start>Title: T\\nusername_0: …<issue_comment>username_1: …<issue_closed>…

Rules of BigCode's preprocessing (`filtering_issues.py`): text that mail programs add is removed;
comments over 80 lines keep their first 60 and last 20; bots and the calls to them go; at least 200
characters remain, of two users, or of one in at most 7,000 characters and 10 events. One
difference: a user's name is replaced where it stands as a word, not inside of other words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.corpus.errors import CorpusError
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason

ISSUE_START = "<issue_start>"
ISSUE_COMMENT = "<issue_comment>"
ISSUE_CLOSED = "<issue_closed>"
MIN_CHARS = 200
MAX_CHARS_OF_ONE_USER = 7000
MAX_EVENTS_OF_ONE_USER = 10
MAX_LINES = 80
LAST_LINES = 20

_MAILS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(.*)From:.+Reply to this email directly.+view it on GitHub(.*)\n?(.*)",
        r"(.*)On.+notifications@github.com.+wrote:.+Reply to this email directly"
        r".+view it on GitHub(.*)\n?(.*)",
        r"(.*)Signed-off-by: .+<.+>(.*?)\n?(.*)",
    )
)
_MAIL_HINTS = ("Reply to this email directly", "Signed-off-by: ")
_MAIL_DATE = re.compile(r"\d+/\d+/\d+ \d{2}:\d{2} [AP]M.+wrote")
_PAGE_BREAK = re.compile(r"_{20,}")
_BOT_NAMES = frozenset(
    "Apache-HBase AutorestCI CLAassistant cmsbuild codecov-io codecov-commenter coveralls danger-public "
    "dnfclas msftclas PyDocTeur SparkQA karma-pr-reporter claassistantio probot-stale".lower().split()
)
_BOT_PARTS = ("[bot]", "botmanager", "bors-", "jenkins", "k8s-", "-test-", "travis")
_BOT_ENDS = (
    *("-automaton", "-automation", "-benchmark", "-build", "-deployer", "-cloud", "bot", "-ci", "-linter"),
    *("-teamcity", "-test", "-testing", "-service-account"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What one user did: wrote `text`, or closed the issue, or both."""

    author: str
    text: str
    closes: bool = False


def issue_text(title: str, events: Sequence[Event]) -> MarkedText | Reason:
    """One issue in the training format, or why it is dropped."""
    spoken = [replace(event, text=truncated(without_mail(event.text))) for event in events]
    people = without_bots(spoken)
    if not people:
        return Reason.ISSUE_OF_BOTS
    reason = _why_not(people)
    return reason if reason is not None else _laid_out(title, people)


def events_of(row: Mapping[str, Any]) -> tuple[str, list[Event]]:
    """(title, events) of a row with The Stack's columns; raises CorpusError on other forms."""
    try:
        events = [
            Event(
                author=str(raw["author"]),
                text=str(raw.get("comment") or raw.get("description") or raw.get("text") or ""),
                closes=raw.get("action") == "closed",
            )
            for raw in row["events"]
        ]
        titles = [raw.get("title") for raw in row["events"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"an issue without events of known form ({error!r}): {str(row)[:200]}") from error
    return str(row.get("title") or next((title for title in titles if title), "")), events


def without_mail(text: str) -> str:
    """A comment without what a mail program put around it: headers, quotes, signatures."""
    text = text.strip()
    if any(hint in text for hint in _MAIL_HINTS):
        matched = next((match for pattern in _MAILS if (match := pattern.match(text))), None)
        if matched is not None:
            return _PAGE_BREAK.sub("", matched[1] + matched[3]).strip()
    return _PAGE_BREAK.sub("", _without_quotes(text)).strip()


def _without_quotes(text: str) -> str:
    lines = text.split("\n")
    start, end = 0, -1
    for number, line in enumerate(map(str.strip, lines)):
        if "notifications@github.com" in line or _MAIL_DATE.search(line):
            start = number
        if "Reply to this email directly" in line:
            end = number + 1 if line.endswith(":") else number
        if line.startswith(">"):
            end = number
    return "\n".join(lines[:start] + lines[end + 1 :])


def truncated(text: str) -> str:
    """A long comment without its middle."""
    lines = text.split("\n")
    if len(lines) <= MAX_LINES:
        return text
    return "\n".join([*lines[: MAX_LINES - LAST_LINES], "[Truncated]", *lines[-LAST_LINES:]])


def without_bots(events: Sequence[Event]) -> list[Event]:
    """The events of people; a comment that only called a bot goes with the bot's answer."""
    people: list[Event] = []
    before: Event | None = None
    for event in events:
        if not is_bot(event.author):
            people.append(event)
        elif before is not None and people and people[-1] is before and _calls(before, event.author):
            people.pop()
        before = event
    return people


def _calls(event: Event, bot: str) -> bool:
    return bot in event.text or event.text.startswith("/")


def is_bot(author: str) -> bool:
    """Whether a user's name is that of a program."""
    name = author.lower()
    return name in _BOT_NAMES or name.endswith(_BOT_ENDS) or any(part in name for part in _BOT_PARTS)


def _why_not(events: Sequence[Event]) -> Reason | None:
    chars = sum(len(event.text) for event in events)
    if chars < MIN_CHARS:
        return Reason.ISSUE_TOO_SHORT
    if len({event.author for event in events}) >= 2:
        return None
    few = chars <= MAX_CHARS_OF_ONE_USER and len(events) <= MAX_EVENTS_OF_ONE_USER
    return None if few else Reason.ISSUE_OF_ONE_USER


def _laid_out(title: str, events: Sequence[Event]) -> MarkedText:
    names = {
        author: f"username_{i}" for i, author in enumerate(dict.fromkeys(event.author for event in events))
    }
    pattern = re.compile(
        "|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in sorted(names, key=len)[::-1])
    )

    def masked(text: str) -> str:
        return pattern.sub(lambda match: names[match.group()], text)

    marked = MarkedText().token(ISSUE_START).plain(f"Title: {masked(title)}\n")
    is_first = True
    for event in events:
        if event.closes:
            marked.token(ISSUE_CLOSED)
        elif not event.text:
            continue
        elif not is_first:
            marked.token(ISSUE_COMMENT)
        if event.text:
            marked.plain(f"{names[event.author]}: {masked(event.text)}")
        is_first = False
    return marked
