"""SentencePiece's BPE as a tokenizer.json has it: pieces with `▁` for a space, and bytes for what is none.

Owns which spellings of it are read (Llama 2's, Mistral's, Gemma's) and where a text can be cut short. Knows
no GGUF file, and adds nothing to a text: what SentencePiece would put before one is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers

from model.errors import TokenizerError, served_elsewhere
from model.prompt.pre_tokenizers import BEFORE_LINE_END, NOWHERE, parted, sentence_piece_words
from model.prompt.spellings import spelled_by_piece

MARKER = re.compile(r"▁?<.*>|\[.+\]", re.DOTALL)
"""What an added token looks like that no text becomes."""
JOINS_A_LINE_END = re.compile(r"[^\r\n][\r\n]|[\r\n][^\r\n]")

_SPACE, _SIGN = " ", "▁"
_REPLACES = {"type": "Replace", "pattern": {"String": _SPACE}, "content": _SIGN}
_PREPENDS = {"type": "Prepend", "prepend": _SIGN}
# Gemma's: after the spaces have been replaced it cuts nothing.
_CUTS_NOTHING = {
    "type": "Split",
    "pattern": {"String": _SPACE},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A tokenizer of pieces, and what is known of them (see `model.prompt.tokenizer.Vocabulary`)."""

    backend: tokenizers.Tokenizer
    spelled: Sequence[bytes]
    special_ids: dict[str, int]
    boundary: re.Pattern[str]
    words: pre_tokenizers.PreTokenizer
    opening: str


def is_sentence_piece(backend: tokenizers.Tokenizer) -> bool:
    """Whether a tokenizer is of this kind."""
    return isinstance(backend.model, models.BPE) and bool(backend.model.byte_fallback)


def read_pieces(backend: tokenizers.Tokenizer) -> Pieces:
    """The tokenizer of a tokenizer.json. Raises `TokenizerError` for a spelling that is not read here."""
    state = json.loads(backend.to_str())
    opening = _opening(
        _steps(state["normalizer"], "normalizers"), _steps(state["pre_tokenizer"], "pretokenizers")
    )
    added: list[dict[str, Any]] = state["added_tokens"]
    special = {
        one["content"]: one["id"] for one in added if one["special"] or MARKER.fullmatch(one["content"])
    }
    written = [one for one in added if one["content"] not in special]
    ids = state["model"]["vocab"] | {one["content"]: one["id"] for one in added}
    spelled = [b""] * (1 + max(ids.values()))
    for text, token_id in ids.items():
        spelled[token_id] = b"" if text in special else spelled_by_piece(text)
    bare = dict.fromkeys(("pre_tokenizer", "post_processor", "decoder", "truncation", "padding"))
    return Pieces(
        backend=tokenizers.Tokenizer.from_str(
            json.dumps(state | bare | {"normalizer": _REPLACES, "added_tokens": written})
        ),
        spelled=spelled,
        special_ids=special,
        boundary=boundary_of_pieces(text for text in ids if text not in special),
        words=parted(sentence_piece_words(), by=[one["content"] for one in written]),
        opening=opening,
    )


def boundary_of_pieces(texts: Iterable[str]) -> re.Pattern[str]:
    """Where a text can be cut. Merging goes on over a whole text, but never over a place within no token."""
    return NOWHERE if any(map(JOINS_A_LINE_END.search, texts)) else BEFORE_LINE_END


def _opening(normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]]) -> str:
    """What would be put before a text."""
    begins = _PREPENDS in normalizers
    replaces = _REPLACES in normalizers
    for step in pre_tokenizers:
        if step["type"] == "Metaspace" and step["replacement"] == _SIGN and not step.get("split", True):
            begins, replaces = begins or step.get("prepend_scheme") != "never", True
        elif step != _CUTS_NOTHING or not replaces:
            raise _strange("pre-tokenizer", step)
    for step in normalizers:
        if step not in (_PREPENDS, _REPLACES):
            raise _strange("normalizer", step)
    if not replaces:
        raise _strange("normalizer", None)
    return _SPACE if begins else ""


def _steps(step: Mapping[str, Any] | None, members: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return list(step.get(members, [step]))


def _strange(what: str, step: object) -> TokenizerError:
    return TokenizerError(f"its {what} is {step}, which is not SentencePiece's. {served_elsewhere()}")
