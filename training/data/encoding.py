"""What training asks of a tokenizer, and a byte-level one for tests and smoke runs.

`model.prompt.tokenizer.Tokenizer` satisfies `Encoding`; so does `ByteEncoding`, which needs no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from model.prompt.fim_format import SPECIAL_TOKENS
from model.prompt.tokenizer import Tokenizer


class Encoding(Protocol):
    """Text to ids and back. Text that spells a special token stays ordinary text."""

    @property
    def vocab_size(self) -> int:
        """Ids run from 0 to this, exclusive."""

    @property
    def special_ids(self) -> Mapping[str, int]:
        """The id of each of the 19 special tokens."""

    def encode(self, text: str) -> list[int]:
        """Text to ids, none of them special."""

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; bytes that are not UTF-8 become U+FFFD."""


class ByteEncoding:
    """One id per byte, after the special tokens."""

    def __init__(self) -> None:
        self.special_ids: Mapping[str, int] = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
        self.vocab_size = len(SPECIAL_TOKENS) + 256

    def encode(self, text: str) -> list[int]:
        """Text to ids, none of them special."""
        return [byte + len(SPECIAL_TOKENS) for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; bytes that are not UTF-8 become U+FFFD."""
        first = len(SPECIAL_TOKENS)
        return bytes(i - first for i in ids if i >= first).decode(errors="replace")


def open_encoding(tokenizer: Path | None) -> Encoding:
    """The tokenizer.json of a folder; bytes when there is none. Raises TokenizerError."""
    return ByteEncoding() if tokenizer is None else Tokenizer.from_folder(tokenizer)
