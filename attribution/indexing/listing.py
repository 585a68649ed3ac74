"""A set of documents known by a list: each one's provenance, licence and hash. Texts are fetched on demand.

A model's training set can so be indexed exactly, and a document that is indexed already is not fetched
again. The maker of the list (`training/`) knows where the texts come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from attribution.indexing.build import BuildProgress, build
from attribution.source import Source, SourceDocument
from attribution.store.contract import Writer

_GROUP = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A document without its text: `key` is the first 16 bytes of the text's SHA-256."""

    source: Source
    key: bytes
    text_bytes: int


class ListedSet(Protocol):
    """A list of documents, and the way to their texts."""

    name: str

    def listed(self) -> Sequence[Listed]:
        """All documents of the set."""

    def documents(self, wanted: Sequence[Listed], skipped: Counter[str]) -> Iterator[SourceDocument]:
        """The texts of some of them, fetched if need be; counts by reason what cannot be had.

        Raises `SourceError`.
        """

    def clear(self) -> None:
        """Delete what was fetched for this set alone."""


def missing_from(listed: Sequence[Listed], writer: Writer) -> list[Listed]:
    """The documents whose content the index lacks; the others are recorded, or refused by an opt-out."""
    remaining = iter(listed)
    missing: list[Listed] = []
    while group := list(islice(remaining, _GROUP)):
        missing += writer.register(group)
    return missing


def build_listed(
    wanted: ListedSet,
    missing: Sequence[Listed],
    writer: Writer,
    skipped: Counter[str],
    *,
    processes: int = 1,
    on_progress: Callable[[BuildProgress], None] | None = None,
) -> None:
    """Add the documents of a set that the index lacks, as `build` does; a killed run is resumed."""
    build(wanted.documents(missing, skipped), writer, processes=processes, on_progress=on_progress)
    wanted.clear()
