"""Writing the SQLite half of the embedded index.

Transactions are the caller's: nothing here begins or ends one but making the catalogue. What is
removed is overwritten at once, in its compressed block too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from attribution.errors import IndexFormatError
from attribution.source import Source
from attribution.store.contract import Removed
from attribution.store.embedded.catalogue import Catalogue, connect, meta, no_index, packed_evidence
from attribution.store.embedded.folder import CATALOGUE
from attribution.store.embedded.segment import Written
from attribution.store.opt_outs import OptOut, OptOuts
from attribution.store.prepare import PreparedDocument, blanked
from attribution.tokens.fingerprint import Channel

# Segments are pointed to with 32 bits.
MAX_CONTENTS = (1 << 32) - 1

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE provenances (
    id INTEGER PRIMARY KEY, repository TEXT NOT NULL, package TEXT NOT NULL, revision TEXT NOT NULL,
    origin TEXT NOT NULL, UNIQUE (repository, package, revision, origin));
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE,
    text_bytes INTEGER NOT NULL, tokens INTEGER NOT NULL,
    block INTEGER NOT NULL, start_byte INTEGER NOT NULL);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE documents (
    provenance INTEGER NOT NULL, path TEXT NOT NULL, content INTEGER NOT NULL,
    license TEXT, url TEXT, evidence INTEGER, PRIMARY KEY (provenance, path)) WITHOUT ROWID;
CREATE TABLE evidences (id INTEGER PRIMARY KEY, said TEXT NOT NULL UNIQUE);
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


class CatalogueWriter(Catalogue):
    """A connection that also writes."""

    @classmethod
    def create(cls, folder: Path, channels: Sequence[Channel]) -> Self:
        """Open for writing, and make it if it is not there (whole or not at all)."""
        folder.mkdir(parents=True, exist_ok=True)
        connection = connect(folder)
        try:
            is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.DatabaseError as error:
            connection.close()
            raise no_index(folder / CATALOGUE, error) from error
        if is_new:
            # What is removed must be gone from the disk too.
            connection.executescript("PRAGMA journal_mode = WAL; BEGIN; " + _SCHEMA)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta(channels).items())
            connection.execute("COMMIT")
        return cls(connection, folder)

    def provenance(self, source: Source) -> int:
        """The number of a source's provenance, given one if it is new."""
        self.connection.execute(
            "INSERT OR IGNORE INTO provenances (repository, package, revision, origin) VALUES (?, ?, ?, ?)",
            source.provenance,
        )
        number = self.provenance_of(source)
        assert number is not None
        return number

    def evidence(self, source: Source) -> int | None:
        """The number of what a licence is known by, which many files share; given one if it is new."""
        if source.evidence is None:
            return None
        said = packed_evidence(source.evidence)
        self.connection.execute("INSERT OR IGNORE INTO evidences (said) VALUES (?)", (said,))
        row = self.connection.execute("SELECT id FROM evidences WHERE said = ?", (said,)).fetchone()
        return int(row[0])

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

    def put_document(self, source: Source, content: int) -> bool:
        """Insert or replace a document; whether it was there. A content that loses its last document dies."""
        provenance = self.provenance(source)
        before = self.document(provenance, source.path)
        self.connection.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET content = "
            "excluded.content, license = excluded.license, url = excluded.url, evidence = excluded.evidence",
            (provenance, source.path, content, source.license, source.url, self.evidence(source)),
        )
        if before is not None and before[0] != content:
            self.bury([before[0]])
        return before is not None

    def remove_documents(self, rules: Sequence[OptOut]) -> Removed:
        """Delete the documents that the rules cover and remember the rules."""
        opt_outs = OptOuts(rules)
        rows = self.connection.execute(
            "SELECT provenance, path, content, repository, package FROM documents "
            "JOIN provenances ON provenances.id = provenance"
        )
        covered, used = [], set()
        for row in rows:
            source = Source(repository=row[3], path=row[1], package=row[4] or None)
            if by := set(opt_outs.covering(source)):
                covered.append(row)
                used |= by
        self.connection.executemany(
            "DELETE FROM documents WHERE provenance = ? AND path = ?", [row[:2] for row in covered]
        )
        self.connection.execute("DELETE FROM provenances WHERE id NOT IN (SELECT provenance FROM documents)")
        # It names files of those who opted out.
        self.connection.execute(
            "DELETE FROM evidences WHERE id NOT IN "
            "(SELECT evidence FROM documents WHERE evidence IS NOT NULL)"
        )
        self.bury({row[2] for row in covered})
        self.connection.executemany(
            "INSERT OR IGNORE INTO opt_outs VALUES (?, ?, ?)",
            [(rule.owner or "", rule.repository or "", rule.path or "") for rule in rules],
        )
        return Removed(len(covered), tuple(rule for rule in rules if rule not in used))

    def lift(self, rules: Sequence[OptOut]) -> int:
        """Forget rules; how many there were."""
        deleted = self.connection.executemany(
            "DELETE FROM opt_outs WHERE owner = ? AND repository = ? AND path = ?",
            [(rule.owner or "", rule.repository or "", rule.path or "") for rule in rules],
        )
        return deleted.rowcount

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
