"""What `check` says where there is no index, only the portrait of a model's training set: seen, not where.

JSON and SARIF have the shapes of `report`, with the kind `seen` and without a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attribution.source import Span

KIND = "seen"
_NO_SOURCE = dict.fromkeys(("repository", "path", "revision", "license", "url", "start_line", "end_line"))


@dataclass(frozen=True, kw_only=True)
class SeenFile:
    """One file's answer: the model, its portrait, how many documents that is of, and what was recognised.

    `share` of the file's fingerprints (0 to 1); `copies` are places with their tokens.
    """

    file: str
    model: str
    portrait: Path
    documents: int
    share: float
    copies: tuple[tuple[Span, int], ...]

    @property
    def searched(self) -> dict[str, Any]:
        """What JSON has in place of an index."""
        return {"index": None, "documents": self.documents, "portrait": str(self.portrait)}

    def matches(self) -> list[dict[str, Any]]:
        """The copies in the JSON's shape."""
        return [
            {
                "kind": KIND,
                "tokens": tokens,
                "similarity": round(self.share, 4),
                "query": {
                    "start_line": span.start_line,
                    "end_line": span.end_line,
                    "start_byte": span.start_byte,
                    "end_byte": span.end_byte,
                },
                "source": dict(_NO_SOURCE),
                "also_in": 0,
            }
            for span, tokens in self.copies
        ]

    def lines(self) -> list[str]:
        """Lines for a terminal."""
        training_set = f"the training set of {self.model} ({self.documents:,} documents)"
        if not self.copies:
            return [f"{self.file}: not seen in {training_set}"]
        return [
            f"{self.file}:{span.start_line}-{span.end_line}: {KIND}, {tokens} tokens in {training_set}"
            for span, tokens in self.copies
        ] + [f"    {self.share:.0%} of the file; its portrait does not know where"]

    def results(self, where: Mapping[str, str], *, failing: bool) -> list[Mapping[str, Any]]:
        """The copies as results of a SARIF log."""
        return [
            {
                "ruleId": f"attribution/{KIND}",
                "level": "error" if failing else "note",
                "message": {"text": f"{tokens} tokens that the training set of {self.model} has too"},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": dict(where),
                            "region": {
                                "startLine": span.start_line,
                                "endLine": span.end_line,
                                "byteOffset": span.start_byte,
                                "byteLength": span.end_byte - span.start_byte,
                            },
                        }
                    }
                ],
                "properties": {"kind": KIND, "tokens": tokens, "similarity": round(self.share, 4)},
            }
            for span, tokens in self.copies
        ]
