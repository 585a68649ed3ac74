"""Small source trees to index, made by hand or by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from attribution.indexing.build import build
from attribution.match.attribute import attribute
from attribution.source import Source, SourceDocument
from attribution.store.open import open_index, open_writer

WORDS = ["alpha", "beta", "gamma", "delta", "if", "for", "return", "self", "row", "größe", "x1", "42", "'s'"]
MARKS = ["(", ")", ".", ",", "=", "+", ":", "[", "]"]


def document(
    repository: str,
    path: str,
    text: str | bytes,
    *,
    license: str | None = None,
    revision: str | None = None,
    url: str | None = None,
    package: str | None = None,
    origin: str | None = None,
) -> SourceDocument:
    """A document."""
    data = text.encode() if isinstance(text, str) else text
    source = Source(
        repository=repository,
        path=path,
        license=license,
        revision=revision,
        url=url,
        package=package,
        origin=origin,
    )
    return SourceDocument(source=source, text=data)


def code(seed: int, *, lines: int = 30) -> str:
    """Something that looks like code; different seeds share no long run of tokens."""
    dice = random.Random(seed)

    def line() -> str:
        tokens = [dice.choice(MARKS if n % 2 else [*WORDS, f"name_{dice.randrange(500)}"]) for n in range(12)]
        return " " * dice.choice([0, 4, 8]) + " ".join(tokens)

    return "\n".join(line() for _ in range(lines)) + "\n"


def index_of(url: Path | str, documents: Iterable[SourceDocument], *, renamed: bool = False) -> Path | str:
    """Build an index and give back where it is."""
    with open_writer(url, renamed=renamed) as writer:
        build(documents, writer)
    return url


HEADER = code(77, lines=6)


def mixed_documents(count: int = 30) -> list[SourceDocument]:
    """`count` files of several owners, with a common header here and there, a copy and an empty file."""
    found = [
        document(
            f"Owner{n % 5}/project{n % 3}", f"src/größe{n}.py", HEADER * (n % 2) + code(n), license="MIT"
        )
        for n in range(count)
    ]
    return [
        *found,
        document("copies/one", "c.py", HEADER + code(3)),
        document("empty/file", "__init__.py", ""),
    ]


def finds(url: str, text: bytes) -> list[tuple[str, str]]:
    """Repository and path of each match."""
    index = open_index(url)
    found = [(match.source.repository, match.source.path) for match in attribute(text, index)]
    index.close()
    return found
