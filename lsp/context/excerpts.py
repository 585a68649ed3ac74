"""Which excerpts of other places go into a prompt: the most similar ones, and the same ones again.

Chunks are ranked by the weighted Jaccard similarity of their identifiers with those around the cursor (a
name that is everywhere weighs little). Excerpts come first in the prompt, so a change of them costs the
engine its whole cache. So they are chosen anew only when the cursor has moved far or other documents
have changed, and then earlier ones are preferred.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from lsp.context.ring import FAR_LINES, Chunk, ContextRing, distinct_lines_of, identifiers_of
from model.languages.languages import relatedness

_LINES_ABOVE, _LINES_BELOW = 60, 20
_MIN_SCORE = 0.02
_KEPT_BONUS = 1.25
_MIN_EXCERPT_CHARS = 160
_HEADER_CHARS = 16  # the file-name tokens around an excerpt, in characters
_CHOICES_KEPT = 16


@dataclass(frozen=True)
class Excerpt:
    """Consecutive lines of a file, from line number `start_line` on."""

    path: str
    text: str
    start_line: int


@dataclass(frozen=True)
class _Choice:
    anchor_line: int
    generation: int
    budget_chars: int
    excerpts: tuple[Excerpt, ...]


class ExcerptChooser:
    """Chooses excerpts, and remembers the last choice for each document."""

    def __init__(self, ring: ContextRing) -> None:
        self._ring = ring
        self._choices: OrderedDict[str, _Choice] = OrderedDict()
        self._weights: _Weights | None = None

    def choose(
        self,
        path: str,
        language: str,
        lines: Sequence[str],
        line: int,
        *,
        budget_chars: int,
        window_lines: tuple[int, int],
        allowed: Callable[[str], bool] = lambda path: True,
    ) -> tuple[Excerpt, ...]:
        """The excerpts for a cursor: first those of the last choice, then new ones, the most similar last.

        `window_lines` (first, end) are the document's lines that the prompt has anyway. `allowed` says
        whether a path's text may be used; it is asked every time.
        """
        last = self._choices.get(path)
        if last is not None and not self._is_stale(last, line, budget_chars, allowed):
            return last.excerpts
        kept = last.excerpts if last is not None else ()
        query = self._query("".join(lines[max(line - _LINES_ABOVE, 0) : line + _LINES_BELOW]), language)
        window = distinct_lines_of("".join(lines[slice(*window_lines)]))
        candidates = [
            chunk
            for chunk in self._ring.chunks()
            if allowed(chunk.path) and not chunk.has_secret and not _is_in(chunk, window)
        ]
        chosen = _fill(_ranked(candidates, query, kept), query, budget_chars)
        chosen = _in_their_order(chosen, kept)
        self._remember(path, _Choice(line, self._ring.generation, budget_chars, chosen))
        return chosen

    def forget(self, path: str) -> None:
        """A document was closed."""
        self._choices.pop(path, None)

    def _query(self, surroundings: str, language: str) -> _Query:
        if self._weights is None or self._weights.generation != self._ring.generation:
            chunks = list(self._ring.chunks())
            self._weights = _Weights.of_chunks(chunks, generation=self._ring.generation)
        names = identifiers_of(surroundings)
        return _Query(names, language, self._weights, self._weights.total(names))

    def _is_stale(self, last: _Choice, line: int, budget_chars: int, allowed: Callable[[str], bool]) -> bool:
        return (
            abs(line - last.anchor_line) > FAR_LINES
            or last.generation != self._ring.generation
            or last.budget_chars != budget_chars
            or not all(allowed(excerpt.path) for excerpt in last.excerpts)
        )

    def _remember(self, path: str, choice: _Choice) -> None:
        self._choices[path] = choice
        self._choices.move_to_end(path)
        while len(self._choices) > _CHOICES_KEPT:
            self._choices.popitem(last=False)


@dataclass(frozen=True)
class _Weights:
    """The weight of each name: ln(1 + chunks / chunks with it). A name in no chunk weighs most."""

    generation: int
    of_name: Mapping[str, float]
    of_chunk: Mapping[int, float]  # by id(): the ring keeps its chunks as long as its generation
    unknown: float

    @classmethod
    def of_chunks(cls, chunks: Sequence[Chunk], *, generation: int) -> _Weights:
        """Count names over all chunks: those that one prompt may use change too often."""
        counts: Counter[str] = Counter()
        for chunk in chunks:
            counts.update(chunk.identifiers)
        weights = {name: math.log1p(len(chunks) / count) for name, count in counts.items()}
        totals = {id(chunk): sum(weights[name] for name in chunk.identifiers) for chunk in chunks}
        return cls(generation, weights, totals, math.log1p(max(len(chunks), 1)))

    def total(self, names: Iterable[str]) -> float:
        """The weight of some names together."""
        return sum(self.of_name.get(name, self.unknown) for name in names)


@dataclass(frozen=True)
class _Query:
    """The names around the cursor, and how chunks compare with them."""

    names: frozenset[str]
    language: str
    weights: _Weights
    weight: float

    def similarity(self, chunk: Chunk) -> float:
        """Weighted Jaccard similarity of the names, less for other languages."""
        common = self.weights.total(chunk.identifiers & self.names)
        if not common:
            return 0.0
        union = self.weight + self.weights.of_chunk[id(chunk)] - common
        return common / union * relatedness(self.language, chunk.language)


def _ranked(candidates: Iterable[Chunk], query: _Query, kept: Sequence[Excerpt]) -> list[Chunk]:
    """The candidates that are similar enough, the best first. Those in use have an advantage."""
    before = {excerpt.path: distinct_lines_of(excerpt.text) for excerpt in kept}
    scored: list[tuple[float, Chunk]] = []
    for chunk in candidates:
        score = query.similarity(chunk)
        if chunk.distinct_lines & before.get(chunk.path, frozenset()):
            score *= _KEPT_BONUS
        if score >= _MIN_SCORE:
            scored.append((score, chunk))
    # sorted() is stable: of two equal ones, the place visited last comes first.
    return [chunk for _, chunk in sorted(scored, key=lambda item: -item[0])]


def _fill(ranked: Sequence[Chunk], query: _Query, budget_chars: int) -> tuple[Excerpt, ...]:
    """Take the best until the budget is full. The most similar comes last."""
    chosen: list[Excerpt] = []
    taken: set[str] = set()
    left = budget_chars
    for chunk in ranked:
        room = left - len(chunk.path) - _HEADER_CHARS
        if room < _MIN_EXCERPT_CHARS:
            break
        excerpt = None if _is_in(chunk, taken) else _excerpt(chunk, query, room)
        if excerpt is not None:
            chosen.append(excerpt)
            taken |= chunk.distinct_lines
            left -= len(excerpt.text) + len(excerpt.path) + _HEADER_CHARS
    return tuple(reversed(chosen))


def _in_their_order(chosen: Sequence[Excerpt], kept: Sequence[Excerpt]) -> tuple[Excerpt, ...]:
    """Those that are in the prompt already come first and as they stood, for the engine's cache."""
    stay = [excerpt for excerpt in kept if excerpt in chosen]
    return (*stay, *(excerpt for excerpt in chosen if excerpt not in stay))


