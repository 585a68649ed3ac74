"""The one record that travels through the pipeline, and the reasons a record can be dropped for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

# Languages of documents that are not a source file; the rest are linguist's.
ISSUES = "GitHub Issues"
COMMITS = "Git Commits"
NOTEBOOKS = "Jupyter Notebook"
SCRIPTS = "Jupyter Scripts"


class Reason(StrEnum):
    """Why a file is not in the corpus; the report counts by these."""

    NOT_SELECTED = "not selected by the manifest"
    NOT_A_FILE = "not a regular file of its source"
    VENDORED = "vendored copy of another project"
    UNKNOWN_LANGUAGE = "not a language of the table"
    EXTENSION_EXCLUDED = "an extension that the table leaves out"
    TOO_LARGE = "larger than the limit"
    BINARY = "binary"
    NOT_UTF8 = "not UTF-8"
    NO_LICENCE = "no licence known"
    NOT_PERMISSIVE = "its licence is not on the permissive list"
    OPTED_OUT = "its owner opted out"
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
    NOTEBOOK_UNREADABLE = "not a notebook of Python, or malformed"
    NOTEBOOK_EMPTY = "notebook without text and code in turn"
    ISSUE_OF_BOTS = "issue written by bots only"
    ISSUE_TOO_SHORT = "issue of less than 200 characters"
    ISSUE_OF_ONE_USER = "long issue of one user"
    COMMIT_TOO_LARGE = "commit to a file of 100,000 characters or more"
    COMMIT_EMPTY = "commit that leaves an empty file"
    COMMIT_SUBJECT = "commit whose subject says nothing"
    COMMIT_LANGUAGE = "commit to a file of another language"
    COMMIT_SAMPLED_OUT = "commit of a kind of which only a share is kept"
    DUPLICATE = "exact duplicate"
    NEAR_DUPLICATE = "near duplicate"
    OVER_WEIGHT = "over its language's weight"
    CONTAMINATED = "contains an evaluation problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusDocument:
    """One source file, issue, commit or notebook.

    `text` has `\\n` line ends; `license` is SPDX; `package` is the identity of what it was
    published in (`pypi:requests==2.34.2`, or a commit), "" where nobody knows. `special` are the
    (start, end) characters of `text` that stand for special tokens, in order; the same letters
    anywhere else are ordinary text.
    """

    repository: str
    path: str
    language: str
    license: str
    package: str
    text: str
    url: str | None = None
    stars: int | None = None
    special: tuple[tuple[int, int], ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the UTF-8 text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def to_json(self) -> str:
        """One JSONL line without its newline, `sha256` included; what is not known is left out."""
        record: dict[str, Any] = {name: getattr(self, name) for name in _ALWAYS}
        record |= {name: value for name in _IF_KNOWN if (value := getattr(self, name)) not in (None, ())}
        return json.dumps({**record, "sha256": self.sha256}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> CorpusDocument:
        """The inverse of `to_json`; raises KeyError or json.JSONDecodeError on a foreign line."""
        raw = json.loads(line)
        values = {name: raw[name] for name in _ALWAYS} | {
            name: raw[name] for name in ("url", "stars") if name in raw
        }
        return cls(**values, special=tuple((start, end) for start, end in raw.get("special", ())))


_IF_KNOWN = ("url", "stars", "special")
_ALWAYS = tuple(field.name for field in fields(CorpusDocument) if field.name not in _IF_KNOWN)
