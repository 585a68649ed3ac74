"""The pipeline of one completion, from the editor's question to the items it gets.

excluded? → does the typed text fit an earlier suggestion? → debounce → context → engine stream →
filters → confidence gate → check of sources → items. A newer request of a document ends the older one.
Knows neither the editor's protocol nor how the engine is reached.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from lsp.completion.generation import Generation
from lsp.completion.kept import Kept, KeptGenerations
from lsp.completion.reading import Reading, Update, state_of
from lsp.completion.request_clock import RequestClock
from lsp.context.query import QueryMaker, is_single_line
from lsp.documents import debounce
from lsp.documents.place import Place
from lsp.link.engine_link import EngineLink
from lsp.postprocess import CursorContext
from lsp.settings.settings import CompletionSettings, Settings
from lsp.sources.references import Credits
from lsp.status.observer import Observer
from lsp.status.status import State, StatusBoard
from lsp.status.telemetry import LatencyBook
from model.errors import EngineUnavailableError, ModelError

KEPT_KEY_TIMES = 12
OFF = "completions are off (completion.enabled)"

# Checks a text before it is shown at a place. Returns its sources, or why it is withheld.
ItemCheck = Callable[[Place, str], Awaitable[Credits | str]]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question of the editor."""

    place: Place
    explicit: bool = False  # the user pressed a key for it
    can_replace: bool = True  # the client can replace text behind the cursor
    client_debounces: bool = False


@dataclass
class _Run:
    """The request that is being answered for a document."""

    task: asyncio.Task[object]
    superseded: bool = False


