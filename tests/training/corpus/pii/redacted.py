"""A text as the only content of a document, redacted."""

from __future__ import annotations

from collections.abc import Sequence

from training.corpus.pii.finding import Finder
from training.corpus.pii.redact import FINDERS, Replaced, redact
from training.corpus.records.document import Document


def redacted(text: str, finders: Sequence[Finder] = FINDERS) -> tuple[str, list[Replaced]]:
    """The text without personal data, and what was replaced."""
    document = Document(repository="a/b", path="p", language="x", license="MIT", package="", text=text)
    cleaned, replaced = redact(document, finders)
    return cleaned.text, replaced
