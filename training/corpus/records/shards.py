"""Compressed JSONL shards, one series per split and language. Byte-identical for identical input."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from training.corpus.records.document import CorpusDocument

SHARD_TEXT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """A finished shard: its file's name, the slug of its language, what it holds."""

    file: str
    language: str
    documents: int
    text_bytes: int


class ShardWriter:
    """Writes documents to `FOLDER/LANGUAGE-00000.jsonl.gz`, a new shard after `shard_text_bytes` of text."""

    def __init__(self, folder: Path, *, shard_text_bytes: int = SHARD_TEXT_BYTES) -> None:
        self._folder = folder
        self._shard_text_bytes = shard_text_bytes
        self._open: dict[str, tuple[BinaryIO, gzip.GzipFile]] = {}
        self._shards: dict[str, list[ShardInfo]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, document: CorpusDocument) -> int:
        """Append one document to its language's shard; returns the bytes of its text."""
        key = slug(document.language)
        shards = self._shards.setdefault(key, [])
        if key in self._open and shards[-1].text_bytes >= self._shard_text_bytes:
            self._finish(key)
        if key not in self._open:
            self._start(key)
        self._open[key][1].write((document.to_json() + "\n").encode())
        size_bytes = len(document.text.encode())
        last = shards[-1]
        shards[-1] = replace(last, documents=last.documents + 1, text_bytes=last.text_bytes + size_bytes)
        return size_bytes

    def shards(self) -> dict[str, list[dict[str, Any]]]:
        """What was written, by language's slug, as JSON has it."""
        return {key: [asdict(shard) for shard in shards] for key, shards in sorted(self._shards.items())}

    def _start(self, key: str) -> None:
        shards = self._shards[key]
        name = f"{key}-{len(shards):05d}.jsonl.gz"
        shards.append(ShardInfo(file=name, language=key, documents=0, text_bytes=0))
        raw = (self._folder / name).open("wb")
        # No name and no time in the header: the same documents give the same bytes.
        self._open[key] = (raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))

    def _finish(self, key: str) -> None:
        raw, compressed = self._open.pop(key)
        compressed.close()
        raw.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for key in list(self._open):
            self._finish(key)


class ShardMerger:
    """Puts parts of shards together: compressed members one after the other make one file."""

    def __init__(self, folder: Path, *, shard_text_bytes: int = SHARD_TEXT_BYTES) -> None:
        self._folder = folder
        self._shard_text_bytes = shard_text_bytes
        self._merged: dict[str, list[ShardInfo]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, folder: Path, part: ShardInfo) -> None:
        """Append one part, to a new shard if the last would hold too much text."""
        shards = self._merged.setdefault(part.language, [])
        if not shards or shards[-1].text_bytes + part.text_bytes > self._shard_text_bytes:
            name = f"{part.language}-{len(shards):05d}.jsonl.gz"
            shards.append(replace(part, file=name, documents=0, text_bytes=0))
        last = shards[-1]
        with (folder / part.file).open("rb") as source, (self._folder / last.file).open("ab") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        shards[-1] = replace(
            last,
            documents=last.documents + part.documents,
            text_bytes=last.text_bytes + part.text_bytes,
        )

    def shards(self) -> list[ShardInfo]:
        """The shards, by file name."""
        return sorted((shard for shards in self._merged.values() for shard in shards), key=lambda s: s.file)


def slug(language: str) -> str:
    """A language's name as a file name: `C++` -> `cpp`, `JavaScript` -> `javascript`."""
    return language.lower().replace("+", "p").replace("#", "sharp").replace(" ", "-")


def read_documents(place: Path) -> Iterator[CorpusDocument]:
    """Yield the documents of one shard, or of every shard in a folder in file-name order."""
    for shard in sorted(place.glob("*.jsonl.gz")) if place.is_dir() else (place,):
        with gzip.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield CorpusDocument.from_json(line)
