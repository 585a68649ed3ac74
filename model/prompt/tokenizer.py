"""Text to token ids and back, for byte-level BPE tokenizers and SentencePiece ones.

User text never becomes a special token here: `<fim_middle>` in a file is twelve ordinary
characters; the special ids are for `model.prompt.fim` to place, and what they mean is a family's
knowledge (`model.families`). Encoding is cached by lines, so that a file is not encoded anew at each
keystroke; where a line can be cut off is the knowledge of `model.prompt.pre_tokenizers`. Safe to share
between threads: the caches only ever gain entries whose value is a function of their key.
Knows nothing about prompts, windows or budgets.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from model.errors import TokenizerError
from model.local.json_object import read_object
from model.prompt.pre_tokenizers import boundary_of, last_word
from model.prompt.sentence_piece import is_sentence_piece, read_pieces
from model.prompt.spellings import Ids, Spellings, spelled_by_alphabet

# Two generations of that many chunks or characters, 10 to 30 MB; longer chunks are not worth keeping.
_CACHED_CHUNKS = 16_384
_CACHED_CHARS = 1_000_000
_CACHED_CHUNK_CHARS = 2_000
# Prefix and suffix of several open documents, together of at most so many characters (with their ids some 20
# bytes each); shorter texts are quick enough without.
_KNOWN_HEADS = 16
_KNOWN_HEADS_CHARS = 2_000_000
_HEAD_CHARS = 256

Chunks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Head:
    """A text up to one of its chunk boundaries, and the ids of its chunks."""

    text: str
    chunks: Chunks


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What is known of the tokens beside how text becomes them."""

    spelled: Sequence[bytes]
    """What each id stands for; special tokens stand for nothing."""
    special_ids: dict[str, int]
    """By their own names."""
    boundary: re.Pattern[str]
    """Matches one character, and ends where a text may be cut without changing a token."""
    words: pre_tokenizers.PreTokenizer
    """Cuts a text into words that no token reaches out of."""
    first_ids: tuple[int, ...] = ()
    """What stands before every text that the model was trained on: `<|begin_of_text|>` in Llama 3, say."""
    opening: str = ""
    """What SentencePiece puts before a text at its beginning: a space, or nothing."""


