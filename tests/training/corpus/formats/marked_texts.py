"""Texts with marks of the training set's formats, looked at."""

from __future__ import annotations

from model.families.gpt_bigcode import SPECIAL_TOKENS
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason


def tokens_of(marked: MarkedText) -> list[str]:
    return [marked.text[start:end] for start, end in marked.special]


def marked(outcome: MarkedText | Reason) -> MarkedText:
    assert isinstance(outcome, MarkedText), outcome
    assert set(tokens_of(outcome)) <= set(SPECIAL_TOKENS)
    return outcome
