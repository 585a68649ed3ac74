"""Typing into a suggestion: does what was typed agree with it, and what is left of it?

An `Offer` is an earlier suggestion: its *unfiltered* text, and the document as it was then. What is left
of it goes through the filters again at the new cursor; they see to brackets that the editor has closed
by itself. Pure; compares windows, never files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lsp.postprocess.suggestion import to_lf

_COMPARED_AFTER_CHARS = 400
_MAX_ADDED_CHARS = 64
_MAX_TYPED_CHARS = 1000
# What editors add behind the cursor when one of these is typed; Enter between two brackets moves
# the closing one to a line of its own.
_PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`", "<": ">"}
_CLOSING = "".join(_PAIRS.values())
_ADDED = _CLOSING + " \t\n"


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
    """How the typed text compares with the suggestion."""

    REMAINDER = "remainder"  # the typed text is the suggestion's beginning, and something is left
    COMPLETE = "complete"  # all of it has been typed
    AHEAD = "ahead"  # the typed text agrees so far and is longer than what is generated yet


@dataclass(frozen=True, kw_only=True)
class TypedMatch:
    """The offer fits. `typed` since it was made, `remainder` of its text, `closed`: added by the editor."""

    fit: Fit
    typed: str
    remainder: str
    closed: str = ""


def type_through(offer: Offer, now: DocumentState) -> TypedMatch | None:
    """Whether the document now is the offer's with a beginning of its text typed; else None.

    Also true again after a deletion: "fo", backspace and "o" lead back to the offer's own state.
    """
    if now.uri != offer.state.uri or now.version < offer.state.version:
        return None
    typed = _typed(offer.state, now)
    text = to_lf(offer.text)
    if typed is None or not (text.startswith(typed) or (typed.startswith(text) and not offer.finished)):
        return None
    edited = now.version > offer.state.version
    closed = _closed_by_editor(to_lf(offer.state.after), to_lf(now.after), typed, edited=edited)
    if closed is None:
        return None
    remainder = text[len(typed) :]
    if len(typed) > len(text):
        fit = Fit.AHEAD
    else:
        fit = Fit.COMPLETE if offer.finished and not remainder.strip() else Fit.REMAINDER
    return TypedMatch(fit=fit, typed=typed, remainder=remainder, closed=closed)


def _typed(offered: DocumentState, now: DocumentState) -> str | None:
    """The text between the offer's cursor and the cursor now; None if the text above differs."""
    lines, known = to_lf(now.before).split("\n"), to_lf(offered.before).split("\n")
    rows = now.line - offered.line
    if not 0 <= rows < len(lines):
        return None
    anchor = len(lines) - 1 - rows
    if not (lines[anchor].startswith(known[-1]) and _same_end(lines[:anchor], known[:-1])):
        return None
    return "\n".join([lines[anchor][len(known[-1]) :], *lines[anchor + 1 :]])


def _same_end(lines: list[str], known: list[str]) -> bool:
    """Whether two windows' lines agree as far as both reach; the first line of a window may be cut."""
    common = min(len(lines), len(known))
    if not common:
        return True
    first, second = lines[-common], known[-common]
    shorter, longer = sorted((first, second), key=len)
    return longer.endswith(shorter) and lines[len(lines) - common + 1 :] == known[len(known) - common + 1 :]


def _closed_by_editor(after: str, now: str, typed: str, *, edited: bool) -> str | None:
    """What the editor put between the cursor and the old text behind it; None if the text differs."""
    if _same_start(now, after):
        return ""
    wanted = [_PAIRS[character] for character in reversed(typed[-_MAX_TYPED_CHARS:]) if character in _PAIRS]
    run = len(now) - len(now.lstrip(_ADDED))
    for added in range(1, min(run, _MAX_ADDED_CHARS) + 1):
        if _is_closing(now[:added], wanted) and _same_start(now[added:], after):
            return now[:added]
    # A closing bracket typed over the one that stood there (not just a cursor that moved behind it).
    for over in range(1, min(len(typed), _MAX_ADDED_CHARS) + 1 if edited else 1):
        if (
            after[:over] == typed[-over:]
            and not after[:over].strip(_CLOSING)
            and _same_start(now, after[over:])
        ):
            return ""
    return None


def _same_start(text: str, other: str) -> bool:
    # Windows may be cut at different places: only what both have is compared.
    length = min(len(text), len(other), _COMPARED_AFTER_CHARS)
    return text[:length] == other[:length] and bool(text) == bool(other)


def _is_closing(added: str, wanted: list[str]) -> bool:
    """Whether `added` is white space and brackets out of `wanted`, in that order."""
    at = 0
    for character in added:
        if character.isspace():
            continue
        while at < len(wanted) and wanted[at] != character:
            at += 1
        if at == len(wanted):
            return False
        at += 1
    return bool(added.strip())
