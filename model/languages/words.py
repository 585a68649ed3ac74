"""Words and marks: what counts as a token where no tokenizer is asked."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\w+|[^\w\s]")


def words_and_marks(text: str) -> list[str]:
    """The runs of letters, digits and `_`, and each other sign that is not white space."""
    return _TOKEN.findall(text)
