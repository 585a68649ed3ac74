"""Looks each suggestion up before it is shown: what is it a copy of, and may it be shown?

The suggestion is looked up together with the lines before it, so that a copy which the user began is
found too; only what overlaps the suggestion counts. The check never waits long, unless copies are to be
withheld: then a suggestion is shown only after its check.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lsp.documents.documents import file_path
from lsp.documents.place import Place, well_formed
from lsp.postprocess.suggestion import to_lf
from lsp.sources.references import Credits, references_in
from lsp.sources.store import WITHHOLDING, AttributionStore, SearchAnswer
from model.languages.words import words_and_marks

if TYPE_CHECKING:
    from lsp.status.telemetry import LatencyBook
    from lsp.status.worker import Worker

# An index on this disk answers in a few milliseconds. A server, or the opening of an index, may take
# longer; the suggestion is then shown without references.
WAIT_S = 0.15
# Where copies are withheld. A newer key ends the wait anyway.
STRICT_WAIT_S = 10.0
BLOCKED = "blocked by attribution"
UNCHECKED = "not checked by attribution"
# How much of the lines before is looked up too: enough to recognise a copy across the cursor.
_CONTEXT_TOKENS = 128
_CONTEXT_LINES = 40
_CONTEXT_CHARS = 6_000


class ShownCheck:
    """The completer's check. `tell` gets a sentence for the status when something is withheld."""

    def __init__(
        self,
        *,
        store: AttributionStore,
        worker: Worker,
        book: LatencyBook,
        on_match: Callable[[Place], str],
        tell: Callable[[str], None],
        log: Callable[[str], None],
        why_not: Callable[[str, str], str | None],
    ) -> None:
        self.store = store
        self._worker = worker
        self._book = book
        self._on_match = on_match
        self._tell = tell
        self._log = log
        self._why_not = why_not
        self._late: asyncio.Future[SearchAnswer] | None = None
        self._logged: set[str] = set()

    async def __call__(self, place: Place, suggested: str) -> Credits | str:
        """The sources of what is suggested at a place, or why it is withheld."""
        text, start_byte = checked_text(place, suggested)
        on_match = self._on_match(place)
        is_strict = on_match in WITHHOLDING
        if (reason := self._why_not(place.uri, text.decode())) is not None:
            answer: SearchAnswer | None = SearchAnswer(kind="none", lack=reason)
        else:
            answer = await self._answer(text, file_path(place.uri), is_strict=is_strict)
        if answer is None or answer.kind == "none":
            return self._unchecked(answer, is_strict=is_strict)
        model = self.store.where.model or ""
        references = references_in(text, start_byte, answer.findings, model=model)
        if not references:
            return Credits()
        self._book.attributed()
        label = references[0].label
        if any(reference.finding.is_withheld(on_match) for reference in references):
            self._tell(f"{BLOCKED}: {label}")
            return BLOCKED
        return Credits(references=tuple(references), label=None if on_match == "show" else label)

    async def _answer(self, text: bytes, file: Path | None, *, is_strict: bool) -> SearchAnswer | None:
        """What the store says; None if it takes too long."""
        if not is_strict and self._late is not None and not self._late.done():
            self._book.check_late()
            return None
        started_s = time.perf_counter()
        future = self._worker.submit(partial(self.store.search, text, by_hand=False, file=file))
        try:
            async with asyncio.timeout(STRICT_WAIT_S if is_strict else WAIT_S):
                answer = await asyncio.shield(future)
        except TimeoutError:
            self._late = future
            self._book.check_late()
            where = self.store.where.index or "the index"
            self._once(f"attribution: {where} takes too long; suggestions are shown unchecked")
            return None
        if answer.kind != "none":
            self._book.checked((time.perf_counter() - started_s) * 1e3, by_hand=False)
        return answer

    def _unchecked(self, answer: SearchAnswer | None, *, is_strict: bool) -> Credits | str:
        reason = "the index does not answer" if answer is None else answer.lack
        if not is_strict:
            # A missing index is worth a note only where the user has set one.
            if answer is not None and self.store.where.index is not None:
                self._once(f"attribution: suggestions are not checked: {reason}")
            return Credits()
        self._tell(f"{UNCHECKED} (attribution.onMatch is block): {reason}")
        return UNCHECKED

    def _once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            self._log(message)


def checked_text(place: Place, suggested: str) -> tuple[bytes, int]:
    """The lines before a place with the text to insert there, and the byte at which that begins."""
    before = to_lf(place.before[: len(place.before) - len(place.lead)])[-_CONTEXT_CHARS:]
    lines = before.split("\n")
    first = len(lines) - 1
    n_tokens = 0
    # Whole lines above the cursor's, which stay the same while the user types through the suggestion.
    while first > 0 and len(lines) - first <= _CONTEXT_LINES and n_tokens < _CONTEXT_TOKENS:
        first -= 1
        n_tokens += len(words_and_marks(lines[first]))
    context = "\n".join(lines[first:]).encode()
    return context + well_formed(place.lead + suggested).encode(), len(context)