class Tokenizer:
    """A tokenizer of the `tokenizers` library and its vocabulary."""

    def __init__(self, backend: tokenizers.Tokenizer, vocabulary: Vocabulary | None = None) -> None:
        """Take over `backend`. Without `vocabulary` it is a tokenizer.json's, and its special tokens are
        all the added ones. Raises `TokenizerError` if it is of another kind."""
        if vocabulary is None:
            read = _pieces_of if is_sentence_piece(backend) else _bytes_of
            backend, vocabulary = read(backend)
        self._backend = backend
        self._boundary, self._words = vocabulary.boundary, vocabulary.words
        self.first_ids = vocabulary.first_ids
        self.opening = vocabulary.opening
        self.vocab_size: int = len(vocabulary.spelled)
        self.special_ids = vocabulary.special_ids
        self._names = {number: name for name, number in self.special_ids.items()}
        self._spellings = Spellings(vocabulary.spelled)
        self._young: dict[str, tuple[int, ...]] = {}
        self._old: dict[str, tuple[int, ...]] = {}
        self._young_chars = 0
        self._heads: tuple[_Head, ...] = ()
        self._check_specials()

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read `folder`/tokenizer.json. Raises `TokenizerError`, which names the file."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise TokenizerError(f"{path} does not exist: is {folder} a model folder?")
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more specific
            raise TokenizerError(f"{path} cannot be read: {error}") from error
        try:
            made = cls(backend)
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from error
        made.first_ids = made.first_ids or _said_beside(folder, made.special_ids)
        return made

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text. A lone surrogate counts as U+FFFD."""
        return list(chain.from_iterable(self.encode_chunks(text)))

    def encode_whole(self, text: str) -> list[int]:
        """Token ids of a text from its beginning, what the model was trained to find there before it."""
        return [*self.first_ids, *self.encode(self.opened(text))]

    def opened(self, text: str) -> str:
        """What is encoded of a text at its beginning; of an empty one nothing."""
        return self.opening + text if text else ""

    def encode_chunks(self, text: str) -> list[tuple[int, ...]]:
        """Token ids of `text`, cut into chunks of about a line; joined they are `encode(text)`.

        All but the first begin with a line end, or after one, as the tokenizer allows. Appending to `text`
        changes only the last one, or divides it.
        """
        head = self._longest_head(text)
        known = len(head.text)
        ends = [match.end() for match in self._boundary.finditer(text, known)]
        starts = [known, *ends]
        chunks = [*head.chunks]
        chunks += [self._chunk(text[a:b]) for a, b in zip(starts, [*ends, len(text)], strict=True)]
        if ends and ends[-1] >= _HEAD_CHARS:
            self._remember(_Head(text[: ends[-1]], tuple(chunks[:-1])), head)
        return chunks

    def last_word(self, text: str) -> str:
        """The end of `text` whose tokens may change once more follows; what is before it keeps its own."""
        return last_word(self._words, text) if text else ""

    def encode_uncached(self, text: str) -> list[int]:
        """What `encode` returns, computed from nothing (the definition that it is tested against)."""
        ids: list[int] = self._backend.encode(_well_formed(text), add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD, special tokens nothing or their name."""
        if keep_special:
            data = b"".join(self._names.get(i, "").encode() or self.token_bytes(i) for i in ids)
        else:
            data = b"".join(map(self.token_bytes, ids))
        return data.decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one token stands for: often no whole character. Empty for a special token.

        An id beyond the vocabulary (models pad their embedding) is empty too.
        """
        return self._spellings.of(token_id)

    @property
    def longest_token_bytes(self) -> int:
        """How many bytes the longest token stands for: a text of N times as many has at least N tokens."""
        return self._spellings.longest

    def stream(self, *, strip: Callable[[bytes], bytes] | None = None) -> TextStream:
        """An incremental decoder of one sequence; `strip` sees each token's bytes first (token healing)."""
        return TextStream(self, strip=strip)

    def tokens_spelling(self, wanted: bytes) -> Ids:
        """Ids [n] that may come next if the output must begin with `wanted` (not empty).

        Those that begin with it, and those that it begins with.
        """
        return self._spellings.toward(wanted)

    def _chunk(self, text: str) -> tuple[int, ...]:
        ids = self._young.get(text)
        if ids is None:
            ids = self._old.get(text)
            if ids is None:
                ids = tuple(self.encode_uncached(text))
            if len(text) <= _CACHED_CHUNK_CHARS:
                if len(self._young) >= _CACHED_CHUNKS or self._young_chars >= _CACHED_CHARS:
                    self._old, self._young, self._young_chars = self._young, {}, 0
                self._young[text] = ids
                self._young_chars += len(text)
        return ids

    def _longest_head(self, text: str) -> _Head:
        """The longest known head of `text` after which a chunk begins in `text` too."""
        best = _Head("", ())
        for head in self._heads:
            size = len(head.text)
            if len(best.text) < size < len(text) and text.startswith(head.text):
                # What comes next in this text tells whether it can still be cut there.
                best = head if self._boundary.match(text, size - 1) else best
        return best

    def _remember(self, head: _Head, grown_from: _Head) -> None:
        # One assignment of a new tuple: a thread that loses the race loses an entry, nothing more.
        heads = (head, *(one for one in self._heads if one is not grown_from))[:_KNOWN_HEADS]
        sizes = accumulate(len(one.text) for one in heads)
        self._heads = tuple(one for one, size in zip(heads, sizes, strict=True) if size <= _KNOWN_HEADS_CHARS)

    def _check_specials(self) -> None:
        """Prove rule 16 for this very vocabulary: the names of special tokens are ordinary text."""
        for name in self.special_ids:
            if self._names.keys() & set(self.encode_uncached(f"a {name}{name}\n{name}")):
                raise TokenizerError(f"text that contains {name!r} would be encoded as that special token")


