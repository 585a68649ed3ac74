"""Small source trees to index, made by hand or by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from attribution.build import build
from attribution.index import open_writer
from attribution.source import Document, Source

WORDS = ["alpha", "beta", "gamma", "delta", "if", "for", "return", "self", "row", "größe", "x1", "42", "'s'"]
MARKS = ["(", ")", ".", ",", "=", "+", ":", "[", "]"]


def document(repository: str, path: str, text: str | bytes, **source: str | None) -> Document:
    """A document; `source` may give `license`, `revision` and `url`."""
    data = text.encode() if isinstance(text, str) else text
    return Document(source=Source(repository=repository, path=path, **source), text=data)  # type: ignore[arg-type]


def code(seed: int, *, lines: int = 30) -> str:
    """Something that looks like code; different seeds share no long run of tokens."""
    dice = random.Random(seed)

    def line() -> str:
        tokens = [dice.choice(MARKS if n % 2 else [*WORDS, f"name_{dice.randrange(500)}"]) for n in range(12)]
        return " " * dice.choice([0, 4, 8]) + " ".join(tokens)

    return "\n".join(line() for _ in range(lines)) + "\n"


def index_of(url: Path | str, documents: Iterable[Document], *, renamed: bool = False) -> Path | str:
    """Build an index and give back where it is."""
    with open_writer(url, renamed=renamed) as writer:
        build(documents, writer)
    return url
