"""Attribution to LSP: what is looked up, byte spans as ranges, matches as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from attribution.match.report import link
from lsp.documents.documents import Document, split_lines

if TYPE_CHECKING:
    from attribution.source import Match
    from lsp.sources.store import FoundCopy


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """A text to look up, and where it stands in an open document, if in any."""

    uri: str
    text: str
    document: Document | None = None
    start: tuple[int, int] = (0, 0)  # line, and character in it


def source_range(match: Match) -> types.Range:
    """The source's lines as a range of a text document."""
    span = match.source_span
    return types.Range(types.Position(span.start_line - 1, 0), types.Position(span.end_line, 0))


def position_of(given: Mapping[str, Any]) -> types.Position:
    """LSP's position, from a command's argument. Raises KeyError, TypeError or ValueError."""
    return types.Position(int(given["line"]), int(given["character"]))


def range_of(question: LookUp, data: bytes, finding: FoundCopy) -> types.Range | None:
    """The client's range of a finding; None for a text that stands in no document."""
    document = question.document
    if document is None:
        return None
    ends = []
    for byte in (finding.start_byte, finding.end_byte):
        lines = split_lines(data[:byte].decode("utf-8", "surrogatepass"))
        line, start_char = question.start
        column = len(lines[-1]) + (start_char if len(lines) == 1 else 0)
        ends.append(document.to_position(line + len(lines) - 1, column))
    return types.Range(*ends)


def match_to_wire(match_id: str, finding: FoundCopy, place: types.Range | None) -> dict[str, Any]:
    """A member of `matches`."""
    match = finding.match
    return {
        "id": match_id,
        "kind": finding.kind,
        "tokens": finding.tokens,
        "similarity": finding.similarity,
        "range": place,
        "source": None if match is None else _source_to_wire(match),
        "alsoIn": 0 if match is None else match.also_in,
    }


def _source_to_wire(match: Match) -> dict[str, Any]:
    source = match.source
    return {
        "repository": source.repository,
        "path": source.path,
        "revision": source.revision,
        "license": source.license,
        "url": link(match),
        "startLine": match.source_span.start_line,
        "endLine": match.source_span.end_line,
    }
