"""The pipeline by itself: an engine in memory, real documents, no protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from lsprotocol import types

from lsp.completion.completion import Ask, Completer, ItemCheck
from lsp.completion.reading import Update
from lsp.context.query import QueryMaker
from lsp.documents.documents import Document, Documents
from lsp.documents.place import Place, find_place
from lsp.link.engine_link import EngineLink
from lsp.settings.settings import CompletionSettings, Settings
from lsp.sources.references import Credits
from lsp.status.observer import Observer
from lsp.status.status import State, Status, StatusBoard
from lsp.status.telemetry import LatencyBook
from model.client.chat import ChatQuery
from model.client.client import CompletionClient, CompletionDelta, CompletionQuery, EngineHealth
from model.errors import EngineUnavailableError, ModelError, RequestError

URI = "file:///project/a.py"


def said(*texts: str, index: int = 0, logprob: float = -0.01, reason: str = "stop") -> list[CompletionDelta]:
    """One alternative's deltas, a token each."""
    deltas = [CompletionDelta(index=index, text=text, logprobs=(logprob,)) for text in texts]
    timings = {"queue_ms": 1.0, "prefill_ms": 2.0, "decode_ms": 3.0, "prompt_tokens": 9, "cached_tokens": 8}
    return [*deltas, CompletionDelta(index=index, text="", finish_reason=reason, timings=timings)]


Step = CompletionDelta | Exception | asyncio.Event  # told, raised, waited for


