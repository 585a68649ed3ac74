"""Redacting a text alone."""

from __future__ import annotations

from collections.abc import Sequence

from training.corpus.pii.finding import Finder
from training.corpus.pii.redact import FINDERS, Replaced, redact
from training.corpus.records.document import CorpusDocument


def redacted(text: str, finders: Sequence[Finder] = FINDERS) -> tuple[str, list[Replaced]]:
    """What becomes of a document of this text, and what was replaced."""
    whole = CorpusDocument(repository="a/b", path="p", language="x", license="MIT", package="", text=text)
    clean, replaced = redact(whole, finders)
    return clean.text, replaced
