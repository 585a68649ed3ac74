"""What a build kept and dropped, counted; written as report.json beside the shards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attribution.sources.manifest import Split
from training.corpus.records.document import CorpusDocument, Reason


@dataclass(kw_only=True)
class CorpusReport:
    """Counters of one build or of a part of it; sizes are bytes of UTF-8 text."""

    name: str
    read_files: int = 0
    read_bytes: int = 0
    dropped_files: Counter[Reason] = field(default_factory=Counter)
    dropped_bytes: Counter[Reason] = field(default_factory=Counter)
    kept_files: Counter[tuple[Split, str]] = field(default_factory=Counter)  # (split, language)
    kept_bytes: Counter[tuple[Split, str]] = field(default_factory=Counter)
    license_bytes: Counter[str] = field(default_factory=Counter)
    package_bytes: Counter[str] = field(default_factory=Counter)  # of packages, not of repositories
    redacted: Counter[str] = field(default_factory=Counter)  # personal data, by kind
    redacted_files: int = 0
    contaminants: Counter[str] = field(default_factory=Counter)  # first 80 characters of the needle
    clusters: Counter[int] = field(default_factory=Counter)  # of near and exact duplicates, by size

    def read(self, size_bytes: int, files: int = 1) -> None:
        """Count files of a source."""
        self.read_files += files
        self.read_bytes += size_bytes

    def drop(self, reason: Reason, size_bytes: int, files: int = 1) -> None:
        """Count drops by their reason."""
        self.dropped_files[reason] += files
        self.dropped_bytes[reason] += size_bytes

    def keep(self, document: CorpusDocument, split: Split, size_bytes: int) -> None:
        """Count a document that went into a shard."""
        self.kept_files[split, document.language] += 1
        self.kept_bytes[split, document.language] += size_bytes
        self.license_bytes[document.license] += size_bytes
        if document.package.startswith(("pypi:", "npm:")):
            self.package_bytes[document.package] += size_bytes

    def redact(self, found: Mapping[str, int]) -> None:
        """Count the personal data replaced in one document."""
        self.redacted.update(found)
        self.redacted_files += bool(found)

    def total_bytes(self, split: Split, language: str | None = None) -> int:
        """Bytes kept in a split, of one language or of all."""
        return sum(n for (s, kept), n in self.kept_bytes.items() if s is split and language in (None, kept))

    def add(self, other: CorpusReport) -> None:
        """Add the counts of another part of the same build."""
        self.read_files += other.read_files
        self.read_bytes += other.read_bytes
        self.redacted_files += other.redacted_files
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))

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
            "redacted_files": self.redacted_files,
            "contaminants": dict(self.contaminants.most_common()),
            "clusters": {str(size): count for size, count in sorted(self.clusters.items())},
            "license_bytes": dict(self.license_bytes.most_common()),
            "package_bytes": dict(self.package_bytes.most_common()),
        }

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> CorpusReport:
        """The inverse of `as_mapping`."""
        kept = {(Split(split), name): n for split, names in raw["kept"].items() for name, n in names.items()}
        return cls(
            name=raw["name"],
            read_files=raw["read"]["files"],
            read_bytes=raw["read"]["bytes"],
            dropped_files=Counter({Reason(reason): n["files"] for reason, n in raw["dropped"].items()}),
            dropped_bytes=Counter({Reason(reason): n["bytes"] for reason, n in raw["dropped"].items()}),
            kept_files=Counter({key: n["files"] for key, n in kept.items()}),
            kept_bytes=Counter({key: n["bytes"] for key, n in kept.items()}),
            license_bytes=Counter(raw["license_bytes"]),
            package_bytes=Counter(raw["package_bytes"]),
            redacted=Counter(raw["redacted"]),
            redacted_files=raw["redacted_files"],
            contaminants=Counter(raw["contaminants"]),
            clusters=Counter({int(size): count for size, count in raw["clusters"].items()}),
        )

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(self.as_mapping(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CorpusReport:
        """The inverse of `to_json`."""
        return cls.from_mapping(json.loads(text))

    def _languages(self, split: Split) -> dict[str, dict[str, int]]:
        return {
            language: {"files": self.kept_files[split, language], "bytes": size_bytes}
            for (kept_split, language), size_bytes in self.kept_bytes.most_common()
            if kept_split is split
        }


_COUNTERS = (
    *("dropped_files", "dropped_bytes", "kept_files", "kept_bytes", "license_bytes", "package_bytes"),
    *("redacted", "contaminants", "clusters"),
)