def _excerpt(chunk: Chunk, query: _Query, room: int) -> Excerpt | None:
    """The chunk, or the part that fits and has most of the names around the cursor."""
    if len(chunk.text) <= room:
        return Excerpt(chunk.path, chunk.text, chunk.start_line)
    lines = chunk.text.split("\n")
    gains = [query.weights.total(identifiers_of(line) & query.names) for line in lines]
    best = max(_spans(lines, room), key=lambda span: (sum(gains[span[0] : span[1]]), -span[0]), default=None)
    if best is None:
        return None
    text = "\n".join(lines[best[0] : best[1]])
    return Excerpt(chunk.path, text, chunk.start_line + best[0]) if text.strip() else None


def _spans(lines: Sequence[str], room: int) -> Iterable[tuple[int, int]]:
    """For each first line, the longest run of whole lines that fits into `room` characters."""
    end, used = 0, 0
    for start in range(len(lines)):
        while end < len(lines) and used + len(lines[end]) + 1 <= room:
            used += len(lines[end]) + 1
            end += 1
        if end > start:
            yield start, end
            used -= len(lines[start]) + 1
        else:
            end = start + 1


def _is_in(chunk: Chunk, window: Set[str]) -> bool:
    """Whether the window has most of the chunk's lines."""
    return len(chunk.distinct_lines & window) * 2 > len(chunk.distinct_lines)
