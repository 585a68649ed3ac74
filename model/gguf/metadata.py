"""The key-value pairs at the head of a GGUF file.

Owns their binary form, the limits on their number and size, and reading them by type. Knows no key.
An array is passed over once, and becomes Python objects only when asked for: so memory is in proportion
to what is asked of a file, never to what a damaged one claims.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import CheckpointError

# Far beyond any published file (150 pairs, 300,000 tokens and 600,000 merges), and soon walked over.
_MAX_PAIRS = 10_000
_MAX_TEXTS = 5_000_000
_MAX_TEXT_BYTES = 16 << 20
_SHOWN_CHARS = 60

# Eight bytes that stand in no text: U+FDD0 and U+FDD1 are noncharacters (Unicode 16, §23.7).
_MARK = "\ufdd0\ufdd1\x00\x00"
_MARK_BYTES = np.frombuffer(_MARK.encode(), np.uint8)

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class Cursor:
    """A place in a file's bytes that moves forward. Raises `CheckpointError` at the file's end."""

    def __init__(self, data: memoryview, where: str) -> None:
        self.data = data
        self.where = where
        self.at = 0
        self.texts_left = _MAX_TEXTS

    def u32(self) -> int:
        """The next four bytes."""
        return int(self.scalar(_U32))

    def u64(self) -> int:
        """The next eight bytes."""
        return int(self.scalar(_U64))

    def scalar(self, form: struct.Struct) -> Any:
        """The next number of that form."""
        begin = self.skip(form.size)
        return form.unpack_from(self.data, begin)[0]

    def text(self) -> str:
        """The next string: its length in bytes, then UTF-8."""
        n_bytes = self.u64()
        if n_bytes > _MAX_TEXT_BYTES:
            raise self.error(f"a text of {n_bytes:,} bytes")
        begin = self.skip(n_bytes)
        return str(self.data[begin : self.at], "utf-8", "replace")

    def skip(self, n_bytes: int) -> int:
        """Pass over so many bytes; where they began."""
        begin = self.at
        if n_bytes > len(self.data) - begin:
            raise self.truncated()
        self.at = begin + n_bytes
        return begin

    def starts_of_texts(self, count: int) -> array[int]:
        """Pass over so many strings; where each begins (their lengths are a chain: this is a long loop)."""
        self.texts_left -= count
        if self.texts_left < 0:
            raise self.error(f"more than {_MAX_TEXTS:,} texts")
        starts = array("q")
        at, data, end, length_at, append = self.at, self.data, len(self.data), _U64.unpack_from, starts.append
        for _ in range(count):
            if at > end - _U64.size:
                break
            append(at)
            at += _U64.size + length_at(data, at)[0]
        if len(starts) < count:
            raise self.truncated()
        self.skip(at - self.at)
        return starts

    def truncated(self) -> CheckpointError:
        """Of a file that ends too early."""
        return CheckpointError(f"{self.where} is truncated: download it again")

    def error(self, what: str) -> CheckpointError:
        """Of a file that is not what it claims to be."""
        return CheckpointError(f"{self.where} is no sound GGUF file ({what}): download it again")


@dataclass(frozen=True)
class Texts:
    """An array of strings where it lies in the file."""

    _data: memoryview
    _starts: array[int]
    """Where each one's length stands."""
    _end: int
    _where: str

    def read(self) -> list[str]:
        """The strings, made anew at each call."""
        if not self._starts:
            return []
        begin = self._starts[0]
        region = np.frombuffer(self._data[begin : self._end], np.uint8).copy()
        # Decoding them all at once takes a third of the time: for that, a mark of as many bytes overwrites
        # each length.
        region[(np.asarray(self._starts) - begin)[:, None] + np.arange(_U64.size)] = _MARK_BYTES
        _, *found = region.tobytes().decode("utf-8", "replace").split(_MARK)
        if len(found) != len(self._starts):
            raise CheckpointError(f"{self._where}: a text holds Unicode noncharacters")
        return found

    def one(self, number: int) -> str | None:
        """The string of that number; None beyond the last one."""
        if not 0 <= number < len(self._starts):
            return None
        cursor = Cursor(self._data, self._where)
        cursor.at = self._starts[number]
        return cursor.text()


