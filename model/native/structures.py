"""The C structures' Python twins, whose fields are read from `interface.h`: there is no second list of them.

Knows nothing about libraries or calls.
"""

from __future__ import annotations

import hashlib
import re
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from pathlib import Path
from typing import Any

_HEADER = Path(__file__).with_name("interface.h").read_bytes()
# What a library answers that was compiled with this header: setup.py hands it to the compiler.
INTERFACE = hashlib.sha256(_HEADER).hexdigest()

_DECLARATION = re.compile(r"(?:const )?(\w+) (\*?\w+(?:, \*?\w+)*);")  # const float *weight, *bias;


def _fields_of(struct: str, *known: type[Structure]) -> list[tuple[str, type[Any]]]:
    """The fields of a structure, whose own fields may be `known` structures."""
    lines = re.sub(r"\s*//.*", "", _HEADER.decode()).splitlines()
    start = lines.index(f"struct {struct} {{") + 1
    fields: list[tuple[str, type[Any]]] = []
    for line in lines[start : lines.index("};", start)]:
        declaration = _DECLARATION.fullmatch(line.strip())
        assert declaration is not None, f"interface.h: {line.strip()!r} is no declaration that is read here"
        fields += [
            (name.removeprefix("*"), _type_of(declaration[1], name.startswith("*"), known))
            for name in declaration[2].split(", ")
        ]
    return fields


def _type_of(c_name: str, is_pointer: bool, known: tuple[type[Structure], ...]) -> type[Any]:
    """Pointers to numbers are plain addresses, as numpy gives them."""
    structures = {structure.__name__: structure for structure in known}
    if is_pointer:
        return POINTER(structures[c_name]) if c_name in structures else c_void_p
    numbers: dict[str, type[Any]] = {"int64_t": c_int64, "double": c_double}
    return (numbers | structures)[c_name]


class Linear(Structure):
    """A linear layer: see `struct Linear`."""

    _fields_ = _fields_of("Linear")


class Layer(Structure):
    """A transformer block: see `struct Layer`."""

    _fields_ = _fields_of("Layer", Linear)


class Model(Structure):
    """All layers: see `struct Model`."""

    _fields_ = _fields_of("Model", Layer)


class Step(Structure):
    """The tokens of a step and where their contexts lie: see `struct Step`."""

    _fields_ = _fields_of("Step")


class Move(Structure):
    """Cached tokens that are copied: see `struct Move`."""

    _fields_ = _fields_of("Move")
