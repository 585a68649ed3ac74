"""Replaces what the finders found, by StarCoder's rules (arXiv 2305.06161, §4).

`<NAME>`, `<EMAIL>`, `<KEY>`, `<PASSWORD>`, and for an IP one of five fixed private addresses; the
same value always gets the same replacement within a document. Special tokens are never touched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from training.corpus.formats.marked import MarkedSegment, segments, with_segments
from training.corpus.pii.addresses import find_emails, find_ips
from training.corpus.pii.finding import Finder, Finding, PiiKind
from training.corpus.pii.keys import find_keys
from training.corpus.pii.passwords import find_passwords
from training.corpus.records.document import CorpusDocument

IPV4_REPLACEMENTS = ("172.16.31.10", "172.16.58.3", "172.16.17.32", "192.168.127.12", "192.168.3.11")
IPV6_REPLACEMENTS = (
    "fd00:c2b6:b24b:be67:2827:688d:e6a1:6a3b",
    "fd00:a516:7c1b:17cd:6d81:2137:bd2a:2c5b",
    "fc00:e968:6179::de52:7100",
    "fc00:db20:35b:7399::5",
    "fdf8:f53e:61e4::18",
)
FINDERS: tuple[Finder, ...] = (find_keys, find_emails, find_ips, find_passwords)
_PRIORITY = {kind: number for number, kind in enumerate(PiiKind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Characters [start, end) of the text as it was, and what stands there now."""

    kind: PiiKind
    start: int
    end: int
    instead: str


def redact(
    document: CorpusDocument, finders: Sequence[Finder] = FINDERS
) -> tuple[CorpusDocument, list[Replaced]]:
    """The document without personal data, and what was replaced, in order."""
    replacements = _Replacements()
    replaced: list[Replaced] = []
    pieces: list[MarkedSegment] = []
    offset = 0
    for piece in segments(document.text, document.special):
        found = [] if piece.is_token else replacements.of_text(piece.text, finders)
        pieces.append(replace(piece, text=_applied(piece.text, found)))
        replaced += [replace(one, start=one.start + offset, end=one.end + offset) for one in found]
        offset += len(piece.text)
    return (with_segments(document, pieces) if replaced else document), replaced


def find_all(text: str, finders: Sequence[Finder] = FINDERS) -> list[Finding]:
    """What the finders find, in the text's order and without overlaps."""
    return _without_overlaps(finding for finder in finders for finding in finder(text))


class _Replacements:
    """What each value of one document becomes."""

    def __init__(self) -> None:
        self._of_ip: dict[str, str] = {}
        self._used: Counter[bool] = Counter()

    def of_text(self, text: str, finders: Sequence[Finder]) -> list[Replaced]:
        """What to replace in one text."""
        return [
            Replaced(
                kind=finding.kind,
                start=finding.start,
                end=finding.end,
                instead=self._of_value(finding.kind, text[finding.start : finding.end]),
            )
            for finding in find_all(text, finders)
        ]

    def _of_value(self, kind: PiiKind, value: str) -> str:
        if kind is not PiiKind.IP:
            return f"<{kind.name}>"
        if value not in self._of_ip:
            is_v6 = ":" in value
            private = IPV6_REPLACEMENTS if is_v6 else IPV4_REPLACEMENTS
            self._of_ip[value] = private[self._used[is_v6] % len(private)]
            self._used[is_v6] += 1
        return self._of_ip[value]


def _applied(text: str, replaced: Sequence[Replaced]) -> str:
    parts: list[str] = []
    at = 0
    for one in replaced:
        parts += [text[at : one.start], one.instead]
        at = one.end
    return "".join([*parts, text[at:]]) if parts else text


def _without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    chosen: list[Finding] = []  # by start, never overlapping
    for finding in sorted(findings, key=lambda f: (_PRIORITY[f.kind], f.start - f.end, f.start)):
        place = bisect_left(chosen, finding.start, key=lambda other: other.start)
        free_before = place == 0 or chosen[place - 1].end <= finding.start
        free_after = place == len(chosen) or finding.end <= chosen[place].start
        if free_before and free_after:
            chosen.insert(place, finding)
    return chosen
