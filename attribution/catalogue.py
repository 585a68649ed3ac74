"""The SQLite half of the embedded index: documents, contents, texts, opt-outs and the list of segments.

One transaction is one commit of the index: a segment counts from the moment its row does. Knows
nothing of fingerprints.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from attribution.errors import IndexDamagedError, IndexFormatError
from attribution.fingerprint import FORMAT_VERSION, WINNOWING, Channel
from attribution.index import CATALOGUE_FILE, OptOut, OptOuts, missing
from attribution.lexer import U64
from attribution.prepare import PreparedDocument, blanked, unpack
from attribution.segment import Written
from attribution.source import Source, content_key

FILE = CATALOGUE_FILE
# Segments are pointed to with 32 bits.
MAX_CONTENTS = (1 << 32) - 1
_BUSY_TIMEOUT_S = 30.0

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE,
    text_bytes INTEGER NOT NULL, tokens INTEGER NOT NULL,
    block INTEGER NOT NULL, start_byte INTEGER NOT NULL);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE documents (
    repository INTEGER NOT NULL, path TEXT NOT NULL, content INTEGER NOT NULL,
    revision TEXT, license TEXT, url TEXT, PRIMARY KEY (repository, path)) WITHOUT ROWID;
CREATE INDEX documents_of_content ON documents (content);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, channel INTEGER NOT NULL,
    postings INTEGER NOT NULL, disk_bytes INTEGER NOT NULL, crc32 INTEGER NOT NULL,
    first_content INTEGER NOT NULL, last_content INTEGER NOT NULL);
CREATE TABLE dead (content INTEGER PRIMARY KEY);
CREATE TABLE totals (documents INTEGER NOT NULL, contents INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER document_added AFTER INSERT ON documents
    BEGIN UPDATE totals SET documents = documents + 1; END;
CREATE TRIGGER document_removed AFTER DELETE ON documents
    BEGIN UPDATE totals SET documents = documents - 1; END;
CREATE TRIGGER content_added AFTER INSERT ON contents
    BEGIN UPDATE totals SET contents = contents + 1; END;
CREATE TRIGGER content_removed AFTER DELETE ON contents
    BEGIN UPDATE totals SET contents = contents - 1; END;
CREATE TABLE opt_outs (owner TEXT, repository TEXT, path TEXT, UNIQUE (owner, repository, path));
"""


