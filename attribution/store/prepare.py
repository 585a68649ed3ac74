"""The costly half of a build, pure and without state, so that it can run in any process.

Documents in; their contents' fingerprints, sizes and compressed texts out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import zstandard

from attribution.errors import IndexDamagedError
from attribution.source import Source, SourceDocument
from attribution.tokens.fingerprint import Channel, winnow_batch
from attribution.tokens.lexer import U64, lex_batch

# Enough to pay numpy's fixed costs once, small enough to stay in a core's cache.
BATCH_BYTES = 1 << 20
BATCH_DOCUMENTS = 2048
# Texts are compressed together in blocks of this size: a quarter smaller than one by one.
BLOCK_BYTES = 32 << 10
_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDocument:
    """A document without its text, which is `text_bytes` long from `start_byte` of the batch's `block`."""

    source: Source
    key: bytes
    text_bytes: int
    tokens: int
    block: int
    start_byte: int


@dataclass(frozen=True, kw_only=True)
class PreparedBatch:
    """Documents, their texts in zstandard frames, and their postings by channel.

    Postings are sorted: `fingerprint << 16 | number of the document`.
    """

    documents: tuple[PreparedDocument, ...]
    blocks: tuple[bytes, ...]
    postings: dict[Channel, U64]

    def fingerprints(self, channel: Channel) -> list[U64]:
        """The fingerprints of each document, in the order of `documents`."""
        postings = self.postings[channel]
        numbers = (postings & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        cuts = np.searchsorted(numbers[order], np.arange(1, len(self.documents)))
        return np.split(postings[order] >> np.uint64(16), cuts)


def prepare(
    documents: Sequence[SourceDocument], channels: Sequence[Channel], *, block_bytes: int = BLOCK_BYTES
) -> PreparedBatch:
    """Fingerprint and compress a batch of documents; `block_bytes` 0 compresses each text by itself."""
    texts = [document.text for document in documents]
    batch = lex_batch(texts)
    counts = np.diff(batch.first).tolist()
    places = _places([len(text) for text in texts], block_bytes)
    return PreparedBatch(
        documents=tuple(
            PreparedDocument(
                source=document.source,
                key=document.key,
                text_bytes=len(document.text),
                tokens=tokens,
                block=block,
                start_byte=start,
            )
            for document, tokens, (block, start) in zip(documents, counts, places, strict=True)
        ),
        blocks=tuple(_packed_blocks(texts, [block for block, _ in places])),
        postings={channel: winnow_batch(batch, channel) for channel in channels},
    )


def _places(sizes: Sequence[int], block_bytes: int) -> list[tuple[int, int]]:
    """(block, start) of each text."""
    places: list[tuple[int, int]] = []
    block, start = 0, 0
    for size in sizes:
        if start and start + size > block_bytes:
            block, start = block + 1, 0
        places.append((block, start))
        # An empty text also begins its block, so that blocks are never empty of documents.
        start += max(size, 1)
    return places


def _packed_blocks(texts: Sequence[bytes], blocks: Sequence[int]) -> Iterator[bytes]:
    # One context for a batch: making one costs more than compressing a small file.
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
    for _, group in groupby(zip(blocks, texts, strict=True), key=itemgetter(0)):
        yield compressor.compress(b"".join(text or b"\0" for _, text in group))


def blanked(packed: bytes, start_byte: int, text_bytes: int) -> bytes:
    """A block with one text overwritten by zeros; the others stay where they are."""
    block = unpack(packed)
    after = block[start_byte + text_bytes :]
    return zstandard.ZstdCompressor(level=_LEVEL).compress(block[:start_byte] + bytes(text_bytes) + after)


def unpack(packed: bytes) -> bytes:
    """The texts of a zstandard frame; raises `IndexDamagedError`."""
    try:
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise IndexDamagedError(
            f"a stored text cannot be read ({error}); run `starcoder-lsp index verify`"
        ) from error


def batches(documents: Iterable[SourceDocument]) -> Iterator[list[SourceDocument]]:
    """Documents in groups of about `BATCH_BYTES`."""
    group: list[SourceDocument] = []
    size = 0
    for document in documents:
        group.append(document)
        size += len(document.text)
        if size >= BATCH_BYTES or len(group) >= BATCH_DOCUMENTS:
            yield group
            group, size = [], 0
    if group:
        yield group
