"""Trains the byte-level BPE tokenizer. Loading and using one is `model.prompt.tokenizer`'s job.

The pre-tokenizer is StarCoder's: every digit on its own, then GPT-2's byte-level pattern, no
normaliser; the 19 special tokens have the ids 0 to 18 (arXiv 2305.06161, §5.2).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model.families.registry import OWN_FAMILY
from training.corpus.records.document import CorpusDocument
from training.corpus.records.shards import read_documents

BYTE_ALPHABET_SIZE = 256
TOKENIZER_FILE = "tokenizer.json"
OTHER_LANGUAGES = "*"
# What the vocabulary is spent on: Python first, then JavaScript and TypeScript, then the rest.
STARTER_SHARES: Mapping[str, float] = MappingProxyType(
    {"Python": 0.6, "JavaScript": 0.17, "TypeScript": 0.14, OTHER_LANGUAGES: 0.015}
)


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """`vocab_size` counts the special tokens; `max_train_chars` bounds the sample that BPE sees.

    `shares` gives each language's part of the sample (0 to 1); `*` is the part of every language
    that is not named. A language with less text than its part gives all it has.
    """

    vocab_size: int
    min_frequency: int = 2
    max_train_chars: int = 120_000_000
    shares: Mapping[str, float] = field(default_factory=lambda: STARTER_SHARES)

    def __post_init__(self) -> None:
        least = len(OWN_FAMILY.special_tokens) + BYTE_ALPHABET_SIZE
        if self.vocab_size < least:
            raise ValueError(f"vocab_size {self.vocab_size} is below {least}: special tokens and all bytes")
        if self.max_train_chars <= 0:
            raise ValueError(f"max_train_chars {self.max_train_chars} must be positive")

    def wanted_chars(self, language: str) -> int:
        """How many characters of a language the sample may hold."""
        return int(self.shares.get(language, self.shares.get(OTHER_LANGUAGES, 0.0)) * self.max_train_chars)


def train_on_corpus(corpus_dir: Path, into: Path, options: TokenizerOptions) -> None:
    """Train on a built corpus' `train/` and write `tokenizer.json`.

    Raises ValueError when the corpus is too small for the vocabulary.
    """
    sample = balanced_sample(lambda: read_documents(corpus_dir / "train"), options)
    save_tokenizer(train_tokenizer((document.text for document in sample), options), into)


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
    """Train on a stream of texts; the same stream gives the same tokenizer.

    BPE stops early when no pair occurs `min_frequency` times; a vocabulary smaller than asked
    for would not fit the model's embedding, so that is a ValueError here and not a surprise later.
    """
    tokenizer = untrained_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=list(OWN_FAMILY.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    actual = tokenizer.get_vocab_size()
    if actual != options.vocab_size:
        raise ValueError(
            f"the texts give {actual} tokens, {options.vocab_size} were asked for; use more text"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> Path:
    """Write `tokenizer.json` into the folder, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{TOKENIZER_FILE}-{os.getpid()}"
    try:
        scratch.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
        os.replace(scratch, folder / TOKENIZER_FILE)
    finally:
        scratch.unlink(missing_ok=True)
    return folder / TOKENIZER_FILE


def balanced_sample(
    read: Callable[[], Iterable[CorpusDocument]], options: TokenizerOptions
) -> Iterator[CorpusDocument]:
    """Thin every language out to its wanted characters, evenly and in the stream's order.

    Evenly: a document is taken whenever the taken share has fallen behind, so every package
    contributes. `read` is called twice (totals, then the sample); nothing is kept in memory.
    """
    totals: Counter[str] = Counter()
    for document in read():
        totals[document.language] += len(document.text)
    seen: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for document in read():
        language, chars = document.language, len(document.text)
        seen[language] += chars
        share = min(1.0, options.wanted_chars(language) / totals[language])
        if taken[language] + chars <= seen[language] * share:
            taken[language] += chars
            yield document
