"""A file that is checked as it is read, block by block: what was altered or cut off is an error, no answer.

Its body is followed by the CRC-32 of each block. It is read and not mapped: of a mapped file that is cut off,
or whose disk fails, the process would die of SIGBUS.
"""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from attribution.errors import IndexDamagedError
from attribution.tokens.lexer import U64, Ints

REMEDY = "`starcoder-lsp index verify` says what is damaged and what to do"
BLOCK_BYTES = 4096
_CRC_BYTES = 4
_WORD_BYTES = 8
# So much is read at once, where it stands together.
_MOST_BLOCKS = 1024


def file_bytes(body_bytes: int) -> int:
    """The size of a file with such a body."""
    return body_bytes + _CRC_BYTES * _blocks(body_bytes)


def checksums(stream: BinaryIO) -> bytes:
    """What follows a body: the CRC-32 of each block of the stream, from its beginning to its end."""
    stream.seek(0)
    return b"".join(zlib.crc32(block).to_bytes(_CRC_BYTES, "little") for block in _blocks_of(stream))


def _blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK_BYTES):
        yield block


def _blocks(n_bytes: int) -> int:
    return -(-n_bytes // BLOCK_BYTES)


class CheckedBytes:
    """Open for reading until nobody refers to it. Raises `IndexDamagedError`, also later, on every read."""

    def __init__(self, path: Path, body_bytes: int) -> None:
        self.path = path
        self._body_bytes = body_bytes
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise self._damaged(str(error)) from error
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        size = os.fstat(self._file).st_size
        if size != file_bytes(body_bytes):
            raise self._damaged(f"{size} bytes, not {file_bytes(body_bytes)}")
        n_blocks = _blocks(body_bytes)
        table = self._bytes(body_bytes, _CRC_BYTES * n_blocks)
        self._crcs = np.frombuffer(table, dtype="<u4")
        self._run(0, 1)  # its header was believed

    def words(self, at: Ints) -> U64:
        """[Q] the eight bytes that begin at each of these bytes, as numbers; all must lie in the body."""
        if not len(at):
            return np.empty(0, dtype=np.uint64)
        blocks = np.unique(np.concatenate([at // BLOCK_BYTES, (at + _WORD_BYTES - 1) // BLOCK_BYTES]))
        ends = np.flatnonzero(np.diff(blocks) > 1) + 1
        data = b"".join(self._run(int(run[0]), len(run)) for run in np.split(blocks, ends))
        # Where each block stands in what was read; two that follow one another in the file do so here.
        where = np.searchsorted(blocks, at // BLOCK_BYTES) * BLOCK_BYTES + at % BLOCK_BYTES
        every_word: U64 = np.ndarray((len(data) - _WORD_BYTES + 1,), dtype="<u8", buffer=data, strides=(1,))
        words: U64 = every_word[where]
        return words

    def _run(self, first: int, count: int) -> bytes:
        """Blocks one behind the other."""
        parts = []
        for start in range(first, first + count, _MOST_BLOCKS):
            blocks = min(_MOST_BLOCKS, first + count - start)
            start_byte = start * BLOCK_BYTES
            part = self._bytes(start_byte, min(blocks * BLOCK_BYTES, self._body_bytes - start_byte))
            for at in range(blocks):
                block = memoryview(part)[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
                if zlib.crc32(block) != self._crcs[start + at]:
                    raise self._damaged("its content has changed since it was written")
            parts.append(part)
        return b"".join(parts)

    def _bytes(self, start_byte: int, n_bytes: int) -> bytes:
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._file, n_bytes, start_byte)
            else:  # Windows
                with self._lock:
                    os.lseek(self._file, start_byte, os.SEEK_SET)
                    data = os.read(self._file, n_bytes)
        except OSError as error:
            raise self._damaged(str(error)) from error
        if len(data) != n_bytes:
            raise self._damaged("it was cut off")
        return data

    def _damaged(self, what: str) -> IndexDamagedError:
        return IndexDamagedError(f"{self.path}: {what}; {REMEDY}")
