"""Compressed JSONL shards, one series per split and language. Byte-identical for identical input."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from training.corpus.document import Document

SHARD_TEXT_BYTES = 64 * 1024 * 1024


class ShardWriter:
    """Writes documents to `FOLDER/LANGUAGE-00000.jsonl.gz`, a new shard after `shard_text_bytes` of text."""

    def __init__(self, folder: Path, *, shard_text_bytes: int = SHARD_TEXT_BYTES) -> None:
        self._folder = folder
        self._shard_text_bytes = shard_text_bytes
        self._open: dict[str, tuple[BinaryIO, gzip.GzipFile]] = {}
        self._shards: dict[str, int] = {}
        self._written_bytes: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, document: Document) -> None:
        """Append one document to its language's shard."""
        key = slug(document.language)
        if self._written_bytes.get(key, 0) >= self._shard_text_bytes:
            self._finish(key)
        if key not in self._open:
            self._start(key)
        self._open[key][1].write((document.to_json() + "\n").encode())
        self._written_bytes[key] = self._written_bytes.get(key, 0) + len(document.text.encode())

    def _start(self, key: str) -> None:
        number = self._shards.get(key, 0)
        self._shards[key] = number + 1
        raw = (self._folder / f"{key}-{number:05d}.jsonl.gz").open("wb")
        # No name and no time in the header: the same documents give the same bytes.
        self._open[key] = (raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))

    def _finish(self, key: str) -> None:
        raw, compressed = self._open.pop(key)
        compressed.close()
        raw.close()
        self._written_bytes[key] = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for key in list(self._open):
            self._finish(key)


def slug(language: str) -> str:
    """A language's name as a file name: `C++` -> `cpp`, `JavaScript` -> `javascript`."""
    return language.lower().replace("+", "p").replace("#", "sharp").replace(" ", "-")


def read_documents(folder: Path) -> Iterator[Document]:
    """Yield the documents of every shard in a folder, in file-name order."""
    for shard in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield Document.from_json(line)