class Catalogue:
    """A connection to the catalogue of one index folder."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self.channels = self._checked_channels()

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Open for reading; raises `IndexMissingError` or `IndexFormatError`."""
        if not (folder / FILE).is_file():
            raise missing(str(folder))
        return cls(_connect(folder), folder)

    @classmethod
    def create(cls, folder: Path, channels: Sequence[Channel]) -> Catalogue:
        """Open for writing, and make it if it is not there (whole or not at all)."""
        folder.mkdir(parents=True, exist_ok=True)
        connection = _connect(folder)
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            # What is removed must be gone from the disk too.
            connection.executescript("PRAGMA journal_mode = WAL; BEGIN; " + _SCHEMA)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta(channels).items())
            connection.execute("COMMIT")
        return cls(connection, folder)

    def _checked_channels(self) -> tuple[Channel, ...]:
        try:
            found = dict(self.connection.execute("SELECT name, value FROM meta"))
        except sqlite3.DatabaseError as error:
            raise IndexFormatError(f"{self.folder / FILE}: not an attribution index: {error}") from error
        channels = tuple(Channel(int(channel)) for channel in found.get("channels", "").split())
        expected = _meta(channels)
        if found != expected:
            raise IndexFormatError(
                f"{self.folder}: format {found.get('format')} of other parameters than this version's "
                f"{expected['format']}; build the index again"
            )
        return channels

    def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        self.connection.close()

    # Versions

    def data_version(self) -> int:
        """A number that changes whenever another connection commits."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    # Reading

    def segments(self) -> list[tuple[int, Written, int, int]]:
        """(id, file, first content, last content) of all segments, oldest first."""
        rows = self.connection.execute(
            "SELECT id, file, channel, postings, disk_bytes, crc32, first_content, last_content "
            "FROM segments ORDER BY first_content, id"
        )
        return [
            (
                row[0],
                Written(
                    file=row[1], channel=Channel(row[2]), postings=row[3], disk_bytes=row[4], crc32=row[5]
                ),
                row[6],
                row[7],
            )
            for row in rows
        ]

    def dead(self) -> U64:
        """Contents that are gone but still have postings, sorted."""
        rows = self.connection.execute("SELECT content FROM dead ORDER BY content")
        return np.array([row[0] for row in rows], dtype=np.uint64)

    def totals(self) -> tuple[int, int]:
        """How many documents and contents there are, without counting them."""
        documents, contents = self.connection.execute("SELECT documents, contents FROM totals").fetchone()
        return documents, contents

    def repositories(self) -> int:
        """How many repositories there are."""
        return int(self.connection.execute("SELECT count(*) FROM repositories").fetchone()[0])

    def source_bytes(self) -> int:
        """The summed size of the documents' texts, copies included."""
        query = "SELECT total(text_bytes) FROM documents JOIN contents ON contents.id = content"
        return int(self.connection.execute(query).fetchone()[0])

    def packed_bytes(self) -> int:
        """The summed size of the compressed texts."""
        return int(self.connection.execute("SELECT total(length(packed)) FROM blocks").fetchone()[0])

    def keys(self, contents: Sequence[int]) -> dict[int, bytes]:
        """The keys of contents that are there."""
        found: dict[int, bytes] = {}
        for part in _parts(contents):
            query = f"SELECT id, key FROM contents WHERE id IN ({_marks(part)})"
            found.update(self.connection.execute(query, part))
        return found

    def text(self, key: bytes) -> tuple[int, bytes] | None:
        """(content, text) of a key."""
        row = self.connection.execute(
            "SELECT contents.id, packed, start_byte, text_bytes FROM contents "
            "JOIN blocks ON blocks.id = block WHERE key = ?",
            (key,),
        ).fetchone()
        return None if row is None else (row[0], unpack(row[1])[row[2] : row[2] + row[3]])

    def sources(self, content: int) -> tuple[Source, int] | None:
        """The first source of a content, and how many documents hold it."""
        row = self.connection.execute(
            "SELECT name, path, revision, license, url FROM documents "
            "JOIN repositories ON repositories.id = repository WHERE content = ? ORDER BY name, path LIMIT 1",
            (content,),
        ).fetchone()
        if row is None:
            return None
        count = self.connection.execute("SELECT count(*) FROM documents WHERE content = ?", (content,))
        return (
            Source(repository=row[0], path=row[1], revision=row[2], license=row[3], url=row[4]),
            int(count.fetchone()[0]),
        )

    def opt_outs(self) -> list[OptOut]:
        """All rules ever given."""
        rows = self.connection.execute("SELECT owner, repository, path FROM opt_outs")
        return [OptOut(owner=row[0] or None, repository=row[1] or None, path=row[2] or None) for row in rows]

    def damaged_texts(self) -> Iterator[str]:
        """Read every text; what is wrong, one sentence each."""
        rows = self.connection.execute(
            "SELECT key, packed, start_byte, text_bytes FROM contents LEFT JOIN blocks ON blocks.id = block"
        )
        for key, packed, start, size in rows:
            try:
                intact = packed is not None and content_key(unpack(packed)[start : start + size]) == key
            except IndexDamagedError:
                intact = False
            if not intact:
                yield f"the text of content {key.hex()} is missing or damaged"

    def problems(self) -> list[str]:
        """What SQLite and our own references have to complain about."""
        found = [row[0] for row in self.connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        lost = self.connection.execute(
            "SELECT count(*) FROM documents WHERE content NOT IN (SELECT id FROM contents)"
        ).fetchone()[0]
        return [*found, *([f"{lost} documents have lost their text"] if lost else [])]

    # Writing

    def repository(self, name: str) -> int:
        """The number of a repository, given one if it is new."""
        self.connection.execute("INSERT OR IGNORE INTO repositories (name) VALUES (?)", (name,))
        row = self.connection.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def content_of_key(self, key: bytes) -> int | None:
        """The content with this key."""
        row = self.connection.execute("SELECT id FROM contents WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def document(self, repository: int, path: str) -> tuple[int, str | None, str | None, str | None] | None:
        """(content, revision, license, url) of a document."""
        row: tuple[int, str | None, str | None, str | None] | None = self.connection.execute(
            "SELECT content, revision, license, url FROM documents WHERE repository = ? AND path = ?",
            (repository, path),
        ).fetchone()
        return row

    def add_block(self, packed: bytes) -> int:
        """Insert a block of texts; its number."""
        cursor = self.connection.execute("INSERT INTO blocks (packed) VALUES (?)", (packed,))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_content(self, document: PreparedDocument, block: int) -> int:
        """Insert a content whose text stands in a block; its number."""
        cursor = self.connection.execute(
            "INSERT INTO contents (key, text_bytes, tokens, block, start_byte) VALUES (?, ?, ?, ?, ?)",
            (document.key, document.text_bytes, document.tokens, block, document.start_byte),
        )
        content = cursor.lastrowid
        assert content is not None
        if content > MAX_CONTENTS:
            raise IndexFormatError(
                f"{self.folder} is full: {MAX_CONTENTS} different files; begin another index"
            )
        return content

    def blank(self, block: int, start_byte: int, text_bytes: int) -> None:
        """Overwrite a text in its block: what was removed is to be gone from the disk."""
        packed = self.connection.execute("SELECT packed FROM blocks WHERE id = ?", (block,)).fetchone()[0]
        self.connection.execute(
            "UPDATE blocks SET packed = ? WHERE id = ?", (blanked(packed, start_byte, text_bytes), block)
        )

    def put_document(self, repository: int, source: Source, content: int) -> None:
        """Insert or replace a document; a content that loses its last document dies."""
        before = self.document(repository, source.path)
        self.connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET content = "
            "excluded.content, revision = excluded.revision, license = excluded.license, url = excluded.url",
            (repository, source.path, content, source.revision, source.license, source.url),
        )
        if before is not None and before[0] != content:
            self.bury([before[0]])

    def remove_documents(self, rules: Sequence[OptOut]) -> int:
        """Delete the documents that the rules cover and remember the rules; how many they were."""
        opt_outs = OptOuts(rules)
        rows = self.connection.execute(
            "SELECT repository, path, content, name FROM documents "
            "JOIN repositories ON repositories.id = repository"
        )
        covered = [row for row in rows if opt_outs.cover(Source(repository=row[3], path=row[1]))]
        self.connection.executemany(
            "DELETE FROM documents WHERE repository = ? AND path = ?", [row[:2] for row in covered]
        )
        self.connection.execute("DELETE FROM repositories WHERE id NOT IN (SELECT repository FROM documents)")
        self.bury({row[2] for row in covered})
        self.connection.executemany(
            "INSERT OR IGNORE INTO opt_outs VALUES (?, ?, ?)",
            [(rule.owner or "", rule.repository or "", rule.path or "") for rule in rules],
        )
        return len(covered)

    def bury(self, contents: Iterable[int]) -> None:
        """Delete contents that no document holds any more; their postings are dead until a merge."""
        for content in contents:
            held = self.connection.execute("SELECT 1 FROM documents WHERE content = ? LIMIT 1", (content,))
            if held.fetchone() is None:
                place = self.connection.execute(
                    "DELETE FROM contents WHERE id = ? RETURNING block, start_byte, text_bytes", (content,)
                ).fetchone()
                self.blank(*place)
                self.connection.execute("INSERT OR IGNORE INTO dead VALUES (?)", (content,))

    def drop_empty_blocks(self) -> None:
        """Delete the blocks all of whose texts are gone."""
        self.connection.execute("DELETE FROM blocks WHERE id NOT IN (SELECT block FROM contents)")

    def add_segment(self, written: Written, first_content: int, last_content: int) -> None:
        """List a segment file that is already there."""
        self.connection.execute(
            "INSERT INTO segments (file, channel, postings, disk_bytes, crc32, first_content, last_content) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                written.file,
                int(written.channel),
                written.postings,
                written.disk_bytes,
                written.crc32,
                first_content,
                last_content,
            ),
        )

    def drop_segments(self, ids: Sequence[int]) -> None:
        """Unlist segments."""
        self.connection.executemany("DELETE FROM segments WHERE id = ?", [(number,) for number in ids])

    def forget_dead(self, first_content: int, last_content: int) -> None:
        """Contents of this range have no postings left."""
        self.connection.execute(
            "DELETE FROM dead WHERE content BETWEEN ? AND ?", (first_content, last_content)
        )


def _connect(folder: Path) -> sqlite3.Connection:
    # Autocommit: transactions are begun and ended by name. Threads share it under the index's lock.
    connection = sqlite3.connect(
        folder / FILE, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _meta(channels: Sequence[Channel]) -> dict[str, str]:
    sizes = " ".join(f"{WINNOWING[channel].k}/{WINNOWING[channel].window}" for channel in channels)
    return {
        "format": str(FORMAT_VERSION),
        "channels": " ".join(str(int(channel)) for channel in channels),
        "winnowing": sizes,
    }


def _parts(values: Sequence[int]) -> Iterator[list[int]]:
    """Pieces that SQLite takes as the parameters of one statement."""
    for start in range(0, len(values), 900):
        yield list(values[start : start + 900])


def _marks(values: Sequence[int]) -> str:
    return ",".join("?" * len(values))
