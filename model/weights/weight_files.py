"""A model folder's weights by their family's names, mapped into memory and not copied.

Reads safetensors, one file or shards; never a pickle. Knows nothing about what becomes of the tensors.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from model.errors import CheckpointError
from model.families.config import ModelConfig, Shapes
from model.gguf.block_types import BLOCK_TYPES, NUMBERS
from model.gguf.dequantize import dequantize
from model.local.small_files import read_json_object
from model.weights.scheme import SCALE_SUFFIX

Floats = NDArray[np.float32]

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
# NumPy has no bf16: its bits.
NUMPY_TYPES = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "I8": "i1"}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A tensor as it lies in its file."""

    dtype: str
    """BF16, F16, F32, I8, or the name of a block type of `model.gguf.block_types`."""
    data: NDArray[Any]
    """Of BF16 the bits, of other block types a matrix's bytes [rows, bytes of a row]."""

    def floats(self) -> NDArray[np.float32]:
        """A copy in fp32."""
        if self.dtype == "BF16":
            return (self.data.astype(np.uint32) << 16).view(np.float32)
        if self.dtype in NUMPY_TYPES:
            return self.data.astype(np.float32)
        return dequantize(self.data, BLOCK_TYPES[NUMBERS[self.dtype]])


class _File:
    """One safetensors file, mapped."""

    def __init__(self, path: Path) -> None:
        try:
            # It checks that the header is sound and that every tensor lies within the file.
            with safe_open(path, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} cannot be read as safetensors ({error}): it is truncated or damaged; "
                "download it again"
            ) from error
        self.path = path
        with path.open("rb") as file:
            # Private and writable, as PyTorch wants its memory; nobody writes.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        (n_header,) = struct.unpack("<Q", self._map[:8])
        self.header: dict[str, dict[str, Any]] = json.loads(self._map[8 : 8 + n_header])
        self.header.pop("__metadata__", None)
        self._start = 8 + n_header

    def check(self, name: str, shape: tuple[int, ...]) -> str:
        """The number type of the tensor of that name. Raises `CheckpointError` for one that is not read here,
        and for another shape."""
        entry = self.header[name]
        dtype, stored_shape = str(entry["dtype"]), tuple(entry["shape"])
        if dtype not in NUMPY_TYPES:
            known = ", ".join(NUMPY_TYPES)
            raise CheckpointError(f"{self.path}: {name} is stored as {dtype}; only {known} are read")
        if stored_shape != shape:
            raise CheckpointError(
                f"{self.path}: {name} has shape {stored_shape}, the configuration asks for {shape}"
            )
        return dtype

    def read(self, name: str) -> Stored:
        """The tensor of that name, which has been checked."""
        entry = self.header[name]
        dtype = entry["dtype"]
        begin, end = entry["data_offsets"]
        kind = np.dtype(NUMPY_TYPES[dtype])
        data = np.frombuffer(self._map, kind, (end - begin) // kind.itemsize, self._start + begin)
        aligned = data if data.flags.aligned else data.copy()
        return Stored(dtype=dtype, data=aligned.reshape(entry["shape"]))

    def release(self, name: str) -> None:
        """Let the system have the pages of a tensor back."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        begin, end = (self._start + offset for offset in self.header[name]["data_offsets"])
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = end // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0:
            self._map.madvise(mmap.MADV_DONTNEED, first, length)


# Rows of a matrix by their numbers [N] -> fp32 [N, columns].
Table = Callable[[NDArray[np.integer[Any]]], Floats]


class Weights(Protocol):
    """A model's tensors by their family's names. All raise `CheckpointError`."""

    def take(self, name: str, shape: tuple[int, ...]) -> Stored:
        """A tensor, which is checked to be of that shape."""

    def table(self, name: str, shape: tuple[int, ...]) -> Table:
        """A matrix of which single rows are looked up: it stays where it lies."""

    def release(self, name: str) -> None:
        """Say that a tensor has been copied: its pages need not stay in memory."""

    def check(self, expected: Shapes) -> None:
        """Raise where a tensor is missing or of another shape or number type, or has no place in the model.

        No weight is read: `take` and `table` raise nothing afterwards.
        """


class WeightFiles:
    """The tensors of a model folder. Raises `CheckpointError` for files that cannot be used."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        self._folder, self._family = folder, config.family
        self._files: dict[str, tuple[_File, str]] = {}
        for path in _weight_files(folder):
            file = _File(path)
            for stored in file.header:
                if (name := self._family.tensor_name(stored)) is not None:
                    self._files[name] = file, stored
        if config.tied_head and self._family.token_embedding not in self._files:
            self._take_head_as_embedding()

    def take(self, name: str, shape: tuple[int, ...]) -> Stored:
        """The tensor as stored. Raises `CheckpointError` where it is missing or of another shape."""
        self._check(name, shape)
        file, stored_name = self._files[name]
        return file.read(stored_name)

    def table(self, name: str, shape: tuple[int, ...]) -> Table:
        """Single rows of a matrix, which stays where it lies in its file."""
        stored = self.take(name, shape)
        scale = self.take(name + SCALE_SUFFIX, shape[:1]).floats() if stored.dtype == "I8" else None

        def rows(numbers: NDArray[np.integer[Any]]) -> Floats:
            found = Stored(dtype=stored.dtype, data=stored.data[numbers]).floats()
            return found if scale is None else found * scale[numbers, None]

        return rows

    def release(self, name: str) -> None:
        """Say that a tensor has been copied: its pages need not stay in memory."""
        file, stored_name = self._files[name]
        file.release(stored_name)

    def check(self, expected: Shapes) -> None:
        """Raise `CheckpointError` where the files do not hold what the configuration asks for, or more."""
        twin = self._family.output_head  # which some exports carry though it is tied
        known = {*expected, twin}
        unexpected = {name for name in self._files if name.removesuffix(SCALE_SUFFIX) not in known}
        if unexpected:
            raise CheckpointError(
                f"{self._folder}: {len(unexpected)} weights do not belong to this configuration, "
                f"for example {min(unexpected)}"
            )
        for name, shape in expected.items():
            if self._check(name, shape) == "I8":
                self._check(name + SCALE_SUFFIX, shape[:1])

    def _check(self, name: str, shape: tuple[int, ...]) -> str:
        """The number type of a tensor."""
        if name not in self._files:
            raise CheckpointError(
                f"{self._folder}: the weights lack {name}: is this a complete {self._family.name} checkpoint?"
            )
        file, stored_name = self._files[name]
        return file.check(stored_name, shape)

    def _take_head_as_embedding(self) -> None:
        """Some exports carry what is tied under the head's name alone."""
        for ending in ("", SCALE_SUFFIX):
            if (head := self._files.get(self._family.output_head + ending)) is not None:
                self._files[self._family.token_embedding + ending] = head


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if index.exists():
        try:
            shards = read_json_object(index)["weight_map"]
            names = sorted(set(shards.values()), key=str)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"{index} is not a safetensors index ({error!r}); download it again"
            ) from error
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise CheckpointError(f"{index} names {name!r} as a shard, which is no file of its folder")
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise CheckpointError(
                f"{folder} lacks the shard {missing[0]} named in {INDEX_FILE}; download it again"
            )
        return [folder / name for name in names]
    if (folder / SINGLE_FILE).exists():
        return [folder / SINGLE_FILE]
    pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in _PICKLE_SUFFIXES]
    if pickled:
        raise CheckpointError(
            f"{folder / pickled[0]} is a pickle, which can run code when it is loaded; "
            "convert it to safetensors, or take the model's safetensors revision"
        )
    raise CheckpointError(f"{folder} holds no {SINGLE_FILE} and no {INDEX_FILE}")
