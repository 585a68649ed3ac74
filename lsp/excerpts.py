"""Which excerpts of other places go into a prompt: the most similar ones, and the same ones again.

Ranked by weighted Jaccard similarity of identifiers with the cursor's surroundings (a name that is
everywhere weighs little). The choice is made anew only when the cursor has moved far or other
documents have changed, and then prefers what it had: excerpts come first in the prompt, so any
change of them costs the engine its whole cache.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lsp.context_ring import FAR_LINES, Chunk, ContextRing, distinct_lines_of, identifiers_of
from lsp.languages import relatedness

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
    """Chooses, and remembers per document what it chose."""

    def __init__(self, ring: ContextRing) -> None:
        self._ring = ring
        self._choices: OrderedDict[str, _Choice] = OrderedDict()

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
        """The excerpts for a cursor, the most similar last (nearest to the cursor's own text).

        `window_lines` are the lines of the document that the prompt has anyway (first, end);
        `allowed` says of a path whether its text may be used, and is asked every time.
        """
        last = self._choices.get(path)
        if last is not None and not self._is_stale(last, line, budget_chars, allowed):
            return last.excerpts
        kept = last.excerpts if last is not None else ()
        query = identifiers_of("".join(lines[max(line - _LINES_ABOVE, 0) : line + _LINES_BELOW]))
        window = distinct_lines_of("".join(lines[slice(*window_lines)]))
        candidates = [
            chunk for chunk in self._ring.chunks() if allowed(chunk.path) and not _is_in(chunk, window)
        ]
        ranked = _ranked(candidates, query, language, kept)
        chosen = _fill(ranked, query, budget_chars)
        if set(chosen) == set(kept):
            chosen = kept
        self._remember(path, _Choice(line, self._ring.generation, budget_chars, chosen))
        return chosen

    def forget(self, path: str) -> None:
        """A document was closed."""
        self._choices.pop(path, None)

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
class _Ranked:
    chunk: Chunk
    score: float
    weights: Mapping[str, float]


def _ranked(
    candidates: Sequence[Chunk], query: frozenset[str], language: str, kept: Iterable[Excerpt]
) -> list[_Ranked]:
    counts = Counter(name for chunk in candidates for name in chunk.identifiers)
    weights = {name: math.log1p(len(candidates) / count) for name, count in counts.items()}
    before = {(excerpt.path, line) for excerpt in kept for line in distinct_lines_of(excerpt.text)}
    ranked: list[_Ranked] = []
    for chunk in candidates:
        score = _similarity(chunk.identifiers, query, weights) * relatedness(language, chunk.language)
        if any((chunk.path, line) in before for line in chunk.distinct_lines):
            score *= _KEPT_BONUS
        if score >= _MIN_SCORE:
            ranked.append(_Ranked(chunk, score, weights))
    # sorted() is stable: of two equal ones, the place visited last comes first.
    return sorted(ranked, key=lambda item: -item.score)


def _similarity(names: frozenset[str], query: frozenset[str], weights: Mapping[str, float]) -> float:
    """Weighted Jaccard similarity; a name that no chunk has weighs as one that a single chunk has."""
    rare = max(weights.values(), default=1.0)
    common = sum(weights[name] for name in names & query)
    return common / (sum(weights.get(name, rare) for name in names | query) or 1.0)


def _fill(ranked: Sequence[_Ranked], query: frozenset[str], budget_chars: int) -> tuple[Excerpt, ...]:
    """Take from the best down until the budget is full; the most similar comes last."""
    chosen: list[Excerpt] = []
    taken: set[str] = set()
    left = budget_chars
    for item in ranked:
        room = left - len(item.chunk.path) - _HEADER_CHARS
        if room < _MIN_EXCERPT_CHARS:
            break
        if (
            item.chunk.distinct_lines
            and len(item.chunk.distinct_lines & taken) > len(item.chunk.distinct_lines) / 2
        ):
            continue
        excerpt = _excerpt(item, query, room)
        if excerpt is not None:
            chosen.append(excerpt)
            taken |= item.chunk.distinct_lines
            left -= len(excerpt.text) + len(excerpt.path) + _HEADER_CHARS
    return tuple(reversed(chosen))


def _excerpt(item: _Ranked, query: frozenset[str], room: int) -> Excerpt | None:
    """The chunk, or the part of it that fits and has most of the cursor's names."""
    chunk = item.chunk
    if len(chunk.text) <= room:
        return Excerpt(chunk.path, chunk.text, chunk.start_line)
    lines = chunk.text.split("\n")
    gains = [sum(item.weights[name] for name in identifiers_of(line) & query) for line in lines]
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


def _is_in(chunk: Chunk, window: frozenset[str]) -> bool:
    """Whether the prompt has most of the chunk anyway, as the window's own text or a copy of it."""
    return len(chunk.distinct_lines & window) * 2 > len(chunk.distinct_lines)
