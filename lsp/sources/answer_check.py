"""Looks up the code of an assistant's answer: what is it a copy of, and may it be shown?

Each fenced block is looked up by itself, an answer without any as a whole. Where copies are withheld,
code that could not be checked is withheld too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lsp.documents.documents import columns_of
from lsp.sources.references import Reference, references_in
from lsp.sources.shown_check import BLOCKED, UNCHECKED
from lsp.sources.store import SearchAnswer
from model.fences import code_blocks

if TYPE_CHECKING:
    from lsp.sources.attribution import Attribution


@dataclass(frozen=True, kw_only=True)
class CheckedAnswer:
    """An answer as it may be shown. `withheld` says why a part is missing; None if it is whole."""

    text: str
    references: Sequence[Reference] = ()
    withheld: str | None = None


class AnswerFilter(Protocol):
    """How answers are checked."""

    @property
    def is_strict(self) -> bool:
        """Whether text may be shown only after the check."""

    async def check(self, text: str) -> CheckedAnswer:
        """Look up the code in a text."""


class AnswerCheck:
    """By the window's attribution."""

    def __init__(self, attribution: Attribution) -> None:
        self._attribution = attribution

    @property
    def is_strict(self) -> bool:
        """See `AnswerFilter`."""
        return self._attribution.is_strict

    async def check(self, text: str) -> CheckedAnswer:
        """See `AnswerFilter`."""
        is_strict = self.is_strict
        references: list[Reference] = []
        shown, withheld, end_of_last = "", None, 0
        for start, end in _parts(text):
            found = await self._attribution.look_up(text[start:end])
            here = [] if found is None else self._references(text, start, end, found)
            references += here
            reason = _reason(found, here, self._attribution.on_match) if is_strict else None
            if reason is not None:
                shown += text[end_of_last:start] + f"({reason})\n"
                withheld, end_of_last = reason, end
        return CheckedAnswer(
            text=shown + text[end_of_last:],
            # References would point at text that is missing.
            references=() if withheld else references,
            withheld=withheld,
        )

    def _references(self, text: str, start: int, end: int, found: SearchAnswer) -> list[Reference]:
        data = text[start:end].encode("utf-8", "surrogatepass")
        n_before = columns_of(text[:start], "utf-16")
        inside = references_in(data, 0, found.findings, model=self._attribution.model)
        return [replace(one, start=one.start + n_before, end=one.end + n_before) for one in inside]


def _parts(text: str) -> list[tuple[int, int]]:
    """Where the code is; the whole text if it has no blocks, for it may be code all the same."""
    blocks = [(block.start, block.end) for block in code_blocks(text)]
    return blocks or [(0, len(text))]


def _reason(found: SearchAnswer | None, references: Sequence[Reference], on_match: str) -> str | None:
    """Why a part must not be shown, or None."""
    if found is None:
        return f"{UNCHECKED}: the index does not answer"
    if found.kind == "none":
        return f"{UNCHECKED}: {found.lack}"
    withheld = next((one for one in references if one.finding.is_withheld(on_match)), None)
    return None if withheld is None else f"{BLOCKED}: {withheld.label}"
