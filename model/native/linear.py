"""A linear layer of int8 or int4 weights, multiplied by the compiled code.

int8 weights that a checkpoint stores are used where they lie in its mapped file; others are rounded as
they are read, and the pages they came from are let go of. Shapes: N tokens, O output and I input
features, G groups of a row.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.native import library
from model.scheme import SCALE_SUFFIX
from model.weight_files import Stored, WeightFiles

Floats = NDArray[np.float32]

GROUP = 64  # int4 weights that share a scale and a minimum; every width must be a multiple of it


class NativeLinear:
    """y = x · Wᵀ + b, in fp32 on both sides; the weights are int8 by row or int4 by group."""

    def __init__(
        self,
        shape: tuple[int, int],
        bits: int,
        *,
        bias: Floats | None = None,
        fine: bool = False,
        **arrays: NDArray[Any],
    ) -> None:
        """`arrays` are the members of `struct Linear`; `fine`: activations in sixteen bits, not eight."""
        native = library.native_library()
        assert native is not None, "ask `library.native_library` first"
        self._native = native
        self.arrays = arrays if bias is None else arrays | {"bias": bias}
        self.struct = library.Linear(n_out=shape[0], n_in=shape[1], bits=bits, fine=fine)
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


class LinearReader:
    """Makes layers of a model's matrices, with as many threads as it is given."""

    def __init__(self, weights: WeightFiles, *, threads: int) -> None:
        native = library.native_library()
        assert native is not None, "ask `library.native_library` first"
        self._native, self._weights, self._threads = native, weights, threads

    def int8(
        self, name: str, shape: tuple[int, int], *, bias: Floats | None = None, fine: bool = False
    ) -> NativeLinear:
        """The matrix `name` [O, I] in int8 by row."""
        stored = self._weights.take(name, shape)
        sums = np.empty(shape[0], np.int32)
        if stored.dtype == "I8":
            codes, scale = stored.data, self._scale(name, shape)
            self._native.starcoder_row_sums(codes.ctypes.data, *shape, sums.ctypes.data, self._threads)
        else:
            codes, scale = np.empty(shape, np.int8), np.empty(shape[0], np.float32)
            self._round("starcoder_to_int8", stored, codes, scale, sums)
            self._weights.release(name)
        return NativeLinear(shape, 8, bias=bias, fine=fine, weight=codes, scale=scale, sums=sums)

    def int4(self, name: str, shape: tuple[int, int], *, bias: Floats | None = None) -> NativeLinear:
        """The matrix `name` [O, I] in 16 levels for each group of a row."""
        n_out, n_in = shape
        stored = self._weights.take(name, shape)
        if stored.dtype == "I8":
            floats = stored.data.astype(np.float32) * self._scale(name, shape)[:, None]
            stored = Stored(dtype="F32", data=floats)
        codes = np.empty((n_out, n_in // 2), np.uint8)
        scales, minima = np.empty((2, n_out, n_in // GROUP), np.uint16)
        self._round("starcoder_to_int4", stored, codes, scales, minima)
        self._weights.release(name)
        return NativeLinear(shape, 4, bias=bias, weight=codes, scales=scales, minima=minima)

    def _scale(self, name: str, shape: tuple[int, int]) -> Floats:
        return self._weights.take(name + SCALE_SUFFIX, shape[:1]).floats()

    def _round(self, function: str, stored: Stored, *results: NDArray[Any]) -> None:
        if stored.dtype == "F16":
            stored = Stored(dtype="F32", data=stored.floats())
        code = getattr(self._native, function)(
            stored.data.ctypes.data,
            stored.dtype == "BF16",
            *stored.data.shape,
            *(result.ctypes.data for result in results),
            self._threads,
        )
        library.check(code)
