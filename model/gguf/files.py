"""GGUF files: opened, checked and mapped into memory, one file or parts of one.

Owns the layout of a file and that nothing in it points out of it; versions 2 and 3, little-endian. The
bytes of a tensor are not copied until somebody asks for numbers. Knows no key but those of the format
itself, and no tensor's name.
Source: `docs/gguf.md` of ggml.
"""

from __future__ import annotations

import math
import mmap
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import CheckpointError
from model.gguf.block_types import BLOCK_TYPES, BlockType
from model.gguf.dequantize import READABLE, dequantize, readable
from model.gguf.metadata import Cursor, Metadata, Value, read_pairs, shown

SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# The largest mixtures of experts have some thousand; `ggml` itself allows four dimensions.
_MAX_TENSORS = 20_000
_MAX_DIMENSIONS = 4
_MAX_PARTS = 1_000
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
# Whoever only peeks does not walk over a vocabulary.
_LONG_ARRAY = 1_000


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor where it lies in its file."""

    name: str
    shape: tuple[int, ...]
    """As NumPy has it: the last dimension is the one whose weights lie side by side."""
    type: BlockType
    begin: int
    """In bytes, from the beginning of the file."""

    @property
    def n_bytes(self) -> int:
        """What it takes in the file."""
        return math.prod(self.shape) // self.type.block_weights * self.type.block_bytes

    @property
    def row_bytes(self) -> int:
        """What one row takes."""
        return self.shape[-1] // self.type.block_weights * self.type.block_bytes


class Gguf:
    """A model's GGUF file with all its parts. Raises `CheckpointError` for one that cannot be used."""

    def __init__(self, path: Path) -> None:
        """Open `path`; any part of a file in parts opens all of them."""
        self._files = [_File(part) for part in _parts_of(path)]
        self.path = self._files[0].path
        self.metadata: Metadata = self._files[0].metadata
        self._homes: dict[str, _File] = {}
        for file in self._files:
            for name in file.tensors:
                if name in self._homes:
                    raise CheckpointError(f"{file.path} and another part both hold the tensor {shown(name)}")
                self._homes[name] = file
        self._check_parts()

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name, in the order of the files."""
        return {name: file.tensors[name] for name, file in self._homes.items()}

    def blocks(self, name: str) -> NDArray[np.uint8]:
        """A tensor's bytes [rows, bytes of a row], not copied. Raises `CheckpointError` if it is missing."""
        if name not in self._homes:
            raise CheckpointError(f"{self.path} lacks the tensor {name}: is it a complete model?")
        return self._homes[name].blocks(name)

    def floats(self, name: str) -> NDArray[np.float32]:
        """A tensor in fp32 [rows, columns]; of one dimension [columns].

        Raises `CheckpointError` if it is missing, or of a number type that is not read here.
        """
        values = dequantize(self.blocks(name), self.readable_type(name))
        return values[0] if len(self._homes[name].tensors[name].shape) == 1 else values

    def readable_type(self, name: str) -> BlockType:
        """A tensor's number type. Raises `CheckpointError` for one that is not read here."""
        kind = self._homes[name].tensors[name].type
        if not readable(kind):
            raise CheckpointError(
                f"{self.path}: {shown(name)} is stored as {kind.name}; only {', '.join(READABLE)} are read"
            )
        return kind

    def release(self, name: str) -> None:
        """Say that a tensor has been copied: its pages need not stay in memory."""
        self._homes[name].release(name)

    def _check_parts(self) -> None:
        count = self.metadata.integer("split.count")
        if count is not None and count > 1 and len(self._files) == 1:
            raise CheckpointError(
                f"{self.path} is one of {count} parts: put them into one folder, and call this one "
                f"NAME-00001-of-{count:05}{SUFFIX}"
            )
        n_tensors = self.metadata.integer("split.tensors.count")
        if n_tensors is not None and n_tensors != len(self._homes):
            raise CheckpointError(
                f"{self.path}: the parts hold {len(self._homes)} tensors of {n_tensors}; download it again"
            )


def peek(path: Path, keys: Collection[str]) -> dict[str, Value]:
    """Those of the keys that stand before the first long array: the vocabulary, in published files.

    Reads a page or two. Raises `CheckpointError` for what is no GGUF file.
    """
    cursor, n_pairs, _ = _opened(path)
    found: dict[str, Value] = {}
    for key, value in read_pairs(cursor, n_pairs, longest_array=_LONG_ARRAY):
        if key in keys:
            found[key] = value
        if len(found) == len(keys):
            break
    return found


def parts_of_name(path: Path) -> tuple[str, int, int] | None:
    """Stem, number and count of a part's name (`model-00001-of-00003.gguf`); None for any other name."""
    if match := _PART.fullmatch(path.name):
        return match["stem"], int(match["number"]), int(match["count"])
    return None


