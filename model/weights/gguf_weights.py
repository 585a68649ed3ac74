"""A GGUF file's weights by the names of their family.

Knows nothing about what becomes of the tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import CheckpointError
from model.families.config import ModelConfig, Shapes
from model.families.gguf import TURN_FACTORS, added_in_files, heads_in_pairs, stored_name
from model.gguf.dequantize import dequantize
from model.gguf.files import Gguf
from model.weights.weight_files import NUMPY_TYPES, Floats, Stored, Table


class GgufWeights:
    """See `model.weights.weight_files.Weights`."""

    def __init__(self, file: Gguf, config: ModelConfig) -> None:
        """The weights of an open file, whose model `config` describes."""
        self._file, self._config = file, config

    def take(self, name: str, shape: tuple[int, ...]) -> Stored:
        """A matrix as it lies in the file; a vector in fp32."""
        stored, heads = self._checked(name, shape), heads_in_pairs(self._config, name)
        if len(shape) == 1:
            data: NDArray[Any] = self._file.floats(stored)
            if added := added_in_files(self._config, name):
                data = data - np.float32(added)
            dtype = "F32"
        else:
            dtype = self._file.readable_type(stored).name
            data = self._file.blocks(stored).view(NUMPY_TYPES.get(dtype, np.uint8))
        return Stored(dtype=dtype, data=data if heads is None else _in_halves(data, heads))

    def table(self, name: str, shape: tuple[int, ...]) -> Table:
        """Single rows of a matrix, which stays as it is in the file."""
        stored = self._checked(name, shape)
        blocks, kind = self._file.blocks(stored), self._file.readable_type(stored)

        def rows(numbers: NDArray[np.integer[Any]]) -> Floats:
            return dequantize(blocks[numbers], kind)

        return rows

    def release(self, name: str) -> None:
        """Say that a tensor has been copied: its pages need not stay in memory."""
        self._file.release(stored_name(name))

    def check(self, expected: Shapes) -> None:
        """Raise `CheckpointError` where the file does not hold what the model has, or more."""
        unexpected = self._file.tensors.keys() - {TURN_FACTORS, *map(stored_name, expected)}
        if unexpected:
            raise CheckpointError(
                f"{self._file.path}: {len(unexpected)} weights do not belong to such a model here, for "
                f"example {min(unexpected)}"
            )
        for name, shape in expected.items():
            self._file.readable_type(self._checked(name, shape))

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


def _in_halves(values: NDArray[Any], n_heads: int) -> NDArray[Any]:
    """Rows whose pairs are neighbours -> rows whose pairs lie half a head apart."""
    pairs = values.reshape(n_heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
