"""A tokenizer from the lists in a GGUF file: byte-level BPE, or SentencePiece's pieces with scores.

User text never becomes a special token. Special are the control, unknown and unused tokens, and of the
user-defined ones those that look like a marker (`<tool_call>`) and those that the file names as a
sentinel; other user-defined tokens, such as runs of spaces, are text that is found before all else. Knows
no family. What begins a text, a first token or SentencePiece's space, is told and not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from model.errors import TokenizerError, served_elsewhere
from model.gguf.metadata import Metadata
from model.prompt.pre_tokenizers import NOWHERE, named, parted, sentence_piece_words
from model.prompt.sentence_piece import JOINS_A_LINE_END, MARKER, boundary_of_pieces
from model.prompt.spellings import spelled_by_alphabet, spelled_by_piece
from model.prompt.tokenizer import Tokenizer, Vocabulary

_BYTE_LEVEL, _SENTENCE_PIECE = "gpt2", "llama"
# Of a model whose file does not name it: `<s>` of every SentencePiece model since Llama.
_FIRST_PIECE = 1
# What a file calls the tokens between which texts stand: formerly without `fim_`.
_SENTINELS = (
    *("prefix", "suffix", "middle", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"),
    *("eot", "eom"),
)

# Far beyond any published vocabulary (262,144), and any piece of one (SentencePiece's own limit is 16).
_MAX_TOKENS = 1_000_000
_MAX_PIECE_CHARS = 512


class TokenType(IntEnum):
    """What a file says of each token."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a file by id, and what kind each is."""

    texts: list[str]
    types: NDArray[np.integer]

    def of(self, *types: TokenType) -> list[int]:
        """Ids of the tokens of some types."""
        ids: list[int] = np.flatnonzero(np.isin(self.types, types)).tolist()
        return ids

    def markers(self) -> list[int]:
        """Ids of the tokens that no text becomes."""
        user_defined = self.of(TokenType.USER_DEFINED)
        looking_so = [one for one in user_defined if MARKER.fullmatch(self.texts[one])]
        return sorted([*self.of(TokenType.UNKNOWN, TokenType.CONTROL, TokenType.UNUSED), *looking_so])

    def written_out(self) -> list[int]:
        """Ids of the user-defined tokens that are text."""
        user_defined = self.of(TokenType.USER_DEFINED)
        return [one for one in user_defined if not MARKER.fullmatch(self.texts[one])]


def gguf_tokenizer(metadata: Metadata) -> Tokenizer:
    """The tokenizer that a file describes. Raises `TokenizerError`, which names the file."""
    try:
        return _read(metadata)
    except TokenizerError as error:
        raise TokenizerError(f"{metadata.where}: {error}") from error


def _read(metadata: Metadata) -> Tokenizer:
    kind = metadata.text("tokenizer.ggml.model")
    if kind not in (_BYTE_LEVEL, _SENTENCE_PIECE):
        raise TokenizerError(
            f"its tokenizer is of kind {kind!r}; only {_BYTE_LEVEL!r} and {_SENTENCE_PIECE!r} are read. "
            f"{served_elsewhere(metadata.where)}"
        )
    tokens = _tokens_of(metadata)
    build = _byte_level if kind == _BYTE_LEVEL else _sentence_piece
    try:
        return build(metadata, tokens)
    except TokenizerError:
        raise
    except Exception as error:  # the library raises nothing more specific, and for merges a panic's text
        raise TokenizerError(f"its tokens and merges do not fit together ({error})") from error


def _tokens_of(metadata: Metadata) -> _Tokens:
    texts = metadata.texts("tokenizer.ggml.tokens")
    if not texts:
        raise TokenizerError("it holds no tokens: is it a language model?")
    if len(texts) > _MAX_TOKENS:
        raise TokenizerError(f"it holds {len(texts):,} tokens")
    types = metadata.numbers("tokenizer.ggml.token_type")
    if types is None:
        types = np.full(len(texts), TokenType.NORMAL, np.int32)
    if len(types) != len(texts):
        raise TokenizerError(f"it has {len(texts)} tokens, but {len(types)} types of them")
    # Old files call Code Llama's sentinels words.
    named = [metadata.integer(f"tokenizer.ggml.{name}_token_id") for name in _SENTINELS]
    types = np.where(
        np.isin(np.arange(len(types)), [one for one in named if one is not None]), TokenType.CONTROL, types
    )
    return _Tokens(texts, types)


def _first_ids(
    metadata: Metadata, tokens: _Tokens, *, by_default: bool, first: int | None = None
) -> tuple[int, ...]:
    """What begins a text, by default where the file does not say whether anything does, or what."""
    said = metadata.flag("tokenizer.ggml.add_bos_token")
    named = metadata.integer("tokenizer.ggml.bos_token_id")
    first = first if named is None else named
    if first is None or not (by_default if said is None else said):
        return ()
    if not 0 <= first < len(tokens.texts):
        raise TokenizerError(f"its first token is {first}, of {len(tokens.texts)} tokens")
    return (first,)


