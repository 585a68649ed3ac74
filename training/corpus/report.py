"""What a build kept and dropped, counted; written as report.json beside the shards."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from training.corpus.document import Document, Reason
from training.corpus.manifest import Split


@dataclass(kw_only=True)
class CorpusReport:
    """Counters of one build; sizes are bytes of UTF-8 text."""

    name: str
    read_files: int = 0
    read_bytes: int = 0
    dropped_files: Counter[Reason] = field(default_factory=Counter)
    dropped_bytes: Counter[Reason] = field(default_factory=Counter)
    kept_files: Counter[tuple[Split, str]] = field(default_factory=Counter)  # (split, language)
    kept_bytes: Counter[tuple[Split, str]] = field(default_factory=Counter)
    license_bytes: Counter[str] = field(default_factory=Counter)
    package_bytes: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)  # personal data, by kind
    contaminants: Counter[str] = field(default_factory=Counter)  # first 80 characters of the needle

    def read(self, size_bytes: int) -> None:
        """Count a file of an archive."""
        self.read_files += 1
        self.read_bytes += size_bytes

    def drop(self, reason: Reason, size_bytes: int) -> None:
        """Count a drop by its reason."""
        self.dropped_files[reason] += 1
        self.dropped_bytes[reason] += size_bytes

    def keep(self, document: Document, split: Split, size_bytes: int) -> None:
        """Count a document that went into a shard."""
        self.kept_files[split, document.language] += 1
        self.kept_bytes[split, document.language] += size_bytes
        self.license_bytes[document.license] += size_bytes
        self.package_bytes[document.package] += size_bytes

    def total_bytes(self, split: Split, language: str | None = None) -> int:
        """Bytes kept in a split, of one language or of all."""
        return sum(n for (s, kept), n in self.kept_bytes.items() if s is split and language in (None, kept))

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON types, biggest counts first."""
        return {
            "name": self.name,
            "read": {"files": self.read_files, "bytes": self.read_bytes},
            "kept": {split.value: self._languages(split) for split in Split},
            "dropped": {
                reason.value: {"files": files, "bytes": self.dropped_bytes[reason]}
                for reason, files in self.dropped_files.most_common()
            },
            "redacted": dict(self.redacted.most_common()),
            "contaminants": dict(self.contaminants.most_common()),
            "license_bytes": dict(self.license_bytes.most_common()),
            "package_bytes": dict(self.package_bytes.most_common()),
        }

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(self.as_mapping(), indent=1, ensure_ascii=False) + "\n"

    def _languages(self, split: Split) -> dict[str, dict[str, int]]:
        return {
            language: {"files": self.kept_files[split, language], "bytes": size_bytes}
            for (kept_split, language), size_bytes in self.kept_bytes.most_common()
            if kept_split is split
        }
