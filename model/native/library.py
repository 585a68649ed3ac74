"""Finding and calling the compiled code of `step.cpp`: one shared library for each instruction set.

Owns which variants there are and how their functions are declared. Knows nothing about models or engines.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path

from model.errors import ModelError
from model.native.structures import INTERFACE, Linear, Model, Move, Step

logger = logging.getLogger(__name__)

# Set to "off" to run through PyTorch, or to a variant's name to run that one.
VARIANT_VARIABLE = "STARCODER_NATIVE"
_MATRIX = (c_void_p, c_int64, c_int64, c_int64)  # weights, their block type's number, rows, columns
_ERRORS = {
    1: "shapes that do not belong together",
    2: "a slot outside the KV cache",
    3: "not enough memory",
}


class NativeError(ModelError):
    """The compiled code refused its arguments, or cannot be loaded."""


def native_library() -> ctypes.CDLL | None:
    """The fastest variant that was built and that this CPU can run; None where there is none.

    Raises `NativeError` where the environment names a variant that is not here, or where the libraries
    were built from other sources.
    """
    return _load(os.environ.get(VARIANT_VARIABLE, ""))


def native_variant() -> str | None:
    """The name of `native_library`'s variant."""
    native = native_library()
    return None if native is None else str(native.starcoder_variant().decode())


def built_variants() -> dict[str, Path]:
    """The libraries beside this file that this CPU can run, by variant, the fastest first."""
    folder = Path(__file__).parent
    found = {name: folder / f"_{name}.so" for name in _runnable()}
    return {name.replace("_", "-"): path for name, path in found.items() if path.exists()}


@functools.cache
def _load(wanted: str) -> ctypes.CDLL | None:
    if wanted == "off":
        return None
    variants = built_variants()
    if wanted and wanted not in variants:
        known = ", ".join(variants) or "none was built"
        raise NativeError(f"{VARIANT_VARIABLE}={wanted}: not among the variants for this CPU ({known})")
    path = variants.get(wanted) or next(iter(variants.values()), None)
    library = None if path is None else open_library(path)
    return None if library is None else _declared(library)


def open_library(path: Path) -> ctypes.CDLL | None:
    """Load what was built; None, and a line in the log, where this system cannot (the C++ library is
    missing, say): PyTorch, if it is installed, does the work.

    Raises `NativeError` for a library that was compiled with another `interface.h` than lies here.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        logger.warning("%s cannot be loaded, the engine does without it: %s", path, error)
        return None
    if _interface_of(library) != INTERFACE:
        raise NativeError(
            f"{path} was compiled from other sources than {path.with_name('interface.h')}: install this "
            "package again, or in a checkout run `python setup.py build_ext --inplace`"
        )
    return library


def _interface_of(library: ctypes.CDLL) -> str | None:
    """The hash of the header that a library was compiled with."""
    try:
        library.starcoder_interface.restype = c_char_p
    except AttributeError:
        return None  # from before there was one
    return str(library.starcoder_interface().decode())


def _runnable() -> list[str]:
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        bits = _cpu_bits()
        return [name for name, bit in (("avx512_vnni", 4), ("avx_vnni", 2), ("avx2", 1)) if bits & bit] + [
            "plain"
        ]
    if machine in ("arm64", "aarch64"):
        return ["neon_dotprod"] * _has_dot_product() + ["plain"]
    return ["plain"]


def _cpu_bits() -> int:
    """What `starcoder_cpu` says; 0 where the variant that every CPU can run was not built."""
    plain = Path(__file__).parent / "_plain.so"
    library = open_library(plain) if plain.exists() else None
    return 0 if library is None else int(library.starcoder_cpu())


def _has_dot_product() -> bool:
    if platform.system() == "Darwin":
        return True  # every Apple CPU of this architecture
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "asimddp" in cpuinfo.read_text(encoding="utf-8")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.starcoder_variant.restype = c_char_p
    library.starcoder_lay_int8.restype = c_int
    library.starcoder_lay_int8.argtypes = (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int64)
    library.starcoder_to_int8.restype = c_int
    library.starcoder_to_int8.argtypes = (*_MATRIX, c_void_p, c_void_p, c_void_p, c_int64)
    library.starcoder_to_int4.restype = c_int
    library.starcoder_to_int4.argtypes = (*_MATRIX, c_void_p, c_void_p, c_void_p, c_int64)
    library.starcoder_keep_codes.restype = c_int
    library.starcoder_keep_codes.argtypes = (*_MATRIX, c_void_p, c_void_p, c_void_p, c_int64)
    library.starcoder_linear.restype = c_int
    library.starcoder_linear.argtypes = (POINTER(Linear), c_void_p, c_int64, c_void_p, c_int64)
    library.starcoder_new_scratch.restype = c_void_p
    library.starcoder_free_scratch.restype = None
    library.starcoder_free_scratch.argtypes = (c_void_p,)
    library.starcoder_move.restype = c_int
    library.starcoder_move.argtypes = (POINTER(Move),)
    library.starcoder_step.restype = c_int
    library.starcoder_step.argtypes = (POINTER(Model), POINTER(Step), c_void_p)
    return library


def check(code: int) -> None:
    """Raise `NativeError` for what a call returned, if it says so."""
    if code:
        raise NativeError(f"the compiled step was given {_ERRORS.get(code, f'an unknown error, {code}')}")