def _byte_level(metadata: Metadata, tokens: _Tokens) -> Tokenizer:
    pre_tokenizer = named(metadata.text("tokenizer.ggml.pre"), metadata.where)
    merges = metadata.texts("tokenizer.ggml.merges")
    if merges is None:
        raise TokenizerError("it holds no merges")
    ids = _ids(tokens)
    model = models.BPE(vocab=ids, merges=_pairs(merges, ids), ignore_merges=pre_tokenizer.whole_words)
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer.backend()
    spelled = spelled_by_alphabet(_only(tokens, tokens.of(TokenType.NORMAL, TokenType.BYTE)))
    for token_id in tokens.written_out():
        spelled[token_id] = tokens.texts[token_id].encode()
    first_ids = _first_ids(metadata, tokens, by_default=pre_tokenizer.begins)
    return _tokenizer(
        backend, tokens, spelled, pre_tokenizer.boundary, first_ids, words=backend.pre_tokenizer
    )


def _sentence_piece(metadata: Metadata, tokens: _Tokens) -> Tokenizer:
    scores = metadata.numbers("tokenizer.ggml.scores")
    if scores is None or len(scores) != len(tokens.texts):
        raise TokenizerError("it has not a score for each of its tokens")
    unknown = tokens.of(TokenType.UNKNOWN)
    normal = tokens.of(TokenType.NORMAL)
    model = models.BPE(
        vocab=_ids(tokens),
        merges=_merges_of(_only(tokens, normal), scores),
        unk_token=tokens.texts[unknown[0]] if unknown else None,
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.Replace(" ", "▁")
    spelled = [b""] * len(tokens.texts)
    for token_id in [*normal, *tokens.of(TokenType.BYTE), *tokens.written_out()]:
        spelled[token_id] = spelled_by_piece(tokens.texts[token_id])
    return _tokenizer(
        backend,
        tokens,
        spelled,
        boundary_of_pieces(tokens.texts[token_id] for token_id in normal),
        _first_ids(metadata, tokens, by_default=True, first=_FIRST_PIECE),
        words=sentence_piece_words(),
        opening="" if metadata.flag("tokenizer.ggml.add_space_prefix") is False else " ",
    )


def _ids(tokens: _Tokens) -> dict[str, int]:
    """Ids by text; of two tokens with one text the first counts, as no merge makes the other."""
    ids = {text: token_id for token_id, text in enumerate(tokens.texts)}
    if len(ids) < len(tokens.texts):
        ids = {text: i for i, text in reversed(list(enumerate(tokens.texts)))}
    return ids


def _only(tokens: _Tokens, wanted: Sequence[int]) -> list[str]:
    """The texts by id, empty for all others than the wanted ones."""
    if len(wanted) == len(tokens.texts):
        return tokens.texts
    texts = [""] * len(tokens.texts)
    for token_id in wanted:
        texts[token_id] = tokens.texts[token_id]
    return texts


def _pairs(merges: list[str], known: Mapping[str, int]) -> list[tuple[str, str]]:
    """The two halves of each merge. They and what they make are tokens: the library panics at some others."""
    halves = " ".join(merges).split(" ")  # together, as one by one it takes four times as long
    if len(halves) != 2 * len(merges):
        raise TokenizerError("its merges are not pairs of tokens")
    pairs = list(zip(halves[::2], halves[1::2], strict=True))
    for texts in (halves, list(map("".join, pairs))):
        if not all(map(known.__contains__, texts)):
            strange = next(text for text in texts if text not in known)
            raise TokenizerError(f"its merges name {strange!r}, which is not one of its tokens")
    return pairs


def _merges_of(pieces: Sequence[str], scores: NDArray[np.floating]) -> list[tuple[str, str]]:
    """All ways to make a piece of two others, those of the best pieces first.

    SentencePiece merges whatever two neighbours make the piece with the best score, the leftmost first.
    """
    known = set(pieces)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    return [pair for token_id in order.tolist() for pair in _halves(pieces[token_id], known)]


def _halves(piece: str, known: set[str]) -> Iterator[tuple[str, str]]:
    if len(piece) > _MAX_PIECE_CHARS:
        return
    for cut in range(1, len(piece)):
        if piece[:cut] in known and piece[cut:] in known:
            yield piece[:cut], piece[cut:]


def _tokenizer(
    backend: tokenizers.Tokenizer,
    tokens: _Tokens,
    spelled: list[bytes],
    boundary: re.Pattern[str],
    first_ids: tuple[int, ...],
    *,
    words: pre_tokenizers.PreTokenizer,
    opening: str = "",
) -> Tokenizer:
    """Put the parts together; the user-defined tokens that are text are found in a text from here on."""
    texts = [tokens.texts[token_id] for token_id in tokens.written_out()]
    normalized = backend.normalizer is not None
    backend.add_tokens([AddedToken(text, normalized=normalized, special=False) for text in texts])
    if any(map(JOINS_A_LINE_END.search, texts)):
        boundary = NOWHERE
    vocabulary = Vocabulary(
        spelled=spelled,
        special_ids={tokens.texts[token_id]: token_id for token_id in tokens.markers()},
        boundary=boundary,
        words=parted(words, by=texts),
        first_ids=first_ids,
        opening=opening,
    )
    return Tokenizer(backend, vocabulary)
