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
        holder, verdict = self.finding.holder, self.finding.verdict
        if holder is None:
            return f"seen in the training set of {self.model}"
        label = f"{holder.license or UNKNOWN_LICENSE} · {holder.repository}"
        return label if verdict is None or verdict.outcome == "passed" else f"{label} · {verdict.outcome}"

    @property
    def gravity(self) -> tuple[int, int]:
        """By what to order references: the gravest verdict first, then the strictest licence."""
        from attribution.policy.policy import LicenceOutcome
        from attribution.sources.spdx import strictness

        holder, verdict = self.finding.holder, self.finding.verdict
        outcome = LicenceOutcome.DENIED if verdict is None else verdict.outcome
        return list(LicenceOutcome).index(outcome), 0 if holder is None else -strictness(holder.license)

    def to_wire(self) -> dict[str, Any]:
        """A member of `references`: the strictest holder, with lines where it is the one that was compared.

        A portrait's finding has no path, URL, licence or lines.
        """
        finding, match, holder = self.finding, self.finding.match, self.finding.holder
        compared = match if match is not None and match.source == holder else None
        return {
            "name": f"training set of {self.model}" if holder is None else holder.repository,
            "path": None if holder is None else holder.path,
            "url": link(compared) if compared else None if holder is None else holder.url,
            "license": None if holder is None else holder.license,
            "kind": finding.kind,
            "tokens": finding.tokens,
            "startLine": None if compared is None else compared.source_span.start_line,
            "endLine": None if compared is None else compared.source_span.end_line,
            "span": {"start": self.start, "end": self.end},
            "verdict": None if finding.verdict is None else finding.verdict.outcome,
        }


@dataclass(frozen=True, kw_only=True)
class Credits:
    """What a suggestion was found to be a copy of, and what an editor shows beside it."""

    references: tuple[Reference, ...] = ()
    label: str | None = None


def references_in(
    text: bytes, start_byte: int, findings: Sequence[FoundCopy], *, model: str
) -> list[Reference]:
    """The findings that overlap `text` from `start_byte` on, clipped to that part; the gravest first."""
    found = []
    for finding in findings:
        start, end = max(finding.start_byte, start_byte), min(finding.end_byte, len(text))
        if start < end:
            offsets = (columns_of(text[start_byte:at].decode("utf-8"), "utf-16") for at in (start, end))
            found.append(Reference(finding=finding, model=model, start=next(offsets), end=next(offsets)))
    return sorted(found, key=lambda reference: reference.gravity)
