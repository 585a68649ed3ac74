"""What an index of sources is, whatever stores it; `open_index` and `open_writer` find the store by its URL.

A content is a text that one or more documents (repository and path) hold; fingerprints belong to
contents, so that a thousand copies of a file cost one. A reader sees what was committed.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attribution.errors import IndexMissingError, IndexUnavailableError, SourceError
from attribution.source import AnyDocument, Source
from attribution.tokens.fingerprint import Channel
from attribution.tokens.lexer import U64

if TYPE_CHECKING:
    from attribution.store.prepare import PreparedBatch

# The server of `elasticsearch:NAME`, and what it takes to be let in.
SERVER_VARIABLE = "ELASTICSEARCH_URL"
API_KEY_VARIABLE = "ELASTICSEARCH_API_KEY"
CA_VARIABLE = "ELASTICSEARCH_CA_CERTS"
NAMED_SERVER = "elasticsearch:"
_PACKAGE_KINDS = ("npm:", "pypi:", "cargo:")
# In the folder of an index on disk; what makes the folder one.
CATALOGUE_FILE = "catalogue.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A content that shares fingerprints with a query; the score is their summed idf."""

    key: bytes
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A text, the first of its sources (by repository and path), and how many documents hold it."""

    key: bytes
    text: bytes
    source: Source
    documents: int


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


@dataclass(kw_only=True)
class AddCounts:
    """What became of the documents given to a writer."""

    added: int = 0  # with a content that was not there
    known: int = 0  # another document of a content that was there
    unchanged: int = 0
    refused: int = 0  # their owners opted out


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Documents to remove and never to take in again: all that is given must agree.

    Owners and repositories compare without case, as hosts do; `path` is a shell pattern whose `*`
    also crosses `/`.
    """

    owner: str | None = None
    repository: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not (self.owner or self.repository or self.path):
            raise SourceError("nothing to remove: give an owner, a repository or a path")

    def covers(self, source: Source) -> bool:
        """Whether the rule speaks of this source."""
        return (
            (self.owner is None or source.owner.casefold() == self.owner.casefold())
            and (self.repository is None or source.repository.casefold() == self.repository.casefold())
            and (self.path is None or fnmatchcase(source.path, self.path))
        )

    @property
    def line(self) -> str:
        """As a line of an opt-out list."""
        name = self.repository or self.owner or ""
        return f"{name}:{self.path}" if self.path else name

    @classmethod
    def from_line(cls, line: str) -> OptOut:
        """One line of an opt-out list: `owner`, `owner/name` or `owner/name:path`.

        A package without a known repository is called `npm:name`, `pypi:name` or `cargo:name` in an index.
        """
        kind = next((kind for kind in _PACKAGE_KINDS if line.strip().startswith(kind)), "")
        repository, _, path = line.strip().removeprefix(kind).partition(":")
        repository = f"{kind}{repository}"
        if "/" in repository:
            return cls(repository=repository, path=path or None)
        return cls(owner=repository or None, path=path or None)


def read_opt_out_list(path: Path) -> list[OptOut]:
    """The rules of a file, one a line; `#` begins a comment. Raises `SourceError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read the opt-out list: {error}") from error
    kept = (line.partition("#")[0].strip() for line in lines)
    return [OptOut.from_line(line) for line in kept if line]


class OptOuts:
    """Many rules, asked for each document of a build: owners and repositories are looked up, not searched."""

    def __init__(self, rules: Iterable[OptOut]) -> None:
        self.rules = tuple(rules)
        self._by_name: dict[str, list[OptOut]] = {}
        self._by_path: list[OptOut] = []
        for rule in self.rules:
            name = rule.repository or rule.owner
            if name is None:
                self._by_path.append(rule)
            else:
                self._by_name.setdefault(name.casefold(), []).append(rule)

    def cover(self, source: Source) -> bool:
        """Whether any rule speaks of this source."""
        names = {source.owner.casefold(), source.repository.casefold()}
        named = (rule for name in names for rule in self._by_name.get(name, ()))
        return any(rule.covers(source) for rule in (*named, *self._by_path))


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

    def document_count(self) -> int:
        """How many documents a query searches; cheap."""

    def candidates(self, fingerprints: U64, channel: Channel, *, limit: int) -> list[Candidate]:
        """At most `limit` contents that share any of the fingerprints, best first, ties by key."""

    def contents(self, keys: Sequence[bytes]) -> Mapping[bytes, Content]:
        """The contents that are (still) there."""

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
        """Record documents whose content is known; those that remain are to be prepared and added.

        Their text is not asked for: a list of hashes will do.
        """

    def add(self, batch: PreparedBatch) -> None:
        """Take in prepared documents; commits by itself now and then."""

    def commit(self) -> None:
        """Make everything so far durable and visible."""

    def remove(self, rules: Sequence[OptOut]) -> int:
        """Remove documents at once and for good; how many there were."""

    def compact(self) -> None:
        """Give back the space of what was removed, and join what lies in pieces."""


def default_index_folder() -> Path:
    """Where `index build` puts an index when it is not told."""
    import platformdirs

    return platformdirs.user_data_path("starcoder-lsp", appauthor=False) / "attribution"


def index_stamp(url: str) -> tuple[int, int] | None:
    """What tells an index folder from another one in its place; None where there is none.

    Commits do not change it: who has the index open sees those anyway.
    """
    try:
        found = (_folder(url) / CATALOGUE_FILE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_remote(url: str) -> bool:
    """Whether an index's URL names a server rather than a folder."""
    return url.startswith(("http://", "https://", NAMED_SERVER))


def open_index(url: str | os.PathLike[str]) -> Index:
    """Open an index for reading: a folder, or on Elasticsearch `http(s)://HOST:PORT/NAME`.

    `elasticsearch:NAME` is an index of the server in `ELASTICSEARCH_URL`.

    Raises `IndexMissingError` (with the command that builds one), `IndexFormatError`,
    `IndexDamagedError` or `IndexUnavailableError`.
    """
    if is_remote(str(url)):
        _need_client()
        from attribution.store.elastic.reader import ElasticIndex

        return ElasticIndex.open(str(url))
    from attribution.store.embedded.reader import EmbeddedIndex

    return EmbeddedIndex(_folder(url))


def open_writer(
    url: str | os.PathLike[str], *, create: bool = True, renamed: bool = False
) -> AbstractContextManager[Writer]:
    """Open an index for writing, and make it first if it is not there and `create` says so.

    `renamed` adds the SHAPE channel to an index that is made. Raises as `open_index`, and
    `IndexBusyError` while another process writes.
    """
    channels = tuple(Channel) if renamed else (Channel.TEXT,)
    if is_remote(str(url)):
        _need_client()
        from attribution.store.elastic.writer import ElasticWriter

        return ElasticWriter.open(str(url), create=create, channels=channels)
    from attribution.store.embedded.writer import EmbeddedWriter

    return EmbeddedWriter(_folder(url), create=create, channels=channels)


def _need_client() -> None:
    if importlib.util.find_spec("elasticsearch") is None:
        raise IndexUnavailableError(
            "an index on Elasticsearch needs its client: `pip install 'starcoder-lsp[elasticsearch]'`"
        )


def missing(url: str) -> IndexMissingError:
    """The error for an index that is not there."""
    return IndexMissingError(
        f"there is no attribution index at {url}: "
        f"build one with `starcoder-lsp index build SOURCES… --into {url}` "
        "(`--starter` as the source: what the bundled model was trained on)"
    )


def _folder(url: str | os.PathLike[str]) -> Path:
    return Path(str(url).removeprefix("file://")).expanduser()
