"""What all ways of finding have in common, and ours: the two stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from attribution.indexing.build import build
from attribution.match.attribute import AUTOMATIC, SearchOptions, attribute
from attribution.source import Match, SourceDocument
from attribution.store.open import is_remote, open_index, open_writer
from benchmarks.attribution.excerpts import Excerpt
from benchmarks.attribution.judge import holds, is_true, shares_copy
from benchmarks.attribution.measure import Asked, Built, stopwatch
from benchmarks.attribution.progress import steps


@dataclass(frozen=True, kw_only=True)
class Claim:
    """ "This is from that document"; with a match, also from where to where."""

    document: SourceDocument
    match: Match | None = None


class Method(Protocol):
    """A way of finding out where code is from."""

    name: str
    # Whether the work of a check is all done in this process, so that its CPU seconds say something.
    in_process: bool

    def ask(self, text: bytes) -> list[Claim]:
        """Its answer, the best first; none where it says that it knows none."""

    def close(self) -> None:
        """Let go of files and connections."""


class Ours:
    """An index of `attribution`, in a folder or on Elasticsearch."""

    def __init__(
        self, name: str, url: str, documents: Sequence[SourceDocument], question: SearchOptions = AUTOMATIC
    ) -> None:
        self.name = name
        self.in_process = not is_remote(url)
        self._question = question
        self._documents = {document.key: document for document in documents}
        self._index = open_index(url)

    def ask(self, text: bytes) -> list[Claim]:
        """The matches, the longest first."""
        return [
            Claim(document=self._documents[match.key], match=match)
            for match in attribute(text, self._index, self._question)
        ]

    def close(self) -> None:
        """Close the index."""
        self._index.close()


def build_ours(documents: Sequence[SourceDocument], url: str, *, processes: int = 1) -> Built:
    """Build an index anew."""
    size = sum(len(document.text) for document in documents)
    with stopwatch() as watch, open_writer(url) as writer:
        build(steps(documents, f"building {url}"), writer, processes=processes)
    index = open_index(url)
    info = index.info()
    index.close()
    return Built(
        megabytes=size / 1e6,
        wall_s=watch.wall_s,
        cpu_s=watch.cpu_s if processes == 1 and not is_remote(url) else None,
        disk_with_text=(info.text_disk_bytes + info.other_disk_bytes) / size,
        disk_without_text=info.other_disk_bytes / size,
    )


def ask_all(method: Method, excerpts: Sequence[Excerpt], what: str) -> Asked:
    """Ask about every excerpt, and judge the answers.

    Right: the first document named holds the excerpt as it was before it was changed. False: a claim
    that is not so, of whatever rank.
    """
    method.ask(excerpts[0].text)
    asked = Asked()
    for one in steps(excerpts, f"{method.name}: {what}"):
        with asked.timed():
            claims = method.ask(one.text)
        asked.right += bool(claims) and holds(claims[0].document.text, one.original)
        asked.false += not all(_is_true(claim, one.text) for claim in claims)
    return asked


def _is_true(claim: Claim, query: bytes) -> bool:
    if claim.match is None:
        return shares_copy(claim.document.text, query)
    return is_true(claim.match, query, claim.document.text)
