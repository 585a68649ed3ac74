"""What a user would do without us: full-text search, whose best hit is taken for the answer.

A full-text search always has a best hit. It says nothing about whether that is a copy, so a threshold
on its score decides, chosen for each method where it does best on excerpts of its own. Scores are
divided by the number of things asked for, without which no threshold would fit two queries.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from attribution.source import SourceDocument
from benchmarks.attribution.excerpts import Excerpt
from benchmarks.attribution.judge import holds
from benchmarks.attribution.measure import Built, stopwatch
from benchmarks.attribution.methods import Claim
from benchmarks.attribution.progress import steps

_PHRASE_WORDS = 6
_MIN_LINE = 12


class Search(Protocol):
    """A full-text search over documents, known by their number."""

    name: str
    in_process: bool

    def build(self, documents: Sequence[SourceDocument]) -> Built:
        """Take in all of them."""

    def best(self, text: str) -> tuple[int, float] | None:
        """The best hit's number, and its score by what was asked for."""

    def close(self) -> None:
        """Let go of it."""


class BestHit:
    """A search as a `Method`: its best hit, if that scores enough."""

    def __init__(self, search: Search, documents: Sequence[SourceDocument]) -> None:
        self.name = search.name
        self.in_process = search.in_process
        self.threshold = 0.0
        self._search = search
        self._documents = documents

    def calibrate(self, planted: Sequence[Excerpt], held_out: Sequence[Excerpt]) -> None:
        """Choose the threshold with the most right answers less the answers where there are none."""
        scored = [(score, 1 if right else -1) for score, right in self._hits(planted)]
        scored += [(score, -1) for score, _ in self._hits(held_out)]
        best, gain = 0, 0
        # From the highest score down: what would be gained if it were the last to be accepted.
        for score, worth in sorted(scored, reverse=True):
            gain += worth
            if gain >= best:
                best, self.threshold = gain, score

    def _hits(self, excerpts: Sequence[Excerpt]) -> list[tuple[float, bool]]:
        found = []
        for one in steps(excerpts, f"{self.name}: threshold"):
            if (hit := self._search.best(one.text.decode(errors="replace"))) is not None:
                found.append((hit[1], holds(self._documents[hit[0]].text, one.original)))
        return found

    def ask(self, text: bytes) -> list[Claim]:
        """The best hit, or none."""
        hit = self._search.best(text.decode(errors="replace"))
        return [] if hit is None or hit[1] < self.threshold else [Claim(document=self._documents[hit[0]])]

    def close(self) -> None:
        """Let go of the search."""
        self._search.close()


class Fts5:
    """SQLite's full-text search. `build` and `phrases` are what differs between its tokenizers."""

    in_process = True

    def __init__(self, path: Path, *, trigrams: bool) -> None:
        self.name = "SQLite FTS5, trigrams" if trigrams else "SQLite FTS5, phrases"
        self._path = path
        self._trigrams = trigrams
        self._connection = sqlite3.connect(path)

    def build(self, documents: Sequence[SourceDocument]) -> Built:
        """One row a document."""
        tokenizer = "trigram case_sensitive 1" if self._trigrams else "unicode61 tokenchars '_'"
        numbered = list(enumerate(documents))
        with stopwatch() as watch:
            self._connection.execute(f'CREATE VIRTUAL TABLE files USING fts5(text, tokenize="{tokenizer}")')
            for at, document in steps(numbered, f"building {self.name}"):
                row = (at, document.text.decode(errors="replace"))
                self._connection.execute("INSERT INTO files (rowid, text) VALUES (?, ?)", row)
            self._connection.commit()
        size = sum(len(document.text) for document in documents)
        disk = self._path.stat().st_size
        return Built(
            megabytes=size / 1e6,
            wall_s=watch.wall_s,
            cpu_s=watch.cpu_s,
            disk_with_text=disk / size,
            disk_without_text=(disk - size) / size,
        )

    def best(self, text: str) -> tuple[int, float] | None:
        """By BM25, of the documents with any of the phrases."""
        phrases = _lines(text) if self._trigrams else _phrases(text)
        if not phrases:
            return None
        query = " OR ".join('"' + phrase.replace('"', '""') + '"' for phrase in phrases)
        row = self._connection.execute(
            "SELECT rowid, rank FROM files WHERE files MATCH ? ORDER BY rank LIMIT 1", (query,)
        ).fetchone()
        return None if row is None else (int(row[0]), -float(row[1]) / len(phrases))

    def close(self) -> None:
        """Close and delete the file."""
        self._connection.close()
        self._path.unlink()


class PlainElasticsearch:
    """A text field as Elasticsearch makes it, asked with `match`: BM25."""

    in_process = False
    name = "Elasticsearch, plain text field"

    def __init__(self, server: str, index: str) -> None:
        from elasticsearch import Elasticsearch

        self._client = Elasticsearch(server, request_timeout=300)
        self._index = index

    def build(self, documents: Sequence[SourceDocument]) -> Built:
        """One document each, in bulk, without refreshes meanwhile."""
        from elasticsearch import helpers

        settings = {"refresh_interval": "-1", "number_of_replicas": 0}
        self._client.indices.create(index=self._index, settings=settings)
        numbered = list(enumerate(documents))
        actions = (
            {"_index": self._index, "_id": str(at), "text": document.text.decode(errors="replace")}
            for at, document in steps(numbered, f"building {self.name}")
        )
        with stopwatch() as watch:
            helpers.bulk(self._client, actions, max_chunk_bytes=8 << 20)
            self._client.indices.refresh(index=self._index)
        self._client.indices.flush(index=self._index)
        stats: Any = self._client.indices.stats(index=self._index, metric="store")
        size = sum(len(document.text) for document in documents)
        return Built(
            megabytes=size / 1e6,
            wall_s=watch.wall_s,
            cpu_s=None,
            disk_with_text=stats["_all"]["primaries"]["store"]["size_in_bytes"] / size,
            disk_without_text=None,
        )

    def best(self, text: str) -> tuple[int, float] | None:
        """By BM25, of the documents with any of the words."""
        answer = self._client.search(
            index=self._index, query={"match": {"text": {"query": text}}}, size=1, source=False
        )
        hits = answer["hits"]["hits"]
        words = max(len(set(re.findall(r"\w+", text.lower()))), 1)
        return (int(hits[0]["_id"]), float(hits[0]["_score"]) / words) if hits else None

    def close(self) -> None:
        """Delete the index."""
        self._client.indices.delete(index=self._index)
        self._client.close()


def _phrases(text: str) -> list[str]:
    """Six words in a row, and the next six: what new lines and indents do not change."""
    words = re.findall(r"\w+", text)
    parts = [words[at : at + _PHRASE_WORDS] for at in range(0, len(words), _PHRASE_WORDS)]
    return [" ".join(part) for part in parts if len(part) == _PHRASE_WORDS]


def _lines(text: str) -> list[str]:
    """Its longer lines."""
    return sorted({line.strip() for line in text.splitlines() if len(line.strip()) >= _MIN_LINE})
