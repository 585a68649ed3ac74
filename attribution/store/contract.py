"""What every store of an index promises: reading, writing, and the values they speak in.

A content is a text that one or more documents (`Source.provenance` and path) hold; fingerprints belong to
contents, so that a thousand copies of a file cost one. A reader sees what was committed. Knows no
store; `attribution.store.open` chooses one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attribution.errors import IndexMissingError
from attribution.source import AnyDocument, GroupBy, Source
from attribution.store.opt_outs import OptOut
from attribution.tokens.fingerprint import Channel
from attribution.tokens.lexer import U64, Ints
from model.languages.languages import language_of_path

if TYPE_CHECKING:
    from attribution.store.prepare import PreparedBatch

# What is kept of a document: 1 was by repository and path, 2 is by `Source.provenance` and path, 3 has the
# evidence of its licence and no path of the machine it was read on.
DOCUMENT_VERSION = 3
# Scores are rounded to as many digits: sums of floats depend on their order, and ties go by key.
SCORE_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A content that shares fingerprints with a query; the score is their summed idf."""

    key: bytes
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A text and the sources of all documents that hold it, by `Source.sort_key`."""

    key: bytes
    text: bytes
    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True)
class IndexInfo:
    """What an index holds. Bytes are of source text, or on disk where the name says so."""

    url: str
    documents: int
    contents: int
    repositories: int
    source_bytes: int
    postings: int
    channels: tuple[str, ...]
    text_disk_bytes: int
    other_disk_bytes: int
    removed_contents: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


class Removed(NamedTuple):
    """What a removal did: how many documents went, and which rules covered none."""

    documents: int
    idle: tuple[OptOut, ...]


@dataclass(kw_only=True)
class AddCounts:
    """What became of the documents given to a writer."""

    added: int = 0  # new, with a content that was not there
    known: int = 0  # new, with a content that was there
    replaced: int = 0  # there, with another content, licence (or evidence of it) or address
    unchanged: int = 0
    refused: int = 0  # their owners opted out


class Index(Protocol):
    """Reading. Safe to use from several threads."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels it was built with; TEXT is always there."""

    def info(self) -> IndexInfo:
        """Counts and sizes."""

    def documents_by(self, group: GroupBy) -> Counter[str | None]:
        """How many documents there are of each licence, repository or language; None is unknown."""

    def document_count(self) -> int:
        """How many documents a query searches; cheap."""

    def candidates(self, fingerprints: U64, channel: Channel, *, limit: int) -> list[Candidate]:
        """At most `limit` contents that share any of the fingerprints, best first, ties by key."""

    def frequencies(self, fingerprints: U64, channel: Channel) -> Ints:
        """[N] how many contents have each fingerprint; removed ones may count."""

    def licences(self, keys: Sequence[bytes]) -> Mapping[bytes, frozenset[str | None]]:
        """The licences of the documents that hold each content; None among them where one is unknown."""

    def contents(self, keys: Sequence[bytes]) -> Mapping[bytes, Content]:
        """The contents that are (still) there."""

    def lacking(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """The documents that are not held with just this content, opt-outs among them."""

    def opt_outs(self) -> list[str]:
        """What was removed for good, as the lines of an opt-out list."""

    def verify(self) -> list[str]:
        """Read everything; what is wrong, one sentence each."""

    def close(self) -> None:
        """Let go of files and connections."""


class Writer(Protocol):
    """Writing. One at a time; leaving the context commits, an exception rolls back to the last commit."""

    counts: AddCounts
    # How many bytes of texts it wants compressed together; 0 for each by itself.
    block_bytes: int

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that it wants fingerprints of."""

    def register(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """Record the documents whose content is known. Returns the others, to be prepared and added.

        No text is needed: a list of hashes will do.
        """

    def add(self, batch: PreparedBatch) -> None:
        """Take in prepared documents; commits by itself now and then."""

    def commit(self) -> None:
        """Make everything so far durable and visible."""

    def remove(self, rules: Sequence[OptOut]) -> Removed:
        """Remove documents at once and for good."""

    def lift(self, rules: Sequence[OptOut]) -> int:
        """Forget rules, so that a later build takes the documents in again; how many there were."""

    def compact(self) -> None:
        """Give back the space of what was removed, and join what lies in pieces."""


def language_name(path: str) -> str | None:
    """The language of a file, by its name."""
    language = language_of_path(path)
    return None if language is None else language.name


def missing(url: str) -> IndexMissingError:
    """The error for an index that is not there."""
    return IndexMissingError(
        f"there is no attribution index at {url}: "
        f"build one with `starcoder-lsp index build SOURCES… --into {url}` "
        "(`--starter` as the source: what the bundled model was trained on)"
    )