Numbers = NDArray[Any]
Value = str | int | float | bool | Texts | Numbers


def read_pairs(
    cursor: Cursor, count: int, *, longest_array: int | None = None
) -> Iterator[tuple[str, Value]]:
    """The next `count` pairs, one by one; it ends before an array that is longer than `longest_array`."""
    if count > _MAX_PAIRS:
        raise cursor.error(f"{count:,} keys")
    for _ in range(count):
        key = cursor.text()
        kind = cursor.u32()
        if kind != _ARRAY:
            yield key, _read_scalar(cursor, kind)
            continue
        kind, n_items = cursor.u32(), cursor.u64()
        if longest_array is not None and n_items > longest_array:
            return
        yield key, _read_array(cursor, key, kind, n_items)


def _read_scalar(cursor: Cursor, kind: int) -> Value:
    if kind == _STRING:
        return cursor.text()
    if kind not in _SCALARS:
        raise cursor.error(f"a value of type {kind}")
    value: int | float = cursor.scalar(_SCALARS[kind])
    return bool(value) if kind == _BOOL else value


def _read_array(cursor: Cursor, key: str, kind: int, count: int) -> Texts | Numbers:
    if kind == _STRING:
        return Texts(cursor.data, cursor.starts_of_texts(count), cursor.at, cursor.where)
    if kind not in _SCALARS:  # arrays of arrays among them, which nobody writes
        raise cursor.error(f"{shown(key)} is an array of type {kind}")
    form = _SCALARS[kind]
    begin = cursor.skip(count * form.size)
    return np.frombuffer(cursor.data, form.format, count, begin)


class Metadata(Mapping[str, Value]):
    """All pairs of a file. The methods by type raise `CheckpointError`, which names the key."""

    def __init__(self, pairs: Mapping[str, Value], where: str) -> None:
        self._pairs = pairs
        self.where = where

    def __getitem__(self, key: str) -> Value:
        return self._pairs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def text(self, key: str) -> str | None:
        """A string; None where the key is missing, as in the methods below."""
        value = self._pairs.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._misfit(key, "a text")

    def integer(self, key: str) -> int | None:
        """A whole number."""
        value = self._pairs.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._misfit(key, "a whole number")

    def number(self, key: str) -> float | None:
        """Any number."""
        value = self._pairs.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise self._misfit(key, "a number")

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._pairs.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self._misfit(key, "true or false")

    def texts(self, key: str) -> list[str] | None:
        """An array of strings, made anew at each call."""
        value = self._pairs.get(key)
        if value is None:
            return None
        if isinstance(value, Texts):
            return value.read()
        raise self._misfit(key, "an array of texts")

    def text_at(self, key: str, number: int) -> str | None:
        """One string of an array; None also beyond its last one."""
        value = self._pairs.get(key)
        if value is None:
            return None
        if isinstance(value, Texts):
            return value.one(number)
        raise self._misfit(key, "an array of texts")

    def numbers(self, key: str) -> Numbers | None:
        """An array of numbers [n], as they lie in the file."""
        value = self._pairs.get(key)
        if value is None or isinstance(value, np.ndarray):
            return value
        raise self._misfit(key, "an array of numbers")

    def _misfit(self, key: str, wanted: str) -> CheckpointError:
        return CheckpointError(f"{self.where}: {key} is not {wanted}")


def shown(name: str) -> str:
    """A name out of a file, fit for one line of a message: quoted, and cut if it is long."""
    return repr(name[:_SHOWN_CHARS]) + "…" * (len(name) > _SHOWN_CHARS)
