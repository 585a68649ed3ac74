"""The sources of a suggestion, as its item has them on the wire.

Spans are UTF-16 offsets in the item's insert text, whatever units the session's positions have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attribution.match.report import link
from lsp.documents.documents import columns_of
from lsp.sources.store import FoundCopy

UNKNOWN_LICENSE = "unknown licence"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One source of a part of an item: [start, end) of its insert text."""

    finding: FoundCopy
    model: str
    start: int
    end: int

    @property
    def label(self) -> str:
        """What an editor shows beside the suggestion: licence and repository."""
        match = self.finding.match
        if match is None:
            return f"seen in the training set of {self.model}"
        return f"{match.source.license or UNKNOWN_LICENSE} · {match.source.repository}"

    def to_wire(self) -> dict[str, Any]:
        """A member of `references`. A portrait's finding has no path, URL, licence or lines."""
        finding, match = self.finding, self.finding.match
        return {
            "name": f"training set of {self.model}" if match is None else match.source.repository,
            "path": None if match is None else match.source.path,
            "url": None if match is None else link(match),
            "license": None if match is None else match.source.license,
            "kind": finding.kind,
            "tokens": finding.tokens,
            "startLine": None if match is None else match.source_span.start_line,
            "endLine": None if match is None else match.source_span.end_line,
            "span": {"start": self.start, "end": self.end},
        }


@dataclass(frozen=True, kw_only=True)
class Credits:
    """What a suggestion was found to be a copy of, and what an editor shows beside it."""

    references: tuple[Reference, ...] = ()
    label: str | None = None


def references_in(
    text: bytes, start_byte: int, findings: Sequence[FoundCopy], *, model: str
) -> list[Reference]:
    """The findings that overlap `text` from `start_byte` on, clipped to that part."""
    found = []
    for finding in findings:
        start, end = max(finding.start_byte, start_byte), min(finding.end_byte, len(text))
        if start < end:
            offsets = (columns_of(text[start_byte:at].decode("utf-8"), "utf-16") for at in (start, end))
            found.append(Reference(finding=finding, model=model, start=next(offsets), end=next(offsets)))
    return found
