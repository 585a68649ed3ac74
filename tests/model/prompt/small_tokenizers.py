"""A small tokenizer with merges, for tests that need tokens of more than one byte."""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import models, pre_tokenizers

from model.families.gpt_bigcode import SPECIAL_TOKENS


def write_merging_tokenizer(folder: Path, text: str) -> None:
    """A tokenizer.json of StarCoder's kind with 900 tokens, trained on `text`."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([text] * 2, trainer)
    backend.save(str(folder / "tokenizer.json"))