class Completer:
    """Completions for all documents of one editor window."""

    def __init__(
        self,
        *,
        link: EngineLink,
        board: StatusBoard,
        book: LatencyBook,
        settings_at: Callable[[Place], Settings],
        why_excluded: Callable[[Place], str | None],
        queries: QueryMaker,
        check: ItemCheck,
        observer: Observer,
    ) -> None:
        self._settings_at = settings_at
        self._check = check
        self._link = link
        self._board = board
        self._book = book
        self._why_excluded = why_excluded
        self._queries = queries
        self._observer = observer
        self._runs: dict[str, _Run] = {}
        self._kept = KeptGenerations()
        self._key_times_s: deque[float] = deque(maxlen=KEPT_KEY_TIMES)

    def key_pressed(self) -> None:
        """A document was edited. The debounce depends on the typing speed."""
        self._key_times_s.append(time.monotonic())

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next request on."""
        self._kept.clear()
        self._board.exclude(None if settings.completion.enabled else OFF)

    def forget(self, uri: str) -> None:
        """A document was closed: what runs for it ends at once."""
        if (run := self._runs.get(uri)) is not None:
            run.superseded = True
            run.task.cancel()
        self._kept.forget(uri)

    async def aclose(self) -> None:
        """Stop everything that runs."""
        for run in self._runs.values():
            run.task.cancel()
        await self._kept.aclose()

    async def suggest(self, ask: Ask) -> AsyncGenerator[Update, None]:
        """Stream the suggestions for one question. Closing the generator cancels the request.

        A failing engine ends the stream early; status and observer say why.
        """
        clock = RequestClock()
        self._book.requested()
        settings = self._settings_at(ask.place)
        completion = settings.completion
        if self._is_excluded(ask.place, enabled=completion.enabled):
            return
        async with self._only(ask.place):
            kept = self._kept.find(
                state_of(ask.place),
                asked_again=ask.explicit,
                random=completion.temperature > 0,
            )
            while True:
                is_new = kept is None
                if kept is None:
                    clock.delay_ms = self._delay_ms(ask, completion)
                    await asyncio.sleep(clock.delay_ms / 1e3)
                    if not ask.place.is_current:
                        self._tell(ask.place, "not answered: the document has changed meanwhile")
                        return
                    kept = self._begin(ask, completion)
                self._tell(ask.place, "the engine is asked" if is_new else "an earlier answer goes on")
                readings = self._readings(kept, ask, completion)
                updates = self._follow(kept, readings, ask.place, withholds=settings.attribution.withholds)
                async with aclosing(updates):
                    async for update in updates:
                        if clock.is_first(update):
                            self._board.measured(clock.now_ms())
                        yield clock.stamped(update, kept.generation.timings)
                is_answered = is_new or not all(reading.is_misfit for reading in readings)
                if is_answered or kept.generation.error is not None:
                    break
                # It agreed with the typed text only as far as it had come.
                self._tell(ask.place, "the earlier answer went another way")
                kept = None
            self._account(kept.generation, clock, is_new=is_new)

    def _is_excluded(self, place: Place, *, enabled: bool) -> bool:
        reason = self._why_excluded(place) if enabled else OFF
        self._board.exclude(reason)
        if reason is not None:
            self._tell(place, f"not answered: {reason}")
            self._book.not_shown("excluded" if enabled else "disabled")
        return reason is not None

    @asynccontextmanager
    async def _only(self, place: Place) -> AsyncIterator[None]:
        """Answer one request of a document at a time: the earlier one ends without an error."""
        uri = place.uri
        task = asyncio.current_task()
        assert task is not None
        run = _Run(task)
        if (previous := self._runs.get(uri)) is not None:
            previous.superseded = True
            previous.task.cancel()
        self._runs[uri] = run
        try:
            yield
        except asyncio.CancelledError:
            self._book.cancelled()
            self._tell(place, "another question came" if run.superseded else "cancelled")
            if not run.superseded:
                raise
            task.uncancel()
        finally:
            if self._runs.get(uri) is run:
                del self._runs[uri]

    def _delay_ms(self, ask: Ask, completion: CompletionSettings) -> int:
        place = ask.place
        return debounce.debounce_ms(
            debounce.CursorLine(
                line_before=place.line_before,
                line_tail=place.line_tail,
                at_document_end=not place.after.strip(),
            ),
            key_gaps_ms=[(later - earlier) * 1e3 for earlier, later in pairwise(self._key_times_s)],
            responses_ms=self._book.recent_total_ms(),
            setting=completion.debounce_ms,
            client_debounces=ask.client_debounces,
            manual=ask.explicit,
        )

    def _begin(self, ask: Ask, completion: CompletionSettings) -> Kept:
        """Ask the engine."""
        single_line = is_single_line(ask.place, multiline=completion.multiline, explicit=ask.explicit)
        query = self._queries.make(ask.place, completion, single_line=single_line)
        generation = Generation(self._link.stream(query), n=query.n)
        kept = Kept(origin=state_of(ask.place), generation=generation, single_line=single_line)
        self._kept.add(kept)
        return kept

    async def _follow(
        self, kept: Kept, readings: list[Reading], place: Place, *, withholds: bool
    ) -> AsyncGenerator[Update, None]:
        """Read a generation from a place, until all alternatives are done. A misfit yields nothing."""
        generation = kept.generation
        texts: set[str] = set()
        with generation.reader(), self._board.busy():
            async with aclosing(generation.progress()) as progress:
                async for _ in progress:
                    for reading, alternative in zip(readings, generation.alternatives, strict=True):
                        update = reading.look(alternative, ended=generation.finished)
                        if update is None:
                            continue
                        if update.done:
                            generation.conclude(reading.index, "length" if update.item else "cancelled")
                        if reading.is_misfit:
                            continue
                        if update.item is not None and not withholds and update.item.text not in texts:
                            # A client that streams need not wait for the check, which only adds to the item.
                            yield replace(update, done=False, item=None)
                        yield await self._checked(place, update, texts, withholds=withholds)
                    if all(reading.done for reading in readings):
                        return

    def _readings(self, kept: Kept, ask: Ask, completion: CompletionSettings) -> list[Reading]:
        place = ask.place
        context = CursorContext.at(
            prefix=place.before,
            suffix=place.after,
            language=place.language,
            manual=ask.explicit,
            can_replace=ask.can_replace,
            from_file_start=place.from_file_start,
        )
        threshold = 0.0 if ask.explicit else completion.confidence_threshold
        return [
            Reading(index, origin=kept.origin, place=place, context=context, threshold=threshold)
            for index in range(len(kept.generation.alternatives))
        ]

    async def _checked(self, place: Place, update: Update, texts: set[str], *, withholds: bool) -> Update:
        """Have an item checked, and count what is dropped. `texts` are the earlier items'."""
        item, dropped_by = update.item, update.dropped_by
        if item is not None and item.text in texts:
            item, dropped_by = None, "the same as another"
        if item is not None:
            found = await self._check(place, item.text)
            if isinstance(found, str):
                item, dropped_by = None, found
            else:
                item = replace(item, references=found.references, label=found.label)
        if item is not None:
            texts.add(item.text)
        elif update.done:
            self._book.not_shown(dropped_by or "")
            self._tell(place, f"alternative {update.index + 1} is kept back: {dropped_by or 'no text'}")
            text = "" if withholds else update.text
            return replace(update, text=text, shown="", item=None, dropped_by=dropped_by)
        elif withholds:
            return replace(update, text="", shown="")
        return replace(update, item=item)

    def _account(self, generation: Generation, clock: RequestClock, *, is_new: bool) -> None:
        """Enter a finished answer into the book and the status."""
        error = generation.error
        if error is None:
            self._board.proven()
            if is_new:
                self._book.completed(clock.timing(generation.timings, self._board.current.model))
            else:
                self._book.typed_through()
            return
        self._book.failed()
        if not isinstance(error, ModelError):
            raise error
        self._observer.failed(error)
        if not isinstance(error, EngineUnavailableError):  # the link has told those
            self._board.set(State.ERROR, str(error))

    def _tell(self, place: Place, what: str) -> None:
        """Trace a step. Lines and columns count from 1; no text of the document is told."""
        name = place.uri.rsplit("/", 1)[-1]
        self._observer.trace(
            f"{name}:{place.line + 1}:{len(place.line_before) + 1} (version {place.version}): {what}"
        )
