"""A text in which some places stand for special tokens and all others are ordinary.

A file that contains the letters `<issue_comment>` must not close a comment: which letters are a
token is known only by place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from training.corpus.records.document import CorpusDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedSegment:
    """A piece of a text: a special token, or ordinary characters."""

    text: str
    is_token: bool


class MarkedText:
    """Collects segments; `text` and `special` are then what a `CorpusDocument` holds."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._chars = 0
        self._special: list[tuple[int, int]] = []

    def token(self, name: str) -> MarkedText:
        """Append a special token."""
        self._special.append((self._chars, self._chars + len(name)))
        return self.plain(name)

    def plain(self, text: str) -> MarkedText:
        """Append ordinary text."""
        self._parts.append(text)
        self._chars += len(text)
        return self

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)

    @property
    def special(self) -> tuple[tuple[int, int], ...]:
        """(start, end) of the tokens, in characters of `text`."""
        return tuple(self._special)


def segments(text: str, special: Sequence[tuple[int, int]]) -> Iterator[MarkedSegment]:
    """Cut a text at its tokens; the pieces put together are the text. Empty pieces are left out."""
    at = 0
    for start, end in special:
        if start > at:
            yield MarkedSegment(text=text[at:start], is_token=False)
        yield MarkedSegment(text=text[start:end], is_token=True)
        at = end
    if at < len(text):
        yield MarkedSegment(text=text[at:], is_token=False)


def with_segments(document: CorpusDocument, pieces: Sequence[MarkedSegment]) -> CorpusDocument:
    """The document with other pieces for its text."""
    if not document.special:
        return replace(document, text="".join(piece.text for piece in pieces))
    marked = MarkedText()
    for piece in pieces:
        (marked.token if piece.is_token else marked.plain)(piece.text)
    return replace(document, text=marked.text, special=marked.special)
