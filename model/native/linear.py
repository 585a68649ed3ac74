"""A linear layer of int8 weights or of codes of 4 to 6 bits, multiplied by the compiled code.

Weights are rounded where their file has not done so, and laid out in panels of outputs as they are
read. The pages they came from are released. Shapes: N tokens, O output and I input features, G groups
of a row, P panels.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from model.gguf.block_types import NUMBERS
from model.native import library, structures
from model.weights.scheme import SCALE_SUFFIX
from model.weights.weight_files import Stored, Weights

Floats = NDArray[np.float32]
Matrices = Mapping[str, tuple[int, int]]
"""Outputs and inputs of matrices by their names."""

WIDTH = 64  # every width must be a multiple of it
INT4_GROUP = 64  # weights rounded here that share a scale and a minimum
PANEL = 32  # outputs whose weights lie together
_LINE = 64  # bytes of a line of the cache


@dataclass(frozen=True, kw_only=True)
class Codes:
    """How the codes of a block type are kept."""

    bits: int
    group: int
    has_minima: bool = False


# Block types that the compiled code multiplies as they are: those of `kBlockTypes` that have an `unpack`.
KEPT = {
    "Q4_0": Codes(bits=4, group=32),
    "Q4_1": Codes(bits=4, group=32, has_minima=True),
    "Q4_K": Codes(bits=4, group=32, has_minima=True),
    "Q5_0": Codes(bits=5, group=32),
    "Q5_1": Codes(bits=5, group=32, has_minima=True),
    "Q5_K": Codes(bits=5, group=32, has_minima=True),
    "Q6_K": Codes(bits=6, group=16),
}


def zeros_in_lines(shape: tuple[int, ...], dtype: npt.DTypeLike) -> NDArray[Any]:
    """Zeros that begin at a cache line. A register is as wide as a line, and what lies across two lines takes
    two loads. Pages of memory are only taken as they are written."""
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(wanted + _LINE, np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + wanted].view(dtype).reshape(shape)


class NativeLinear:
    """y = x · Wᵀ + b, in fp32 on both sides; the weights are int8 by row or codes by group."""

    def __init__(
        self,
        shape: tuple[int, int],
        bits: int,
        *,
        group: int = 0,
        bias: Floats | None = None,
        fine: bool = False,
        **arrays: NDArray[Any],
    ) -> None:
        """`arrays` are the members of `struct Linear`, of whole panels; `fine`: activations in sixteen bits,
        not eight."""
        native = library.native_library()
        assert native is not None, "ask `library.native_library` first"
        self._native = native
        self.arrays = arrays if bias is None else arrays | {"bias": _padded(bias)}
        self.struct = structures.Linear(n_out=shape[0], n_in=shape[1], bits=bits, group=group, fine=fine)
        for name, array in self.arrays.items():
            assert array.flags.c_contiguous
            setattr(self.struct, name, array.ctypes.data)

    def __call__(self, x: Floats, *, threads: int = 1) -> Floats:
        """x fp32 [N, I] -> fp32 [N, O]. Raises `NativeError` for another shape."""
        if x.ndim != 2 or x.shape[1] != self.struct.n_in:
            raise library.NativeError(f"[tokens, {self.struct.n_in}] was expected, not {x.shape}")
        x = np.ascontiguousarray(x, np.float32)
        out = np.empty((len(x), self.struct.n_out), np.float32)
        code = self._native.starcoder_linear(
            ctypes.byref(self.struct), x.ctypes.data, len(x), out.ctypes.data, threads
        )
        library.check(code)
        return out

    def rows(self, outputs: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
        """The int8 codes of some outputs [N] -> [N, I]."""
        panels = self.arrays["weight"].reshape(-1, self.struct.n_in // 4, PANEL, 4)
        rows: NDArray[np.int8] = panels[outputs // PANEL, :, outputs % PANEL]  # [N, I / 4, 4]
        return rows.reshape(len(outputs), self.struct.n_in)


class LinearReader:
    """Makes layers of a model's matrices, with as many threads as it is given."""

    def __init__(self, weights: Weights, *, threads: int) -> None:
        native = library.native_library()
        assert native is not None, "ask `library.native_library` first"
        self._native, self._weights, self._threads = native, weights, threads

    def as_stored(
        self,
        stacked: Matrices,
        *,
        beside: Matrices | None = None,
        bias: Floats | None = None,
        fine: bool = False,
    ) -> NativeLinear:
        """Matrices [O, I] one under the other, with the codes of their file, or in int8.

        Codes are kept where all have the same ones, those `beside` them, too: they are given the same
        activations.
        """
        kinds = {
            self._weights.take(name, shape).dtype for name, shape in ({**stacked, **(beside or {})}).items()
        }
        if len(kinds) > 1 or (kept := KEPT.get(kinds.pop())) is None:
            return self.int8(stacked, bias=bias, fine=fine)
        shape = _stacked_shape(stacked)
        arrays = _room_for_codes(kept, shape)
        for name, rows in _places(stacked):
            self._keep(name, stacked[name], {key: array[rows] for key, array in arrays.items()})
            self._weights.release(name)
        return NativeLinear(shape, kept.bits, group=kept.group, bias=bias, fine=fine, **arrays)

    def _keep(self, name: str, shape: tuple[int, int], arrays: Mapping[str, NDArray[Any]]) -> None:
        results = [arrays.get(key) for key in ("weight", "scales", "minima")]
        self._convert("starcoder_keep_codes", self._weights.take(name, shape), shape, *results)

    def int8(self, stacked: Matrices, *, bias: Floats | None = None, fine: bool = False) -> NativeLinear:
        """Matrices [O, I] in int8 by row, one under the other: of all but the last, O is whole panels."""
        n_out, n_in = _stacked_shape(stacked)
        n_rows = _whole_panels(n_out)
        panels = zeros_in_lines((n_rows, n_in), np.int8)
        scale, sums = np.zeros(n_rows, np.float32), np.zeros(n_rows, np.int32)
        for name, rows in _places(stacked):
            self._lay(name, stacked[name], panels[rows], scale[rows], sums[rows])
            self._weights.release(name)
        return NativeLinear((n_out, n_in), 8, bias=bias, fine=fine, weight=panels, scale=scale, sums=sums)

    def _lay(
        self,
        name: str,
        shape: tuple[int, int],
        panels: NDArray[np.int8],
        scale: Floats,
        sums: NDArray[np.int32],
    ) -> None:
        stored = self._weights.take(name, shape)
        if stored.dtype != "I8":
            self._convert("starcoder_to_int8", stored, shape, panels, scale, sums)
            return
        code = self._native.starcoder_lay_int8(
            stored.data.ctypes.data, *shape, panels.ctypes.data, sums.ctypes.data, self._threads
        )
        library.check(code)
        scale[: shape[0]] = self._scale(name, shape)

    def int4(self, name: str, shape: tuple[int, int], *, bias: Floats | None = None) -> NativeLinear:
        """The matrix `name` [O, I] in 16 levels for each group of a row."""
        stored = self._weights.take(name, shape)
        if stored.dtype == "I8":
            floats = stored.data.astype(np.float32) * self._scale(name, shape)[:, None]
            stored = Stored(dtype="F32", data=floats)
        made = Codes(bits=4, group=INT4_GROUP, has_minima=True)
        arrays = _room_for_codes(made, shape)
        self._convert("starcoder_to_int4", stored, shape, *arrays.values())
        self._weights.release(name)
        return NativeLinear(shape, made.bits, group=made.group, bias=bias, fine=False, **arrays)

    def _scale(self, name: str, shape: tuple[int, int]) -> Floats:
        return self._weights.take(name + SCALE_SUFFIX, shape[:1]).floats()

    def _convert(
        self, function: str, stored: Stored, shape: tuple[int, int], *results: NDArray[Any] | None
    ) -> None:
        code = getattr(self._native, function)(
            stored.data.ctypes.data,
            NUMBERS[stored.dtype],
            *shape,
            *(None if result is None else result.ctypes.data for result in results),
            self._threads,
        )
        library.check(code)


def _room_for_codes(codes: Codes, shape: tuple[int, int]) -> dict[str, NDArray[Any]]:
    n_out, n_in = _whole_panels(shape[0]), shape[1]
    arrays = {"weight": zeros_in_lines((n_out, n_in * codes.bits // 8), np.uint8)}
    for name in ("scales", "minima")[: 1 + codes.has_minima]:
        arrays[name] = zeros_in_lines((n_out, n_in // codes.group), np.uint16)
    return arrays


def _stacked_shape(stacked: Matrices) -> tuple[int, int]:
    return sum(rows for rows, _ in stacked.values()), next(iter(stacked.values()))[1]


def _places(stacked: Matrices) -> Iterable[tuple[str, slice]]:
    """The rows of each matrix, whole panels, among those of all."""
    first = 0
    for name, (n_out, _) in stacked.items():
        assert first % PANEL == 0
        yield name, slice(first, first + _whole_panels(n_out))
        first += n_out


def _whole_panels(n_outputs: int) -> int:
    return -(-n_outputs // PANEL) * PANEL


def _padded(values: Floats) -> Floats:
    return np.pad(values, (0, _whole_panels(len(values)) - len(values)))
