"""Trains the byte-level BPE tokenizer. Loading and using one is `model.tokenizer`'s job.

The pre-tokenizer is StarCoder's: every digit on its own, then GPT-2's byte-level pattern, no
normaliser; the 19 special tokens have the ids 0 to 18 (arXiv 2305.06161, §5.2).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model.fim_format import SPECIAL_TOKENS
from training.corpus.document import Document

BYTE_ALPHABET_SIZE = 256
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """`vocab_size` counts the 19 special tokens; `max_train_chars` bounds the sample BPE sees."""

    vocab_size: int
    min_frequency: int = 2
    max_train_chars: int | None = None

    def __post_init__(self) -> None:
        least = len(SPECIAL_TOKENS) + BYTE_ALPHABET_SIZE
        if self.vocab_size < least:
            raise ValueError(
                f"vocab_size {self.vocab_size} is below {least}: the special tokens and all bytes"
            )


def untrained_tokenizer() -> Tokenizer:
    """StarCoder's pipeline around an empty BPE model."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_tokenizer(texts: Iterable[str], options: TokenizerOptions) -> Tokenizer:
    """Train on a stream of texts; deterministic for the same stream. Raises ValueError if it falls short.

    BPE stops early when no pair occurs `min_frequency` times; a vocabulary smaller than asked
    for would not fit the model's embedding, so that is an error here and not a surprise later.
    """
    tokenizer = untrained_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_limited(texts, options.max_train_chars), trainer=trainer)
    actual = tokenizer.get_vocab_size()
    if actual != options.vocab_size:
        raise ValueError(
            f"the texts give only {actual} tokens, {options.vocab_size} were asked for; use more text"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> Path:
    """Write `tokenizer.json` into the folder, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=".tokenizer-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(tokenizer.to_str(pretty=True))
        os.replace(scratch, folder / TOKENIZER_FILE)
    finally:
        Path(scratch).unlink(missing_ok=True)
    return folder / TOKENIZER_FILE


def balanced_sample(
    documents: Iterable[Document], chars_by_language: Mapping[str, int]
) -> Iterator[Document]:
    """Thin each language out evenly to its number of characters, in the stream's order.

    `chars_by_language` maps a language to (characters wanted); a language that is not in it is
    left out. Evenly: a document is taken whenever the taken share has fallen behind, so every
    package contributes. Needs the totals, so the documents are iterated once for each language's
    total by the caller's own `Sequence` or a re-iterable.
    """
    pool = list(documents)
    totals: dict[str, int] = {}
    for document in pool:
        totals[document.language] = totals.get(document.language, 0) + len(document.text)
    seen = dict.fromkeys(totals, 0)
    taken = dict.fromkeys(totals, 0)
    for document in pool:
        language = document.language
        seen[language] += len(document.text)
        share = min(1.0, chars_by_language.get(language, 0) / totals[language])
        if taken[language] + len(document.text) <= seen[language] * share:
            taken[language] += len(document.text)
            yield document


def chars_per_token(tokenizer: Tokenizer, documents: Iterable[Document]) -> dict[str, float]:
    """Characters per token by language (higher is better compression), most characters first."""
    chars: dict[str, int] = {}
    tokens: dict[str, int] = {}
    for document in documents:
        chars[document.language] = chars.get(document.language, 0) + len(document.text)
        count = len(tokenizer.encode(document.text, add_special_tokens=False).ids)
        tokens[document.language] = tokens.get(document.language, 0) + count
    ordered = sorted(chars, key=lambda language: -chars[language])
    return {language: chars[language] / tokens[language] for language in ordered}


def _limited(texts: Iterable[str], max_chars: int | None) -> Iterator[str]:
    left = max_chars
    for text in texts:
        if left is not None:
            if left <= 0:
                return
            left -= len(text)
        yield text