class TextStream:
    """Turns tokens into text one by one, holding back the bytes of an unfinished character."""

    def __init__(self, tokenizer: Tokenizer, *, strip: Callable[[bytes], bytes] | None = None) -> None:
        self._tokenizer = tokenizer
        self._strip = strip
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes; may be empty."""
        data = self._tokenizer.token_bytes(token_id)
        if self._strip is not None:
            data = self._strip(data)
        return self._decoder.decode(data)

    def flush(self) -> str:
        """The end of the text: U+FFFD if a character was left unfinished, else empty."""
        return self._decoder.decode(b"", final=True)


def _well_formed(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _said_beside(folder: Path, special_ids: dict[str, int]) -> tuple[int, ...]:
    """`first_ids` by a tokenizer_config.json, which DeepSeek-Coder says it in."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return ()
    try:
        config = read_object(path)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} is not valid JSON ({error})") from error
    if config.get("add_bos_token") is not True:
        return ()
    said = config.get("bos_token")
    first = special_ids.get(str(said.get("content") if isinstance(said, dict) else said))
    return () if first is None else (first,)


def _pieces_of(backend: tokenizers.Tokenizer) -> tuple[tokenizers.Tokenizer, Vocabulary]:
    """A tokenizer.json of SentencePiece's kind."""
    pieces = read_pieces(backend)
    return pieces.backend, Vocabulary(
        spelled=pieces.spelled,
        special_ids=pieces.special_ids,
        boundary=pieces.boundary,
        words=pieces.words,
        first_ids=_first_ids(backend),
        opening=pieces.opening,
    )


def _bytes_of(backend: tokenizers.Tokenizer) -> tuple[tokenizers.Tokenizer, Vocabulary]:
    """A byte-level tokenizer.json."""
    pre_tokenizer = backend.pre_tokenizer
    boundary = boundary_of(json.loads(pre_tokenizer.__getstate__()) if pre_tokenizer else None)
    if isinstance(backend.normalizer, normalizers.NFC):
        # Qwen's. With it a decomposed letter's tokens would spell other bytes than the file has.
        backend.normalizer = None
    if backend.normalizer is not None and _does_something(backend.normalizer):
        raise TokenizerError(f"the tokenizer has a normalizer ({backend.normalizer}): text would change")
    ids = backend.get_vocab(with_added_tokens=True)
    tokens = [""] * (1 + max(ids.values()))
    for token, token_id in ids.items():
        tokens[token_id] = token
    added = backend.get_added_tokens_decoder()
    for token_id in added:
        tokens[token_id] = ""
    vocabulary = Vocabulary(
        spelled=spelled_by_alphabet(tokens),
        special_ids={token.content: token_id for token_id, token in added.items()},
        boundary=boundary,
        words=pre_tokenizer,
        first_ids=_first_ids(backend),
    )
    return _without_recognition(backend), vocabulary


def _does_something(normalizer: normalizers.Normalizer) -> bool:
    """DeepSeek-Coder has a sequence of none."""
    return bool(json.loads(normalizer.__getstate__()) != {"type": "Sequence", "normalizers": []})


def _first_ids(backend: tokenizers.Tokenizer) -> tuple[int, ...]:
    """See `Vocabulary.first_ids`."""
    bare, whole = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    return tuple(whole[: whole.index(bare[0])]) if bare and bare[0] in whole else ()


def _without_recognition(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A tokenizer that takes the names of added tokens in its input for ordinary text."""
    if not all(token.special for token in backend.get_added_tokens_decoder().values()):
        # The switch below concerns special ones only; some fine-tunes add others.
        state = json.loads(backend.to_str())
        for token in state["added_tokens"]:
            token["special"] = True
        backend = tokenizers.Tokenizer.from_str(json.dumps(state))
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    return backend
