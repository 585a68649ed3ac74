"""The SQLite half of the embedded index: documents, contents, texts, opt-outs and the list of segments.
Reading; `catalogue_writer` has the tables.

One transaction is one commit of the index: a segment counts from the moment its row does. Knows
nothing of fingerprints.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np

from attribution.errors import IndexDamagedError, IndexFormatError
from attribution.source import GroupBy, Identified, LicenceEvidence, Source, content_key
from attribution.store.contract import DOCUMENT_VERSION, language_name, missing
from attribution.store.embedded.folder import CATALOGUE
from attribution.store.embedded.segment import SEGMENT_VERSION, Written
from attribution.store.opt_outs import OptOut
from attribution.store.prepare import unpack
from attribution.tokens.fingerprint import FORMAT_VERSION, WINNOWING, Channel
from attribution.tokens.lexer import U64

_BUSY_TIMEOUT_S = 30.0
_Value = TypeVar("_Value", int, bytes)


class Catalogue:
    """A connection to the catalogue of one index folder."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        try:
            self.channels = self._checked_channels()
        except IndexFormatError:
            connection.close()
            raise

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Open for reading; raises `IndexMissingError` or `IndexFormatError`."""
        if not (folder / CATALOGUE).is_file():
            raise missing(str(folder))
        return cls(connect(folder), folder)

    def _checked_channels(self) -> tuple[Channel, ...]:
        try:
            found = dict(self.connection.execute("SELECT name, value FROM meta"))
        except sqlite3.DatabaseError as error:
            raise no_index(self.folder / CATALOGUE, error) from error
        channels = tuple(Channel(int(channel)) for channel in found.get("channels", "").split())
        expected = meta(channels)
        if found != expected:
            # The first program wrote segments of version 1 and did not say so.
            differ = ", ".join(
                f"{name} {found.get(name, '1')} instead of {value}"
                for name, value in expected.items()
                if found.get(name, "1") != value
            )
            raise IndexFormatError(
                f"{self.folder} was written by another version of this program ({differ}); keep its opt-outs "
                f"with `starcoder-lsp index opt-outs list --into {self.folder} > opt-outs.txt` and build it "
                "again in an empty folder: `starcoder-lsp index build SOURCES… --opt-out-list opt-outs.txt`"
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

    def documents_by(self, group: GroupBy) -> Counter[str | None]:
        """How many documents there are of each value."""
        if group is GroupBy.LANGUAGE:
            paths = self.connection.execute("SELECT path FROM documents")
            return Counter(language_name(path) for (path,) in paths)
        column = {GroupBy.LICENSE: "license", GroupBy.REPOSITORY: "repository"}[group]
        rows = self.connection.execute(
            f"SELECT {column}, count(*) FROM documents JOIN provenances ON provenances.id = provenance "
            "GROUP BY 1"
        )
        return Counter(dict(rows))

    def repositories(self) -> int:
        """How many repositories there are."""
        query = "SELECT count(DISTINCT repository) FROM provenances"
        return int(self.connection.execute(query).fetchone()[0])

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

    def sources(self, content: int) -> tuple[Source, ...]:
        """The sources of all documents that hold a content, in their order."""
        rows = self.connection.execute(
            "SELECT repository, path, package, revision, origin, license, url, said FROM documents "
            "JOIN provenances ON provenances.id = provenance "
            "LEFT JOIN evidences ON evidences.id = evidence WHERE content = ? "
            "ORDER BY repository, path, package, revision, origin",
            (content,),
        )
        return tuple(
            Source(
                repository=row[0],
                path=row[1],
                package=row[2] or None,
                revision=row[3] or None,
                origin=row[4] or None,
                license=row[5],
                url=row[6],
                evidence=None if row[7] is None else LicenceEvidence(**json.loads(row[7])),
            )
            for row in rows
        )

    def licences(self, keys: Sequence[bytes]) -> dict[bytes, frozenset[str | None]]:
        """The licences of the documents that hold each content."""
        found: dict[bytes, set[str | None]] = {}
        for part in _parts(keys):
            rows = self.connection.execute(
                "SELECT DISTINCT key, license FROM contents JOIN documents ON content = contents.id "
                f"WHERE key IN ({_marks(part)})",
                part,
            )
            for key, license in rows:
                found.setdefault(key, set()).add(license)
        return {key: frozenset(licences) for key, licences in found.items()}

    def content_of_key(self, key: bytes) -> int | None:
        """The content with this key."""
        row = self.connection.execute("SELECT id FROM contents WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def provenance_of(self, source: Source) -> int | None:
        """The number of a source's provenance."""
        row = self.connection.execute(
            "SELECT id FROM provenances WHERE repository = ? AND package = ? AND revision = ? AND origin = ?",
            source.provenance,
        ).fetchone()
        return None if row is None else int(row[0])

    def document(self, provenance: int, path: str) -> tuple[int, str | None, str | None, int | None] | None:
        """(content, license, url, evidence) of a document."""
        row: tuple[int, str | None, str | None, int | None] | None = self.connection.execute(
            "SELECT content, license, url, evidence FROM documents WHERE provenance = ? AND path = ?",
            (provenance, path),
        ).fetchone()
        return row

    def holds(self, document: Identified) -> bool:
        """Whether a document is there with this content."""
        provenance = self.provenance_of(document.source)
        stored = None if provenance is None else self.document(provenance, document.source.path)
        return stored is not None and stored[0] == self.content_of_key(document.key)

    def opt_outs(self) -> list[OptOut]:
        """All rules ever given."""
        return _opt_outs(self.connection)

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


def read_opt_outs(folder: Path) -> list[OptOut]:
    """The rules of an index of any version. Raises `IndexMissingError` or `IndexFormatError`."""
    if not (folder / CATALOGUE).is_file():
        raise missing(str(folder))
    connection = connect(folder)
    try:
        return _opt_outs(connection)
    except sqlite3.DatabaseError as error:
        raise no_index(folder / CATALOGUE, error) from error
    finally:
        connection.close()


def no_index(path: Path, error: sqlite3.DatabaseError) -> IndexFormatError:
    """What to raise where a file of an index should be."""
    return IndexFormatError(f"{path}: not an attribution index: {error}")


def _opt_outs(connection: sqlite3.Connection) -> list[OptOut]:
    rows = connection.execute("SELECT owner, repository, path FROM opt_outs")
    return [OptOut(owner=row[0] or None, repository=row[1] or None, path=row[2] or None) for row in rows]


def connect(folder: Path) -> sqlite3.Connection:
    """A connection to the catalogue's file, which is made if it is not there."""
    # Autocommit: transactions are begun and ended by name. Threads share it under the index's lock.
    connection = sqlite3.connect(
        folder / CATALOGUE, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def meta(channels: Sequence[Channel]) -> dict[str, str]:
    """What has to agree before an index is read or written."""
    sizes = " ".join(f"{WINNOWING[channel].k}/{WINNOWING[channel].window}" for channel in channels)
    return {
        "format": str(FORMAT_VERSION),
        "channels": " ".join(str(int(channel)) for channel in channels),
        "winnowing": sizes,
        "segments": str(SEGMENT_VERSION),
        "documents": str(DOCUMENT_VERSION),
    }


def packed_evidence(evidence: LicenceEvidence) -> str:
    """As it is kept: what it does not say is left out."""
    return json.dumps({name: said for name, said in asdict(evidence).items() if said is not None})


def _parts(values: Sequence[_Value]) -> Iterator[list[_Value]]:
    """Pieces that SQLite takes as the parameters of one statement."""
    for start in range(0, len(values), 900):
        yield list(values[start : start + 900])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
