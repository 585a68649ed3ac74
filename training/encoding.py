"""What training asks of a tokenizer, and a byte-level one for tests and smoke runs.

`model.tokenizer.Tokenizer` satisfies `Encoding`; so does `ByteEncoding`, which needs no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer as BackendTokenizer

from model.fim_format import SPECIAL_TOKENS
from training.errors import PackingError


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


class FileEncoding:
    """A tokenizer.json, without the caches that serving needs."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise PackingError(f"{path} does not exist: train a tokenizer first")
        self._backend = BackendTokenizer.from_file(str(path))
        self._backend.encode_special_tokens = True
        self.vocab_size = self._backend.get_vocab_size()
        ids = {token: self._backend.token_to_id(token) for token in SPECIAL_TOKENS}
        missing = [token for token, token_id in ids.items() if token_id is None]
        if missing:
            raise PackingError(f"{path} lacks the special tokens {', '.join(missing)}")
        self.special_ids: Mapping[str, int] = {token: int(i) for token, i in ids.items() if i is not None}

    def encode(self, text: str) -> list[int]:
        """Text to ids, none of them special."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids to text; bytes that are not UTF-8 become U+FFFD."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))


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
    """The tokenizer.json at a path or in a folder; bytes when there is none."""
    if tokenizer is None:
        return ByteEncoding()
    return FileEncoding(tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer)
