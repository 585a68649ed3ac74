"""The portrait of a training set: what makes "the model has seen this" checkable before any index is built.

It is made of the very documents that the shards were packed from, and refuses others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from attribution.match.portrait import Portrait, build_portrait
from attribution.source import Source, SourceDocument
from training.data.packing import PackedCorpus, document_files, read_records
from training.errors import PackingError

PORTRAIT_FILE = "portrait.bin"


def write_portrait(
    documents: Path,
    packed: PackedCorpus,
    target: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Portrait:
    """Write `target`/portrait.bin of the documents in a folder of `*.jsonl(.gz)`, which `packed` was made of.

    `progress` is told (documents done, documents). Raises PackingError if the shards are of others.
    """
    wanted = _sizes(packed)
    total, seen = sum(wanted.values()), Counter[tuple[str, int]]()

    def texts() -> Iterator[SourceDocument]:
        records = chain.from_iterable(map(read_records, document_files(documents)))
        for done, record in enumerate(records, start=1):
            text = record["text"].encode()
            seen[record["language"], len(text)] += 1
            progress(done, total)
            yield SourceDocument(
                source=Source(repository=record["repository"], path=record["path"]), text=text
            )

    scratch = target / f".{PORTRAIT_FILE}"
    try:
        portrait = build_portrait(texts(), scratch)
        if seen != wanted:
            raise PackingError(
                f"{documents} has {seen.total():,} documents, and not those that the shards were packed from "
                f"({total:,}): name the folder that was packed"
            )
        scratch.replace(target / PORTRAIT_FILE)
    finally:
        scratch.unlink(missing_ok=True)
    return portrait


def _sizes(packed: PackedCorpus) -> Counter[tuple[str, int]]:
    """How many documents of each language and size the shards hold: no two corpora agree by chance."""
    return Counter(
        (language, int(size))
        for language, shards in packed.shards.items()
        for shard in shards
        for size in shard.text_bytes
    )