@dataclass
class MemoryEngine:
    """An engine (`lsp.link.engines.Engine`) and its client in one."""

    answer: Callable[[CompletionQuery], Sequence[Step]] = lambda query: said("pass")
    queries: list[CompletionQuery] = field(default_factory=list)
    n_closed_early: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ensured: list[ModelError | None] = field(default_factory=list)  # outcomes of the next `ensure`s

    async def ensure(self, tell: Callable[[str], None]) -> MemoryEngine:
        failure = self.ensured.pop(0) if self.ensured else None
        if failure is not None:
            raise failure
        return self

    def watched(self, client: CompletionClient) -> AbstractContextManager[None]:
        return nullcontext()

    async def stop(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def health(self) -> EngineHealth:
        return EngineHealth(status="ok", model="memory")

    def chat(self, query: ChatQuery) -> AsyncGenerator[CompletionDelta, None]:
        raise AssertionError("a completer asks no questions")

    async def complete(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        self.queries.append(query)
        ended = False
        try:
            for step in self.answer(query):
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    ended = True
                    raise step
                else:
                    ended = step.finish_reason is not None
                    yield step
        finally:
            self.n_closed_early += not ended
            self.news.set()


@dataclass
class Bench:
    """A completer with everything around it."""

    engine: MemoryEngine
    completer: Completer
    book: LatencyBook
    link: EngineLink
    documents: Documents
    told: list[Status]

    def state(self) -> State:
        return self.told[-1].state

    def open(self, marked: str) -> Document:
        before, after = marked.split("║")
        item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text=before + after)
        self.documents.put_text_document(item)
        document = self.documents.open_document(URI)
        assert document is not None
        self.line, self.start_char = before.count("\n"), len(before) - before.rfind("\n") - 1
        return document

    def type(self, text: str) -> None:
        at = types.Position(self.line, self.start_char)
        document = self.documents.open_document(URI)
        assert document is not None
        identifier = types.VersionedTextDocumentIdentifier(version=(document.version or 0) + 1, uri=URI)
        change = types.TextDocumentContentChangePartial(range=types.Range(at, at), text=text)
        self.documents.update_text_document(identifier, change)
        self.start_char += len(text)

    def ask(self, *, explicit: bool = False) -> Ask:
        document = self.documents.open_document(URI)
        assert document is not None
        return Ask(place=find_place(document, self.line, self.start_char), explicit=explicit)

    async def updates(self, *, explicit: bool = False) -> list[Update]:
        async with aclosing(self.completer.suggest(self.ask(explicit=explicit))) as updates:
            return [update async for update in updates]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for statuses and ends of streams until a condition holds."""
        async with asyncio.timeout(60):
            while not condition():
                self.engine.news.clear()
                await self.engine.news.wait()

    async def texts(self, *, explicit: bool = False) -> list[str]:
        return [update.item.text for update in await self.updates(explicit=explicit) if update.item]


async def no_check(place: Place, text: str) -> Credits | str:
    return Credits()


@asynccontextmanager
async def bench(
    engine: MemoryEngine | None = None,
    *,
    patience_s: float = 60.0,
    check: ItemCheck = no_check,
    **completion: Any,
) -> AsyncIterator[Bench]:
    engine = engine or MemoryEngine()
    told: list[Status] = []

    def tell(status: Status) -> None:
        told.append(status)
        engine.news.set()

    board = StatusBoard(tell)
    link = EngineLink(engine, board, on_connected=lambda health: None, patience_s=patience_s)
    settings = Settings(completion=replace(CompletionSettings(debounce_ms=0), **completion))
    queries = QueryMaker(is_allowed=lambda path: True, roots=lambda: [Path("/project")])
    book = LatencyBook()
    documents = Documents(None, folders=[], encoding="utf-32")
    completer = Completer(
        link=link,
        board=board,
        book=book,
        settings_at=lambda place: settings,
        why_excluded=lambda place: None,
        queries=queries,
        check=check,
        observer=Observer(),
    )
    try:
        yield Bench(engine, completer, book, link, documents, told)
    finally:
        await completer.aclose()
        await link.aclose()


async def test_the_latency_book_gets_our_times_and_the_engines() -> None:
    async with bench() as b:
        b.open("x = ║\n")
        assert await b.texts() == ["pass"]
        report = b.book.report()
        assert report["requested"] == report["completions"] == 1
        assert report["latencyMs"]["prefill"]["p50"] == 2.0
        assert report["latencyMs"]["first"]["p50"] > 0
        assert report["kvHitRate"] == round(8 / 9, 4)


async def test_the_question_is_one_line_or_a_block_as_the_place_asks() -> None:
    async with bench() as b:
        for marked, explicit in (("x = ║\n", False), ("x = ║\n", True), ("def f():\n    ║\n", False)):
            b.open(marked)
            await b.texts(explicit=explicit)
        b.open("f(║, b)\n")
        await b.texts(explicit=True)
    assert [query.stop_at for query in b.engine.queries] == ["line", "block", "block", "line"]


async def test_alternatives_that_say_the_same_are_shown_once() -> None:
    engine = MemoryEngine(lambda query: [*said("a()", index=0), *said("b()", index=1), *said("a()", index=2)])
    async with bench(engine, alternatives=3) as b:
        b.open("x = ║\n")
        assert await b.texts() == ["a()", "b()"]
        assert b.book.report()["notShown"] == {"the same as another": 1}


async def test_a_check_may_name_the_sources_of_what_is_about_to_be_shown_or_keep_it_back() -> None:
    async def check(place: Place, text: str) -> Credits | str:
        assert place.uri == URI
        return "too loud" if text == "LOUD()" else Credits(label=f"from {text}")

    engine = MemoryEngine(lambda query: [*said("LOUD()", index=0), *said("soft()", index=1)])
    async with bench(engine, alternatives=2, check=check) as b:
        b.open("x = ║\n")
        items = [update.item for update in await b.updates() if update.item]
        assert [(item.text, item.label) for item in items] == [("soft()", "from soft()")]
        assert b.book.report()["notShown"] == {"too loud": 1}


async def test_an_unsure_suggestion_is_given_up_as_soon_as_that_is_clear() -> None:
    never = asyncio.Event()
    unsure = [CompletionDelta(index=0, text="x", logprobs=(-3.0,)) for _ in range(8)]
    async with bench(MemoryEngine(lambda query: [*unsure, never]), confidence_threshold=0.5) as b:
        b.open("x = ║\n")
        assert [update.dropped_by for update in await b.updates()] == ["confidence"]
        await b.until(lambda: b.engine.n_closed_early == 1)


async def test_a_suggestion_that_only_repeats_itself_is_stopped() -> None:
    never = asyncio.Event()
    loop = [CompletionDelta(index=0, text="print(value)\n", logprobs=(-0.1,)) for _ in range(40)]
    async with bench(MemoryEngine(lambda query: [*loop, never])) as b:
        b.open("║\n")
        updates = await asyncio.wait_for(b.updates(), 60)
        assert updates[-1].done
        await b.until(lambda: b.engine.n_closed_early == 1)


async def test_an_explicit_request_asks_again_where_the_automatic_one_was_short() -> None:
    async with bench() as b:
        b.open("x = ║\n")
        await b.texts()
        await b.texts()
        assert len(b.engine.queries) == 1
        await b.texts(explicit=True)
        await b.texts(explicit=True)
    assert [query.stop_at for query in b.engine.queries] == ["line", "block"]


async def test_an_unread_stream_ends_after_a_while_and_a_read_one_does_not() -> None:
    never = asyncio.Event()
    async with bench(MemoryEngine(lambda query: [*said("val", "ue")[:1], never])) as b:
        b.open("x = ║\n")
        for text in ("", "v"):
            b.type(text)
            async with aclosing(b.completer.suggest(b.ask())) as updates:
                await anext(updates)
        assert len(b.engine.queries) == 1
        assert b.engine.n_closed_early == 0
        await b.until(lambda: b.engine.n_closed_early == 1)
        # A torso is not offered again.
        b.engine.answer = lambda query: said("alue")
        assert await b.texts() == ["alue"]


async def test_a_closed_document_forgets_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp.completion.generation.GRACE_S", 3600.0)
    never = asyncio.Event()
    async with bench(MemoryEngine(lambda query: [*said("val")[:1], never])) as b:
        b.open("x = ║\n")
        async with aclosing(b.completer.suggest(b.ask())) as updates:
            await anext(updates)
        b.completer.forget(URI)
        await b.until(lambda: b.engine.n_closed_early == 1)


async def test_a_bad_request_is_an_error_status_until_something_works() -> None:
    async with bench(MemoryEngine(lambda query: [RequestError("temperature = 9", field="temperature")])) as b:
        b.open("x = ║\n")
        assert await b.texts() == []
        assert b.state() is State.ERROR
        assert "temperature = 9" in b.told[-1].message
        b.engine.answer = lambda query: said("fine()")
        assert await b.texts() == ["fine()"]
        assert b.state() is State.READY
        assert b.book.report()["failed"] == 1


async def test_a_programming_error_is_not_swallowed() -> None:
    async with bench(MemoryEngine(lambda query: [ZeroDivisionError()])) as b:
        b.open("x = ║\n")
        with pytest.raises(ZeroDivisionError):
            await b.texts()


async def test_an_engine_that_ended_while_idle_is_replaced_without_a_word() -> None:
    answers: list[Sequence[Step]] = [said("one()"), [EngineUnavailableError("gone")], said("two()")]
    async with bench(MemoryEngine(lambda query: answers.pop(0))) as b:
        b.open("x = ║\n")
        assert await b.texts() == ["one()"]
        b.type("y")
        assert await b.texts() == ["two()"]
        assert b.book.report()["failed"] == 0


async def test_an_engine_that_cannot_be_started_fails_at_once_and_again_only_after_a_pause() -> None:
    engine = MemoryEngine(ensured=[EngineUnavailableError("no weights")] * 2)
    async with bench(engine) as b:
        b.open("x = ║\n")
        assert await b.texts() == []
        assert await b.texts() == []  # within the back-off: not even tried
        assert len(engine.ensured) == 1
        assert (b.told[-1].state, b.told[-1].message) == (State.OFFLINE, "no weights")
        # Without any request it is tried again, with growing pauses, until it works.
        await b.until(lambda: b.told[-1].state is State.READY)
        assert await b.texts() == ["pass"]


async def test_a_model_that_does_not_exist_is_not_tried_again_by_itself() -> None:
    engine = MemoryEngine(ensured=[ModelError("no such model")])
    async with bench(engine) as b:
        b.link.start()
        await b.until(lambda: bool(b.told) and b.told[-1].state is State.ERROR)
        await b.link.restart()
        b.open("x = ║\n")
        assert await b.texts() == ["pass"]


async def test_a_cancelled_request_does_not_cancel_the_connection_that_others_wait_for() -> None:
    gate = asyncio.Event()

    class Slow(MemoryEngine):
        async def ensure(self, tell: Callable[[str], None]) -> MemoryEngine:
            await gate.wait()
            return self

    async with bench(Slow()) as b:
        b.open("x = ║\n")
        first = asyncio.create_task(b.texts())
        await asyncio.sleep(0)
        second = asyncio.create_task(b.texts())  # supersedes the first
        assert await first == []
        gate.set()
        assert await second == ["pass"]


async def test_a_request_does_not_wait_forever_for_an_engine_that_is_starting() -> None:
    gate = asyncio.Event()

    class Slow(MemoryEngine):
        async def ensure(self, tell: Callable[[str], None]) -> MemoryEngine:
            await gate.wait()
            return self

    async with bench(Slow(), patience_s=0.01) as b:
        b.open("x = ║\n")
        assert await b.texts() == []
        assert b.state() is State.STARTING
        gate.set()
        await b.until(lambda: b.told[-1].state is State.READY)
        assert await b.texts() == ["pass"]


@pytest.mark.parametrize("n_lines", [1_000, 100_000])
async def test_a_keystroke_costs_the_same_in_files_of_any_length(n_lines: int) -> None:
    """From the edit to the engine's question: 1 ms of the processor measured; the bound is generous."""
    asked: list[float] = []

    def answer(query: CompletionQuery) -> list[Any]:
        asked.append(time.process_time())
        return said("zz()")

    async with bench(MemoryEngine(answer)) as b:
        half = "    value = compute(a, b, c)  # a line of code\n" * (n_lines // 2)
        b.open(half + "║\n" + half)
        costs = []
        for number in range(30):
            started = time.process_time()
            b.type("abcd"[number % 4])
            await b.texts()
            costs.append(asked[-1] - started)
    assert median(costs) < 0.02
