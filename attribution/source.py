"""What travels through the package: documents, where they come from, places in them, and matches.

Bytes are counted from 0 and half-open, lines from 1 and inclusive. Texts are bytes as they were
found: nothing is decoded or normalised, so that every place is byte-exact.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

# A match that stands in this many files besides the one shown is common code (idioms, vendored files).
COMMON_FILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceEvidence:
    """What a licence is known by: what was declared, what was detected, and in which files."""

    declared: str | None = None
    declared_in: str | None = None
    detected: str | None = None
    detected_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a document comes from; `license` is an SPDX expression, None where nobody knows.

    `evidence` is what that is known by, None where the source was only told.
    `package` is the published package, as `npm:@scope/name`: a repository may hold several with the same
    paths.
    `origin` tells apart what has no repository of its own: the folder, archive or row it was read from.
    """

    repository: str
    path: str
    revision: str | None = None
    license: str | None = None
    url: str | None = None
    package: str | None = None
    origin: str | None = None
    evidence: LicenceEvidence | None = None

    @property
    def provenance(self) -> tuple[str, str, str, str]:
        """What tells sources of one path apart; with the path, what identifies a document."""
        return (self.repository, self.package or "", self.revision or "", self.origin or "")

    @property
    def owner(self) -> str:
        """The part of the repository's name before the first `/` (of an npm or PyPI name, all of it)."""
        return self.repository.partition("/")[0]

    @property
    def sort_key(self) -> tuple[str, ...]:
        """The order in which the owners of the same content are named."""
        return (self.repository, self.path, *self.provenance[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDocument:
    """One file: its bytes and its source. Two documents of one provenance and path are versions of it."""

    source: Source
    text: bytes

    @property
    def key(self) -> bytes:
        """What identifies the content: 16 bytes of SHA-256."""
        return content_key(self.text)

    @property
    def text_bytes(self) -> int:
        """How long the text is."""
        return len(self.text)


class Identified(Protocol):
    """A document, or what is known of one without its text."""

    @property
    def source(self) -> Source:
        """Where it comes from."""

    @property
    def key(self) -> bytes:
        """What identifies its content."""

    @property
    def text_bytes(self) -> int:
        """How long its text is."""


AnyDocument = TypeVar("AnyDocument", bound=Identified)


def content_key(text: bytes) -> bytes:
    """The first 16 bytes of a text's SHA-256."""
    return hashlib.sha256(text).digest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a text: bytes [start_byte, end_byte), lines start_line to end_line inclusive."""

    start_byte: int
    end_byte: int
    start_line: int
    end_line: int


def span_in(text: bytes, start_byte: int, end_byte: int) -> Span:
    """The place [start_byte, end_byte) of a text with its lines; it holds at least one byte of a line.

    `\\n`, `\\r\\n` and a lone `\\r` end a line, as in LSP.
    """
    start_line = 1 + _line_ends(text, 0, start_byte)
    return Span(
        start_byte=start_byte,
        end_byte=end_byte,
        start_line=start_line,
        end_line=start_line + _line_ends(text, start_byte, end_byte),
    )


def _line_ends(text: bytes, start: int, end: int) -> int:
    return text.count(b"\n", start, end) + text.count(b"\r", start, end) - text.count(b"\r\n", start, end)


class GroupBy(StrEnum):
    """By what documents are counted."""

    LICENSE = "license"
    REPOSITORY = "repository"
    LANGUAGE = "language"


class MatchKind(StrEnum):
    """How much of a match is the same."""

    EXACT = "exact"  # byte for byte, but for the kind of line ends
    REFORMATTED = "reformatted"  # the same tokens with other white space
    NEAR = "near"  # some tokens differ
    RENAMED = "renamed"  # the same tokens but for consistently renamed identifiers and other numbers


ALL_KINDS = frozenset(MatchKind)


class Boilerplate(StrEnum):
    """Why a match says little about where code comes from."""

    COMMENTS = "comments"  # licence headers among them
    IMPORTS = "imports"
    IDIOM = "idiom"  # a few lines that are much the same
    NUMBERS = "numbers"  # a table of them
    REPETITION = "repetition"  # a few tokens over and over


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A verified copy: `tokens` of the query are the same as the source's, `similarity` is 0 to 1.

    `holders` are all files that were found to hold the same copy, `source` first; `key` names its content
    (`Index.contents`). `boilerplate` is None for code. With `is_own` they are all of the project that the
    query belongs to. About `files` indexed texts hold it, by their fingerprints.
    """

    kind: MatchKind
    tokens: int
    similarity: float
    query: Span
    source: Source
    source_span: Span
    key: bytes
    holders: tuple[Source, ...]
    boilerplate: Boilerplate | None = None
    is_own: bool = False
    files: int = 1

    @property
    def also_in(self) -> int:
        """How many further files hold it."""
        return len(self.holders) - 1

    @property
    def common(self) -> bool:
        """Whether so many files hold it that it says little about where it comes from."""
        return max(self.also_in, self.files - 1) >= COMMON_FILES
