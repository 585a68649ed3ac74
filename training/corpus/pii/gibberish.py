"""A model of which letter follows which, that tells random strings from words.

BigCode's was made from a book; this one from the Markdown and reStructuredText of a corpus, so that
it may ship. `gibberish.model` is that of the starter corpus.
"""

from __future__ import annotations

import string
from functools import lru_cache
from pathlib import Path
from typing import Any

GIBBERISH_MODEL = Path(__file__).with_name("gibberish.model")
# With our model what 4.0, the library's own, is with BigCode's: see docs/corpus.md.
LIMIT = 3.7
_PROSE = frozenset({"Markdown", "reStructuredText"})


def is_gibberish(value: str) -> bool:
    """Whether the letters of a string follow one another as in no word."""
    answer: bool = _detector().is_gibberish(value.lower())
    return answer


@lru_cache(maxsize=1)
def _detector() -> Any:
    from gibberish_detector.detector import create_from_model  # type: ignore[import-untyped] # has none

    return create_from_model(str(GIBBERISH_MODEL), LIMIT)


def train_gibberish_model(corpus: Path) -> str:
    """The model of the prose in a folder of shards, as the library stores it."""
    from gibberish_detector import serializer, trainer  # type: ignore[import-untyped] # has none

    from training.corpus.records.shards import read_documents

    prose = "\n".join(
        document.text.lower() for document in read_documents(corpus) if document.language in _PROSE
    )
    model: str = serializer.serialize(trainer.train_on_content(prose, string.ascii_lowercase))
    return model
