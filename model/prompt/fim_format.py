"""The two fill-in-the-middle orders, and the token ids that one model's prompts are laid out with.

Shared by serving and by training, hence free of torch and of the tokenizer. Which texts stand for the
tokens is a family's knowledge (`model.families`), and how much of a text fits is `model.prompt.fim`'s.

SPM is "variant 2" of arXiv 2207.14255, §4.3, if not said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class FimOrder(StrEnum):
    """Which part of a fill-in-the-middle prompt comes first."""

    SPM = "spm"
    """Suffix, prefix, middle: typing only appends to the prompt, so its KV cache survives."""
    PSM = "psm"
    """Prefix, suffix, middle: what most other engines and models expect."""


@dataclass(frozen=True, kw_only=True)
class FimFormat:
    """How one model's prompts are laid out, by token ids."""

    orders: tuple[FimOrder, ...]
    """Those that the model was trained on."""
    prefix_id: int
    middle_id: int | None
    """None: the middle follows the prefix without a sentinel."""
    suffix_id: int
    suffix_opens: bool = False
    """Whether SPM begins with the suffix's sentinel, each part after its own, and not with the prefix's
    ("variant 1")."""
    end_of_text_id: int
    """Ends a document, and each file of context."""
    pad_id: int | None = None
    """Fills up a sample in training."""
    filename_id: int | None = None
    """Stands before a file's path; None where the model knows no such tag."""
    file_id: int | None = None
    """The same in models that were trained on repositories as one text: it ends the file before, too, and the
    current file's path stands before the sentinels."""
    repository_id: int | None = None
    """Stands before the name of such a repository."""

    def arrange(self, order: FimOrder, prefix: Sequence[int], suffix: Sequence[int]) -> list[int]:
        """Lay out token ids so that the middle comes next: append it to train, decode it to complete.

        PSM is `<fim_prefix>P<fim_suffix>S<fim_middle>`, SPM is `<fim_prefix><fim_suffix>S<fim_middle>P`, or
        `<fim_suffix>S<fim_prefix>P<fim_middle>` where the suffix opens it.
        """
        middle = [] if self.middle_id is None else [self.middle_id]
        if order is FimOrder.PSM:
            return [self.prefix_id, *prefix, self.suffix_id, *suffix, *middle]
        if self.suffix_opens:
            return [self.suffix_id, *suffix, self.prefix_id, *prefix, *middle]
        return [self.prefix_id, self.suffix_id, *suffix, *middle, *prefix]
