"""A GGUF file's weights by the names of their family, in fp32 as they are asked for.

Knows nothing about what becomes of the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import CheckpointError
from model.families.config import ModelConfig, Shapes
from model.families.gguf import TURN_FACTORS, added_in_files, heads_in_pairs, stored_name
from model.gguf.dequantize import dequantize
from model.gguf.files import Gguf
from model.weights.weight_files import Floats, Stored, Table

# Of a matrix: what they take in fp32 is held beside the file for a moment.
_ROWS_AT_ONCE = 8_192


class GgufWeights:
    """See `model.weights.weight_files.Weights`."""

    def __init__(self, path: Path, config: ModelConfig) -> None:
        """Open `path`. Raises `CheckpointError`."""
        self._file, self._config = Gguf(path), config

    def take(self, name: str, shape: tuple[int, ...]) -> Stored:
        """The whole tensor."""
        (stored,) = self._parts(name, shape, shape[0])
        return stored

    def parts(self, name: str, shape: tuple[int, ...]) -> Iterator[Stored]:
        """The tensor's rows, some thousand at a time."""
        return self._parts(name, shape, _ROWS_AT_ONCE)

    def table(self, name: str, shape: tuple[int, ...]) -> Table:
        """Single rows of a matrix, which stays as it is in the file."""
        stored = self._checked(name, shape)
        blocks, kind = self._file.blocks(stored), self._file.tensors[stored].type

        def rows(numbers: NDArray[np.integer[Any]]) -> Floats:
            return dequantize(blocks[numbers], kind)

        return rows

    def release(self, name: str) -> None:
        """Say that a tensor has been copied: its pages need not stay in memory."""
        self._file.release(stored_name(name))

    def refuse_unexpected(self, expected: Shapes) -> None:
        """Raise `CheckpointError` for weights that the configuration has no place for."""
        unexpected = self._file.tensors.keys() - {TURN_FACTORS, *map(stored_name, expected)}
        if unexpected:
            raise CheckpointError(
                f"{self._file.path}: {len(unexpected)} weights do not belong to such a model here, for "
                f"example {min(unexpected)}"
            )

    def _parts(self, name: str, shape: tuple[int, ...], n_rows: int) -> Iterator[Stored]:
        stored = self._checked(name, shape)
        heads = heads_in_pairs(self._config, name)
        if len(shape) == 1 or heads is not None:
            n_rows = shape[0]
        for first in range(0, shape[0], n_rows):
            rows = slice(first, first + n_rows) if len(shape) > 1 else slice(None)
            values = self._file.floats(stored, rows)
            if added := added_in_files(self._config, name):
                values = values - np.float32(added)
            yield Stored(dtype="F32", data=values if heads is None else _in_halves(values, heads))

    def _checked(self, name: str, shape: tuple[int, ...]) -> str:
        stored = stored_name(name)
        tensor = self._file.tensors.get(stored)
        if tensor is None:
            raise CheckpointError(f"{self._file.path} lacks the tensor {stored}: is it a complete model?")
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self._file.path}: {stored} has shape {tensor.shape}, the configuration asks for {shape}"
            )
        return stored


def _in_halves(values: Floats, n_heads: int) -> Floats:
    """Rows whose pairs are neighbours -> rows whose pairs lie half a head apart."""
    pairs = values.reshape(n_heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
