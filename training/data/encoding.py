"""What training asks of a tokenizer, and a byte-level one for tests and smoke runs.

`model.prompt.tokenizer.Tokenizer` satisfies `Encoding`; so does `ByteEncoding`, which needs no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from model.errors import TokenizerError
from model.families.config import Family
from model.families.registry import OWN_FAMILY
from model.prompt.tokenizer import Tokenizer


class Encoding(Protocol):
    """Text to ids and back. Text that spells a special token stays ordinary text."""

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to this, exclusive."""

    @property
    def special_ids(self) -> Mapping[str, int]:
        """The id of each special token."""

    def encode(self, text: str) -> list[int]:
        """Text to ids, none of them special."""

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; bytes that are not UTF-8 become U+FFFD."""


class ByteEncoding:
    """One id per byte, after the special tokens."""

    def __init__(self) -> None:
        self.special_ids: Mapping[str, int] = {name: i for i, name in enumerate(OWN_FAMILY.special_tokens)}
        self._first_byte = len(self.special_ids)
        self.vocab_size = self._first_byte + 256

    def encode(self, text: str) -> list[int]:
        """Text to ids, none of them special."""
        return [byte + self._first_byte for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; bytes that are not UTF-8 become U+FFFD."""
        first = self._first_byte
        return bytes(i - first for i in ids if i >= first).decode(errors="replace")


def open_encoding(tokenizer: Path | None) -> Encoding:
    """The tokenizer.json of a folder; bytes when there is none. Raises TokenizerError."""
    return ByteEncoding() if tokenizer is None else Tokenizer.from_folder(tokenizer)


def check_tokenizer(tokenizer: Path, family: Family) -> None:
    """Raise TokenizerError where prompts of the family cannot be written with it: before hours of packing."""
    try:
        family.fim_format(open_encoding(tokenizer).special_ids)
    except TokenizerError as error:
        raise TokenizerError(f"{tokenizer}: {error}") from error
