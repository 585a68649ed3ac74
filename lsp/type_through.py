"""Typing into a suggestion: does what was typed agree with it, and what is left of it?

An `Offer` is a suggestion that is running or was the last one, with its *unfiltered* text and the
document as it was then. What is left of it goes through the filters again with the new cursor:
they see to brackets that the editor has closed by itself. Pure; compares windows, never files.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from lsp.postprocess.suggestion import to_lf

_COMPARED_AFTER_CHARS = 400
_OFFERS_KEPT = 8
# What editors add behind the cursor when one of these is typed; Enter between two brackets moves
# the closing one to a line of its own.
_PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`", "<": ">"}


@dataclass(frozen=True, kw_only=True)
class DocumentState:
    """A window of the document around a cursor, with any line ends, and the cursor's line number in it."""

    uri: str
    version: int
    line: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A suggestion: where it was asked for, what has been generated, whether that is all."""

    state: DocumentState
    text: str
    finished: bool


class Fit(StrEnum):
    """How the typed text and the suggestion stand to each other."""

    REMAINDER = "remainder"  # typed text is the suggestion's beginning, something is left
    COMPLETE = "complete"  # all of it has been typed
    AHEAD = "ahead"  # typed text agrees so far, but generation has not come that far yet


@dataclass(frozen=True, kw_only=True)
class Match:
    """The offer fits. `typed` since it was made, `remainder` of its text, `closed`: added by the editor."""

    fit: Fit
    typed: str
    remainder: str
    closed: str = ""


def type_through(offer: Offer, now: DocumentState) -> Match | None:
    """Whether the document now is the offer's with a beginning of its text typed; else None.

    Also true again after a deletion: "fo", backspace and "o" lead back to the offer's own state.
    """
    if now.uri != offer.state.uri or now.version < offer.state.version:
        return None
    typed = _typed(offer.state, now)
    if typed is None:
        return None
    closed = _closed_by_editor(to_lf(offer.state.after), to_lf(now.after), typed)
    if closed is None:
        return None
    text = to_lf(offer.text)
    if text.startswith(typed):
        remainder = text[len(typed) :]
        done = offer.finished and not remainder.strip()
        return Match(
            fit=Fit.COMPLETE if done else Fit.REMAINDER, typed=typed, remainder=remainder, closed=closed
        )
    if not offer.finished and typed.startswith(text):
        return Match(fit=Fit.AHEAD, typed=typed, remainder="", closed=closed)
    return None


class Offers:
    """The last few offers, so that an older one serves again after a backspace. Bounded."""

    def __init__(self, kept: int = _OFFERS_KEPT) -> None:
        self._offers: deque[Offer] = deque(maxlen=kept)

    def add(self, offer: Offer) -> None:
        """Remember an offer; one for the same place of the same document takes the older one's place."""
        self._offers = deque(
            (known for known in self._offers if known.state != offer.state), maxlen=self._offers.maxlen
        )
        self._offers.append(offer)

    def forget(self, uri: str) -> None:
        """Drop what belongs to a document."""
        self._offers = deque(
            (known for known in self._offers if known.state.uri != uri), maxlen=self._offers.maxlen
        )

    def match(self, now: DocumentState) -> tuple[Offer, Match] | None:
        """The newest offer that fits and has something left."""
        for offer in reversed(self._offers):
            match = type_through(offer, now)
            if match is not None and match.fit is not Fit.COMPLETE:
                return offer, match
        return None


def _typed(offered: DocumentState, now: DocumentState) -> str | None:
    """What stands between the offer's cursor and the cursor now; None if the text above it differs."""
    lines, known = to_lf(now.before).split("\n"), to_lf(offered.before).split("\n")
    rows = now.line - offered.line
    if not 0 <= rows < len(lines):
        return None
    anchor = len(lines) - 1 - rows
    if not lines[anchor].startswith(known[-1]):
        return None
    # The windows may begin at different lines, and their first lines may be cut.
    common = min(anchor, len(known) - 1) - 1
    if common > 0 and lines[anchor - common : anchor] != known[-1 - common : -1]:
        return None
    return "\n".join([lines[anchor][len(known[-1]) :], *lines[anchor + 1 :]])


def _closed_by_editor(after: str, now: str, typed: str) -> str | None:
    """What the editor put between the cursor and the old text behind it; None if the text differs."""
    if _same_start(now, after):
        return ""
    for added in range(1, 2 * len(typed) + 1):
        if _is_closing(now[:added], typed) and _same_start(now[added:], after):
            return now[:added]
    # A closing bracket typed over the one that stood there.
    for over in range(1, len(typed) + 1):
        if (
            after[:over] == typed[-over:]
            and not after[:over].strip(")]}>\"'`")
            and _same_start(now, after[over:])
        ):
            return ""
    return None


def _same_start(text: str, other: str) -> bool:
    # The ends of the windows are no part of the document's text: only what both have is compared.
    length = min(len(text), len(other), _COMPARED_AFTER_CHARS)
    return text[:length] == other[:length] and bool(text) == bool(other)


def _is_closing(added: str, typed: str) -> bool:
    """Whether `added` is white space and closing counterparts of openers in `typed`, inside out."""
    wanted = [_PAIRS[character] for character in reversed(typed) if character in _PAIRS]
    for character in added:
        if character.isspace():
            continue
        while wanted and wanted[0] != character:
            wanted.pop(0)
        if not wanted:
            return False
        wanted.pop(0)
    return bool(added.strip())
