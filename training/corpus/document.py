"""The one record that travels through the pipeline, and the reasons a record can be dropped for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a file is not in the corpus; the report counts by these."""

    NOT_SELECTED = "not selected by the manifest"
    VENDORED = "vendored copy of another project"
    UNKNOWN_LANGUAGE = "not a language of the table"
    TOO_LARGE = "larger than the limit"
    BINARY = "binary"
    NOT_UTF8 = "not UTF-8"
    TOO_SHORT = "shorter than the minimum"
    MINIFIED = "minified"
    COMPILED = "compiler or bundler output"
    GENERATED = "says that it is generated"
    CHANGE_LOG = "change log"
    OTHER_LICENCE = "its header names a licence we do not train on"
    LONG_LINE = "longest line over the limit"
    LONG_MEAN_LINE = "mean line over the limit"
    NOT_ALPHANUMERIC = "too few alphanumeric characters"
    NOT_ALPHABETIC = "data file with too few letters"
    DATA_SIZE = "data file outside of the size limits"
    MOSTLY_DIGITS = "mostly digits: a table, not code"
    XML = "XML"
    HTML_BOILERPLATE = "HTML with little visible text"
    DUPLICATE = "exact duplicate"
    NEAR_DUPLICATE = "near duplicate"
    CONTAMINATED = "contains an evaluation problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One source file. `text` has `\\n` line ends; `license` is SPDX; `package` is its identity."""

    repository: str
    path: str
    language: str
    license: str
    package: str
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the UTF-8 text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def to_json(self) -> str:
        """One JSONL line without its newline, `sha256` included."""
        return json.dumps({**asdict(self), "sha256": self.sha256}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Document:
        """The inverse of `to_json`; raises KeyError or json.JSONDecodeError on a foreign line."""
        raw = json.loads(line)
        return cls(**{name: raw[name] for name in cls.__slots__})
