"""Where excerpts for a prompt come from: pages of the open files and a ring of visited places.

The ring is llama.vscode's idea: up to 16 chunks of up to 64 lines, from places where the user worked. A
chunk that is much like a newer one (Jaccard similarity of their lines) is dropped first. Open files are
kept besides, as pages of 64 lines, so that files which are only read become context too. Knows neither
prompts nor budgets; `lsp.context.excerpts` chooses.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from lsp.documents.secrets import has_secret

RING_CHUNKS = 16
CHUNK_LINES = 64
FAR_LINES = 32
_MAX_PAGES = 16
_MAX_OPEN_FILES = 32
_MAX_LINE_CHARS = 400  # longer ones are data or minified code
_SAME = 0.5
_IDENTIFIER = re.compile(r"[^\W\d]\w{2,}")


@dataclass(frozen=True)
class Chunk:
    """Consecutive lines of a file as they were when it was made."""

    path: str
    language: str
    start_line: int
    text: str

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Names of at least three characters in it."""
        return identifiers_of(self.text)

    @cached_property
    def has_secret(self) -> bool:
        """Whether a key or a credential stands in it, which its document may have lost meanwhile."""
        return any(map(has_secret, self.text.split("\n")))

    @cached_property
    def distinct_lines(self) -> frozenset[str]:
        """Its lines without indentation, the trivial ones left out."""
        return distinct_lines_of(self.text)


@dataclass
class _Visit:
    path: str
    language: str
    lines: Sequence[str]
    anchor_line: int


class ContextRing:
    """The chunks that may be excerpted. `generation` changes whenever they do."""

    def __init__(self) -> None:
        self.generation = 0
        self._ring: list[Chunk] = []
        self._pages: OrderedDict[str, list[Chunk]] = OrderedDict()
        self._dirty: dict[str, tuple[str, Sequence[str]]] = {}
        self._visit: _Visit | None = None

    def opened(self, path: str, language: str, lines: Sequence[str]) -> None:
        """A file was opened, or its text on disk was read again."""
        self._dirty.pop(path, None)
        self._pages[path] = _pages(path, language, lines)
        self._pages.move_to_end(path)
        while len(self._pages) > _MAX_OPEN_FILES:
            self._pages.popitem(last=False)
        self.generation += 1

    def changed(self, path: str, language: str, lines: Sequence[str]) -> None:
        """An open file was edited. Its `lines` are read again when the user works elsewhere."""
        self._dirty[path] = (language, lines)

    def visited(self, path: str, language: str, lines: Sequence[str], line: int) -> None:
        """The user works at a line. The place that they left goes into the ring."""
        last = self._visit
        if last is not None and last.path == path and abs(line - last.anchor_line) <= FAR_LINES:
            last.lines = lines
            return
        if last is not None:
            self._add(chunk_around(last.path, last.language, last.lines, last.anchor_line))
        self._visit = _Visit(path, language, lines, line)
        for other in [known for known in self._dirty if known != path]:
            self.opened(other, *self._dirty[other])

    def closed(self, path: str) -> None:
        """A file was closed. Places visited in it stay."""
        self._dirty.pop(path, None)
        if self._pages.pop(path, None):
            self.generation += 1

    def forget(self, path: str) -> None:
        """A file was deleted, renamed or excluded."""
        self.closed(path)
        if self._visit is not None and self._visit.path == path:
            self._visit = None
        kept = [chunk for chunk in self._ring if chunk.path != path]
        if len(kept) < len(self._ring):
            self._ring = kept
            self.generation += 1

    def chunks(self) -> Iterator[Chunk]:
        """All chunks: visited places, the latest first, then pages of open files."""
        yield from reversed(self._ring)
        for pages in reversed(self._pages.values()):
            yield from pages

    @property
    def places(self) -> tuple[Chunk, ...]:
        """The ring itself, the oldest first."""
        return tuple(self._ring)

    def _add(self, chunk: Chunk | None) -> None:
        if chunk is None:
            return
        self._ring = [
            known for known in self._ring if jaccard(known.distinct_lines, chunk.distinct_lines) < _SAME
        ]
        self._ring.append(chunk)
        if len(self._ring) > RING_CHUNKS:
            del self._ring[self._least_useful()]
        self.generation += 1

    def _least_useful(self) -> int:
        """The older one of the two most similar chunks, or the oldest of all if none are alike."""
        pairs = combinations(range(len(self._ring)), 2)
        scored = ((jaccard(self._ring[a].distinct_lines, self._ring[b].distinct_lines), -a) for a, b in pairs)
        similarity, older = max(scored)
        return -older if similarity > 0.1 else 0


def chunk_around(path: str, language: str, lines: Sequence[str], line: int) -> Chunk | None:
    """The chunk with `line` in its middle; None if it has too little text."""
    first = max(0, min(line - CHUNK_LINES // 2, len(lines) - CHUNK_LINES))
    return _chunk(path, language, lines, first)


def identifiers_of(text: str) -> frozenset[str]:
    """The names of at least three characters in a text."""
    return frozenset(_IDENTIFIER.findall(text))


def distinct_lines_of(text: str) -> frozenset[str]:
    """A text's lines without indentation, those of fewer than four characters left out."""
    return frozenset(line for line in map(str.strip, text.split("\n")) if len(line) > 3)


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|, 0 for two empty sets."""
    common = len(first & second)
    return common / (len(first) + len(second) - common) if common else 0.0


def _pages(path: str, language: str, lines: Sequence[str]) -> list[Chunk]:
    starts = range(0, min(len(lines), _MAX_PAGES * CHUNK_LINES), CHUNK_LINES)
    pages = (_chunk(path, language, lines, start) for start in starts)
    return [page for page in pages if page is not None]


def _chunk(path: str, language: str, lines: Sequence[str], first: int) -> Chunk | None:
    kept = [line.rstrip() for line in lines[first : first + CHUNK_LINES]]
    if any(len(line) > _MAX_LINE_CHARS for line in kept):
        return None
    text = "\n".join(kept).strip("\n")
    chunk = Chunk(path, language, first, text)
    # Computed here, where there is more time than at the next prompt, which needs both.
    return chunk if len(chunk.distinct_lines) >= 2 and chunk.identifiers else None
