"""The matches that an editor shows as diagnostics, kept in step with its edits.

An edit of a match's text removes its diagnostic; other diagnostics move with their lines. Knows nothing of
how matches are found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import attrs
from lsprotocol import types

from lsp.documents.documents import Document, Edit

SOURCE = "starcoder attribution"

# Shows a document's diagnostics, in place of earlier ones.
Publish = Callable[[str, Sequence[types.Diagnostic]], None]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A match by its id, and the diagnostic that shows it."""

    match_id: str
    diagnostic: types.Diagnostic

    @property
    def range(self) -> types.Range:
        """Where it is now."""
        return self.diagnostic.range


class Marks:
    """The marks of all documents of one window."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._marks: dict[str, list[Mark]] = {}

    def put(self, uri: str, marks: Sequence[Mark]) -> None:
        """Show these marks in a document and no others."""
        before = self._marks.pop(uri, [])
        if marks:
            self._marks[uri] = list(marks)
        if marks or before:
            self._publish(uri, [mark.diagnostic for mark in marks])

    def at(self, uri: str, place: types.Range) -> list[Mark]:
        """The marks on the lines of a place. A cursor anywhere on a match's line is on the match."""
        return [
            mark
            for mark in self._marks.get(uri, ())
            if mark.range.start.line <= place.end.line and place.start.line <= mark.range.end.line
        ]

    def edited(self, document: Document, edit: Edit) -> None:
        """Lines of a document were replaced."""
        marks = self._marks.get(document.uri)
        if marks is None:
            return
        kept = [moved for mark in marks if (moved := _after(mark, edit)) is not None]
        if kept != marks:
            self.put(document.uri, kept)

    def closed(self, uri: str) -> None:
        """A document was closed."""
        self.put(uri, [])

    def clear(self) -> None:
        """Remove all marks."""
        for uri in list(self._marks):
            self.put(uri, [])


def _after(mark: Mark, edit: Edit) -> Mark | None:
    """The mark after an edit; None if the edit touched its lines."""
    place = mark.range
    if place.end.line < edit.start_line:
        return mark
    if place.start.line < edit.start_line + edit.removed_lines:
        return None
    moved = edit.added_lines - edit.removed_lines
    if not moved:
        return mark
    shifted = types.Range(
        start=types.Position(place.start.line + moved, place.start.character),
        end=types.Position(place.end.line + moved, place.end.character),
    )
    return Mark(match_id=mark.match_id, diagnostic=attrs.evolve(mark.diagnostic, range=shifted))
