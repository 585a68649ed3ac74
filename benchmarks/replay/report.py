"""The answers as tables: by what a key does, how long each editor's engine took."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.engine.contender import percentile_95
from benchmarks.replay.editors import EngineStart, KeyAnswer
from benchmarks.replay.session import Key
from benchmarks.tables import table

OURS = "ours"
_TICK_MS = 10.0  # what processor time is counted in


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """All answers of a run, and how the engines started."""

    model: str
    threads: int
    answers: Sequence[KeyAnswer]
    starts: Mapping[str, EngineStart]
    max_new_tokens: int | None = None

    @property
    def _limit(self) -> str:
        return f" (at most {self.max_new_tokens} tokens)" if self.max_new_tokens else ""

    @property
    def editors(self) -> list[str]:
        """The names, in the order of the tables."""
        return list(self.starts)

    def times(self, editor: str, key: Key | None, of: Callable[[KeyAnswer], float]) -> list[float]:
        """Of the keys of a kind, or of all."""
        return [of(one) for one in self.answers if one.editor == editor and key in (None, one.key)]

    def markdown(self) -> str:
        """Median (95th percentile) to the first text and to the end; computed tokens; ratios."""
        kinds = [key for key in Key if self.times(OURS, key, _first)]
        n_keys = len(self.times(OURS, None, _first))
        counts = [f"{key} ({len(self.times(OURS, key, _first))})" for key in kinds]
        lines = [f"{self.model}, {n_keys} keys, {self.threads} threads, p50 (p95)", ""]
        for title, of in (
            ("to the first text, ms", _first),
            (f"to the answer's end{self._limit}, ms", _whole),
            (f"processor time{self._limit}, ms", _processor),
            ("tokens of the prompt computed", _computed),
        ):
            rows = [self._row(one, kinds, of) for one in self.editors]
            lines += [*table([title, *counts, "all"], rows), ""]
        lines += table(
            ["", "first line right", "ready after", "peak memory"],
            [
                [one, self._right(one), f"{start.ready_s:.2f} s", f"{start.peak_mb:,.0f} MB"]
                for one, start in self.starts.items()
            ],
        )
        peers = [one for one in self.editors if one != OURS]
        if peers:
            head = ["times ours, to the first text (of the processor)", *map(str, kinds), "p95 of all"]
            lines += ["", *table(head, [self._ratios(one, kinds) for one in peers])]
        return "\n".join(lines)

    def _row(self, editor: str, kinds: Sequence[Key], of: Callable[[KeyAnswer], float]) -> list[str]:
        by_kind = [self.times(editor, key, of) for key in (*kinds, None)]
        return [editor, *(f"{statistics.median(each):,.0f} ({percentile_95(each):,.0f})" for each in by_kind)]

    def _ratios(self, peer: str, kinds: Sequence[Key]) -> list[str]:
        return [
            peer,
            *(self._ratio(peer, key, statistics.median) for key in kinds),
            self._ratio(peer, None, percentile_95),
        ]

    def _ratio(self, peer: str, key: Key | None, figure: Callable[[list[float]], float]) -> str:
        first, processor = (
            figure(self.times(peer, key, of)) / max(figure(self.times(OURS, key, of)), least)
            for of, least in ((_first, 0.0), (_processor, _TICK_MS))
        )
        return f"{first:.1f} ({processor:.1f})"

    def _right(self, editor: str) -> str:
        """The share of answers that are right, where they were not cut."""
        if self.max_new_tokens:
            return "–"
        known = [one.is_right for one in self.answers if one.editor == editor and one.is_right is not None]
        return f"{sum(known) / len(known):.0%}"


def _first(answer: KeyAnswer) -> float:
    return answer.first_ms


def _whole(answer: KeyAnswer) -> float:
    return answer.whole_ms


def _processor(answer: KeyAnswer) -> float:
    return answer.processor_ms


def _computed(answer: KeyAnswer) -> float:
    return answer.computed_tokens
