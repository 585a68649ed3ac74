"""Precision and recall of the finders on a labelled set.

A set is JSONL with `text`, in which `⟦kind:value⟧` marks personal data, and optionally `set`, a
name that figures are kept apart by. A finding counts if its kind is the label's and the two share
at least 80 % of the characters that either has.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.corpus.errors import CorpusError
from training.corpus.pii.finding import Finder, Finding, PiiKind
from training.corpus.pii.redact import FINDERS, find_all

_MARK = re.compile(r"⟦(\w+):(.*?)⟧", re.DOTALL)
_MIN_SHARE = 0.8


@dataclass(kw_only=True)
class Scores:
    """Counts by kind: labels, labels found, findings, findings without a label."""

    labels: Counter[PiiKind] = field(default_factory=Counter)
    hits: Counter[PiiKind] = field(default_factory=Counter)
    findings: Counter[PiiKind] = field(default_factory=Counter)
    false: Counter[PiiKind] = field(default_factory=Counter)

    def precision(self, kind: PiiKind) -> float | None:
        """The share of findings that are right; None without findings."""
        found = self.findings[kind]
        return (found - self.false[kind]) / found if found else None

    def recall(self, kind: PiiKind) -> float | None:
        """The share of labels that are found; None without labels."""
        return self.hits[kind] / self.labels[kind] if self.labels[kind] else None


def score(path: Path, finders: Sequence[Finder] = FINDERS) -> dict[str, Scores]:
    """Scores by the names of the sets in a file; raises CorpusError."""
    scores: dict[str, Scores] = {}
    for name, marked in _records(path):
        text, labels = unmarked(marked)
        _count(scores.setdefault(name, Scores()), labels, find_all(text, finders))
    return scores


def unmarked(marked: str) -> tuple[str, list[Finding]]:
    """A text without its marks, and what they say."""
    parts: list[str] = []
    labels: list[Finding] = []
    at = chars = 0
    for match in _MARK.finditer(marked):
        start = chars + match.start() - at
        parts += [marked[at : match.start()], match[2]]
        chars = start + len(match[2])
        labels.append(Finding(kind=PiiKind(match[1]), start=start, end=chars))
        at = match.end()
    return "".join([*parts, marked[at:]]), labels


def markdown(scores: dict[str, Scores]) -> str:
    """A table of all sets."""
    lines = ["| set | kind | labels | precision | recall |", "|---|---|--:|--:|--:|"]
    for name, of_set in scores.items():
        for kind in PiiKind:
            figures = (_percent(of_set.precision(kind)), _percent(of_set.recall(kind)))
            lines.append(f"| {name} | {kind} | {of_set.labels[kind]} | {figures[0]} | {figures[1]} |")
    return "\n".join(lines) + "\n"


def _count(scores: Scores, labels: Sequence[Finding], findings: Sequence[Finding]) -> None:
    scores.labels.update(label.kind for label in labels)
    scores.findings.update(finding.kind for finding in findings)
    scores.hits.update(label.kind for label in labels if any(_agree(label, one) for one in findings))
    scores.false.update(one.kind for one in findings if not any(_agree(label, one) for label in labels))


def _agree(one: Finding, other: Finding) -> bool:
    both = min(one.end, other.end) - max(one.start, other.start)
    either = max(one.end, other.end) - min(one.start, other.start)
    return one.kind is other.kind and both >= _MIN_SHARE * either


def _records(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            yield str(record.get("set", "all")), str(record["text"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is no labelled set: {error!r}") from error


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