def _parts_of(path: Path) -> list[Path]:
    """All parts of the file that `path` is a part of, the first one first."""
    named = parts_of_name(path)
    if named is None:
        return [path]
    stem, number, count = named
    if not 1 <= number <= count <= _MAX_PARTS:
        raise CheckpointError(f"{path} is called part {number} of {count}")
    parts = [path.with_name(f"{stem}-{i:05}-of-{count:05}{SUFFIX}") for i in range(1, count + 1)]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise CheckpointError(f"{path.parent} lacks {missing[0]}, one of {count} parts; download it again")
    return parts


class _File:
    """One file, mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        cursor, n_pairs, n_tensors = _opened(path)
        pairs: dict[str, Value] = {}
        for key, value in read_pairs(cursor, n_pairs):
            if key in pairs:
                raise cursor.error(f"{shown(key)} stands in it twice")
            pairs[key] = value
        self.metadata = Metadata(pairs, str(path))
        self._data = cursor.data
        self.tensors = {tensor.name: tensor for tensor in self._read_tensors(cursor, n_tensors)}
        if len(self.tensors) < n_tensors:
            raise cursor.error("two tensors have one name")
        _refuse_overlaps(self.tensors.values(), cursor)

    def blocks(self, name: str) -> NDArray[np.uint8]:
        tensor = self.tensors[name]
        flat = np.frombuffer(self._data, np.uint8, tensor.n_bytes, tensor.begin)
        return flat.reshape(-1, tensor.row_bytes)

    def release(self, name: str) -> None:
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        tensor = self.tensors[name]
        first = -(-tensor.begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (tensor.begin + tensor.n_bytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0:
            mapped = self._data.obj
            assert isinstance(mapped, mmap.mmap)
            mapped.madvise(mmap.MADV_DONTNEED, first, length)

    def _read_tensors(self, cursor: Cursor, count: int) -> Iterator[Tensor]:
        if count > _MAX_TENSORS:
            raise cursor.error(f"{count:,} tensors")
        alignment = self.metadata.integer("general.alignment") or 32
        if alignment & (alignment - 1) or not 1 <= alignment <= 1 << 20:
            raise cursor.error(f"general.alignment = {alignment}")
        found = [_read_tensor(cursor) for _ in range(count)]
        start = -(-cursor.at // alignment) * alignment
        for tensor in found:
            begin = start + tensor.begin
            if begin + tensor.n_bytes > len(cursor.data):
                raise cursor.truncated()
            if tensor.begin % alignment:
                raise cursor.error(f"{shown(tensor.name)} lies at {tensor.begin}")
            yield Tensor(name=tensor.name, shape=tensor.shape, type=tensor.type, begin=begin)


def _opened(path: Path) -> tuple[Cursor, int, int]:
    """A cursor behind the fixed part of a file's head, and how many pairs and tensors follow."""
    try:
        # Asked before it is opened: opening a pipe would wait for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a file")
        with path.open("rb") as file:
            beginning = file.read(len(_MAGIC))
            if beginning != _MAGIC:
                raise CheckpointError(f"{path} is not a GGUF file: it begins with {beginning!r}")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    cursor = Cursor(memoryview(mapped), str(path))
    cursor.skip(len(_MAGIC))
    version = cursor.u32()
    if version not in _VERSIONS:
        # A big-endian file's 3 reads as 0x03000000.
        what = "is big-endian" if not version & 0xFFFF else f"has GGUF version {version}"
        raise CheckpointError(f"{path} {what}; little-endian files of version 2 and 3 are read")
    n_tensors, n_pairs = cursor.u64(), cursor.u64()
    return cursor, n_pairs, n_tensors


def _read_tensor(cursor: Cursor) -> Tensor:
    """A tensor's description; `begin` counts from the beginning of all tensors."""
    name = cursor.text()
    n_dimensions = cursor.u32()
    if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
        raise cursor.error(f"{shown(name)} has {n_dimensions} dimensions")
    shape = tuple(reversed([cursor.u64() for _ in range(n_dimensions)]))
    number = cursor.u32()
    if (kind := BLOCK_TYPES.get(number)) is None:
        raise CheckpointError(f"{cursor.where}: {shown(name)} has the unknown number type {number}")
    if min(shape) < 1 or shape[-1] % kind.block_weights:
        raise cursor.error(f"{shown(name)} has shape {shape} in blocks of {kind.block_weights}")
    return Tensor(name=name, shape=shape, type=kind, begin=cursor.u64())


def _refuse_overlaps(tensors: Collection[Tensor], cursor: Cursor) -> None:
    end = 0
    for tensor in sorted(tensors, key=lambda one: one.begin):
        if tensor.begin < end:
            raise cursor.error(f"{shown(tensor.name)} overlaps another tensor")
        end = tensor.begin + tensor.n_bytes
