"""Where a completion ends: stop strings, the end of a line or of a block, the suffix reached.

The rules run while the model decodes, so that nothing is decoded that would be cut. They know
indentation, brackets and quotes but no language's grammar, and they err on one side: a rule may
let a few tokens too many pass, it must never turn code that is right into code that is not. What
is emitted depends on the text alone, not on how it was divided between calls of `push`.
Knows nothing about tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from model.errors import RequestError
from model.stopping.block_extent import BlockExtent
from model.stopping.extent import LineExtent
from model.stopping.surroundings import Surroundings
from model.stopping.turn_extent import TurnExtent

# Enough to see the block around the cursor; scanning it takes 0.3 ms.
MAX_PREFIX_CHARS = 4_000
MAX_SUFFIX_CHARS = 2_000


class StopAt(StrEnum):
    """How much of the text a completion may span."""

    LINE = "line"
    BLOCK = "block"
    TURN = "turn"
    """Up to the next turn of a conversation written as text (`model.prompt.dialogue`)."""


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """When to stop. Raises `RequestError` on an empty stop string.

    `prefix_tail` is the end of the text before the cursor (at least its line) and `suffix` the
    beginning of what follows; `path` names the file, for the look of its comments and strings.
    Without `stop_at`, only the stop strings count. See `for_cursor`.
    """

    stop: tuple[str, ...] = ()
    stop_at: StopAt | None = None
    prefix_tail: str = ""
    suffix: str = ""
    path: str | None = None
    closed_tail: str = ""
    """What an editor has put between the cursor and `suffix`: closing brackets, quotes and tags."""
    code_is_quoted: bool = False
    """With `StopAt.TURN`: marks of turns inside fenced code belong to the answer."""

    def __post_init__(self) -> None:
        if not all(self.stop):
            raise RequestError(f"stop = {list(self.stop)!r}: a stop string must not be empty", field="stop")

    @classmethod
    def for_cursor(
        cls,
        prefix: str,
        suffix: str,
        *,
        stop: tuple[str, ...] = (),
        stop_at: StopAt | None = None,
        path: str | None = None,
        closed_tail: str = "",
    ) -> StopRules:
        """Rules for a cursor between two texts of any length, of which the near parts are kept."""
        return cls(
            stop=stop,
            stop_at=stop_at,
            prefix_tail=_tail(prefix),
            suffix=_head(suffix),
            path=path,
            closed_tail=closed_tail,
        )


@dataclass(frozen=True, kw_only=True)
class StopResult:
    """What one piece of text led to. After `finished`, nothing more is emitted."""

    emit: str
    finished: bool = False
    reason: Literal["stop"] | None = None


class Extent(Protocol):
    """A rule about how far a completion reaches."""

    def look(self, text: str, *, ended: bool) -> tuple[int, bool]:
        """Take in the whole text so far: (where it may be emitted to, whether that is its end).

        `ended` says that no more will come. Positions never decrease from call to call.
        """


class StopState:
    """Follows the text of one completion."""

    def __init__(self, rules: StopRules) -> None:
        self._stop = rules.stop
        self._extent = _extent(rules)
        self._text = ""
        self._emitted = 0
        self._finished = False

    def push(self, text: str) -> StopResult:
        """Take in the next piece; returns the part of the text that is now certain to stay."""
        if self._finished:
            return StopResult(emit="", finished=True, reason="stop")
        seen = len(self._text)
        self._text += text
        found = self._find_stop(seen)
        if found is not None:
            self._text, self._finished = self._text[:found], True
            emit = self._emit_to(self._reach(self._text, ended=True)[0])
        else:
            # The extent never sees what may turn out to be cut away.
            visible = self._text[: self._before_partial_stop()]
            end, self._finished = self._reach(visible, ended=False)
            emit = self._emit_to(end)
        return StopResult(emit=emit, finished=self._finished, reason="stop" if self._finished else None)

    def flush(self) -> str:
        """The rest of the text, once the model has ended: what was held back but need not be cut."""
        if self._finished:
            return ""
        self._finished = True
        return self._emit_to(self._reach(self._text, ended=True)[0])

    def _reach(self, text: str, *, ended: bool) -> tuple[int, bool]:
        return (len(text), False) if self._extent is None else self._extent.look(text, ended=ended)

    def _emit_to(self, end: int) -> str:
        emit = self._text[self._emitted : end]
        self._emitted = max(self._emitted, end)
        return emit

    def _find_stop(self, seen: int) -> int | None:
        """Where the stop string begins that was complete first, if any is."""
        best: tuple[int, int] | None = None
        for one in self._stop:
            start = self._text.find(one, max(0, seen - len(one) + 1))
            if start >= 0 and (best is None or (start + len(one), start) < best):
                best = (start + len(one), start)
        return None if best is None else best[1]

    def _before_partial_stop(self) -> int:
        """Where the longest end of the text begins that may become a stop string."""
        limit = len(self._text)
        for one in self._stop:
            for size in range(min(len(one) - 1, len(self._text)), 0, -1):
                if self._text.endswith(one[:size]):
                    limit = min(limit, len(self._text) - size)
                    break
        return limit


def _extent(rules: StopRules) -> Extent | None:
    if rules.stop_at is None:
        return None
    if rules.stop_at is StopAt.TURN:
        return TurnExtent(code_is_quoted=rules.code_is_quoted)
    around = Surroundings(rules.prefix_tail, rules.suffix, rules.path, rules.closed_tail)
    return LineExtent(around) if rules.stop_at is StopAt.LINE else BlockExtent(around)


def _tail(prefix: str) -> str:
    """The end of `prefix` from a line start, one of a top-level line if there is one.

    Such a line is less likely to lie within a string or a bracket than any other.
    """
    if len(prefix) <= MAX_PREFIX_CHARS:
        return prefix
    tail = prefix[-MAX_PREFIX_CHARS:]
    lines = tail.splitlines(keepends=True)
    start = len(lines[0])
    for line in lines[1 : len(lines) // 2]:
        if not line[0].isspace() and line[0] not in ")]}":
            return tail[start:]
        start += len(line)
    return tail[len(lines[0]) :] if len(lines) > 1 else tail


def _head(suffix: str) -> str:
    """The beginning of `suffix`, to a line end."""
    if len(suffix) <= MAX_SUFFIX_CHARS:
        return suffix
    head = suffix[:MAX_SUFFIX_CHARS]
    end = max(head.rfind("\n"), head.rfind("\r"))
    return head[: end + 1] if end >= 0 else head
