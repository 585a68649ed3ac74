"""Every shown suggestion is looked up: references, labels, blocking, an index that takes long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from attribution.match.portrait import build_portrait
from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from lsp.documents.documents import Document
from lsp.documents.place import Place, find_place
from lsp.sources.references import Credits
from lsp.sources.shown_check import BLOCKED, UNCHECKED, ShownCheck
from lsp.sources.store import AttributionStore, Where
from lsp.status.telemetry import LatencyBook
from lsp.status.worker import Worker
from tests.attribution.samples import document, index_of
from tests.lsp.editor import TIMEOUT_S, Editor, cursor, editor
from tests.lsp.fake_engine import FakeEngine, Pause
from tests.lsp.indexed import NEW, build_index, documents, excerpt
from tests.lsp.server.test_completion_requests import documented

URI = "file:///project/a.py"
COPIED = excerpt("lsp/completion/type_through.py", "def type_through", "def _typed")
# Where the user's own typing ends and the suggestion begins, in the middle of a line.
HEAD, TAIL = COPIED.split("offer.state, now", 1)
SUGGESTED = "offer.state, now" + TAIL[: TAIL.index("    if closed is None")].rstrip()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("attribution") / "index")


def settings(engine: FakeEngine, index: Path | str | None, on_match: str, **more: Any) -> dict[str, Any]:
    given = engine.options(multiline="always", maxNewTokens=400)
    place = {} if index is None else {"index": str(index)}
    return given | {"attribution": {"onMatch": on_match, **place}} | more


async def checked_items(ed: Editor, at: types.Position) -> list[dict[str, Any]]:
    """The items once they are looked up in time: the first question opens the index, which may take long."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            before = (await ed.command("starcoder.showLatencyBook"))["attribution"]["suggestions"]["count"]
            items = await ed.items(at)
            after = (await ed.command("starcoder.showLatencyBook"))["attribution"]["suggestions"]["count"]
            if after > before:
                return items


@pytest.mark.parametrize("on_match", ["show", "label"])
async def test_a_copy_has_references_with_spans(
    engine: FakeEngine, index: Path, tmp_path: Path, on_match: str
) -> None:
    engine.answer = lambda body: [SUGGESTED]
    async with editor(settings(engine, index, on_match), home=tmp_path) as ed:
        (item,) = await checked_items(ed, ed.open(HEAD + "║\n"))
    assert item["insertText"] == SUGGESTED
    (reference,) = item["references"]
    assert reference.keys() | {"label"} >= documented("References") | {"label"}
    assert (reference["name"], reference["path"]) == ("alice/gate", "lsp/completion/type_through.py")
    assert (reference["license"], reference["kind"]) == ("MIT", "exact")
    assert reference["url"].startswith("https://example.com/alice/gate/blob/")
    assert reference["startLine"] < reference["endLine"]
    assert reference["span"] == {"start": 0, "end": len(SUGGESTED)}
    assert item.get("label") == ("MIT · alice/gate" if on_match == "label" else None)


async def test_spans_count_utf16_units_of_the_suggestion_and_are_clipped_to_it(
    engine: FakeEngine, index: Path, tmp_path: Path
) -> None:
    suggestion = 'mood = "😀🙈", 1\n' + COPIED.rstrip() + '\nafter = "🦊"'
    engine.answer = lambda body: [suggestion]
    async with editor(settings(engine, index, "label"), home=tmp_path, encodings=["utf-8"]) as ed:
        (item,) = await checked_items(ed, ed.open('x = "größer"\r\n║\r\n'))
    (reference,) = item["references"]
    span, units = reference["span"], item["insertText"].encode("utf-16-le")
    # The suggestion has the document's line ends.
    found = units[2 * span["start"] : 2 * span["end"]].decode("utf-16-le")
    assert found == COPIED.rstrip().replace("\n", "\r\n")


async def test_new_code_has_no_references_though_the_lines_before_it_are_a_copy(
    engine: FakeEngine, index: Path, tmp_path: Path
) -> None:
    engine.answer = lambda body: ["weight_kg = max(zone, tariff.grams // 1000)"]
    async with editor(settings(engine, index, "block"), home=tmp_path) as ed:
        (item,) = await ed.items(ed.open(COPIED + "\n\n║\n"))
        assert item["references"] == []
        assert "label" not in item


async def test_deltas_say_it_too(engine: FakeEngine, index: Path, tmp_path: Path) -> None:
    engine.answer = lambda body: [SUGGESTED[:80], SUGGESTED[80:]]
    given = settings(engine, index, "label")
    async with editor(given, home=tmp_path, experimental={"starcoder": True}) as ed:
        (item,) = await checked_items(ed, ed.open(HEAD + "║\n"))
        last = ed.heard.deltas[-1]
        assert last["done"]
        assert last["references"] == item["references"]
        assert last["label"] == "MIT · alice/gate"
        assert last["shown"] == SUGGESTED
        # The text does not wait for the check: it was there before.
        assert (ed.heard.deltas[-2]["shown"], ed.heard.deltas[-2]["done"]) == (SUGGESTED, False)


async def test_block_withholds_copies_in_every_message(
    engine: FakeEngine, index: Path, tmp_path: Path
) -> None:
    pause = Pause()
    engine.answer = lambda body: [SUGGESTED[:120], pause, SUGGESTED[120:]]
    given = settings(engine, index, "block")
    async with editor(given, home=tmp_path, experimental={"starcoder": True}) as ed:
        at = ed.open(HEAD + "║\n")
        asked = ed.ask(at, partialResultToken="p")
        await ed.heard.wait(lambda: bool(ed.heard.deltas))
        pause.resume()
        assert await asked == {"items": []}
        assert ed.heard.deltas[-1]["done"]
        assert {(delta["text"], delta["shown"]) for delta in ed.heard.deltas} == {("", "")}
        assert not ed.heard.partials
        assert (await ed.heard.state("excluded"))["message"] == f"{BLOCKED}: MIT · alice/gate"
        book = await ed.command("starcoder.showLatencyBook")
        assert book["notShown"] == {BLOCKED: 1}
        assert book["attribution"]["found"] == 1
        # What is new is shown, whole, and the status is well again.
        engine.answer = lambda body: [" # ours"]
        at = ed.type(at, ")  ")
        (item,) = await ed.items(at)
        assert item["insertText"].strip() == "# ours"
        await ed.heard.state("ready")


async def test_a_project_is_as_strict_as_its_own_file_says(
    engine: FakeEngine, index: Path, tmp_path: Path
) -> None:
    strict, free = tmp_path / "strict", tmp_path / "free"
    for folder in (strict, free):
        folder.mkdir()
    (strict / ".starcoder.toml").write_text('[attribution]\nonMatch = "block"\n')
    engine.answer = lambda body: [SUGGESTED]
    given = engine.options(multiline="always", maxNewTokens=400) | {"attribution": {"index": str(index)}}
    async with editor(given, home=tmp_path, folder=free) as ed:
        at = ed.open(HEAD + "║\n", uri=(free / "a.py").as_uri())
        (item,) = (await ed.ask(at, uri=(free / "a.py").as_uri()))["items"]
        assert item["insertText"] == SUGGESTED
        at = ed.open(HEAD + "║\n", uri=(strict / "a.py").as_uri())
        assert (await ed.ask(at, uri=(strict / "a.py").as_uri()))["items"] == []


async def test_block_shows_nothing_that_cannot_be_checked(engine: FakeEngine, tmp_path: Path) -> None:
    engine.answer = lambda body: ["print(value)"]
    async with editor(settings(engine, tmp_path / "none", "block"), home=tmp_path) as ed:
        assert await ed.items(ed.open("value = 1\n║\n")) == []
        message = (await ed.heard.state("excluded"))["message"]
        assert message.startswith(UNCHECKED)
        assert "starcoder-lsp index build" in message


async def test_removal_is_honoured_by_the_next_suggestion(engine: FakeEngine, tmp_path: Path) -> None:
    index = build_index(tmp_path / "index")
    engine.answer = lambda body: [SUGGESTED]
    async with editor(settings(engine, index, "block"), home=tmp_path) as ed:
        at = ed.open(HEAD + "║\n")
        assert await ed.items(at) == []
        with open_writer(index, create=False) as writer:
            writer.remove([OptOut(repository="alice/gate")])
        (item,) = await ed.items(at)
        assert item["references"] == []


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that takes connections and never answers; what it was sent."""
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            heard.append(piece)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"http://{host}:{port}/code", heard


async def test_an_index_that_does_not_answer_stalls_nothing_and_ends_with_the_server(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.answer = lambda body: [SUGGESTED]
    async with (
        silent_server() as (url, heard),
        editor(settings(engine, url, "label"), home=tmp_path) as ed,
    ):
        at = ed.open(HEAD + "║\n")
        (item,) = await ed.items(at)
        assert item["references"] == []
        assert (await ed.items(at))[0]["insertText"] == SUGGESTED
        book = await ed.command("starcoder.showLatencyBook")
        assert book["attribution"]["late"] == 2
        assert "2 shown without a check" in book["text"]
        await ed.heard.wait(lambda: any("takes too long" in message for message in ed.heard.messages))
        assert not any(
            word.encode() in b"".join(heard) for word in ("startswith", "_closed_by_editor", "edited")
        )


async def test_a_server_that_is_away_is_said_once(engine: FakeEngine, tmp_path: Path) -> None:
    given = settings(engine, "http://127.0.0.1:9/code", "label")
    async with editor(given, home=tmp_path) as ed:
        at = ed.open("x = ║\n")

        def said() -> list[str]:
            return [message for message in ed.heard.messages if "not checked" in message]

        async with asyncio.timeout(TIMEOUT_S):
            while not said():  # until it is known that nobody is there, it only takes too long
                (item,) = await ed.items(at)
                assert item["references"] == []
        await ed.items(at)
        await ed.items(at)
        assert len(said()) == 1
        assert "127.0.0.1:9" in said()[0]


# By itself: the check, with a portrait instead of an index.


def place_at(marked: str, uri: str = URI) -> Place:
    source, at = cursor(marked)
    return find_place(Document(uri, source, 1, "python"), at.line, at.character)


@asynccontextmanager
async def portrait_check(folder: Path, on_match: str) -> AsyncIterator[tuple[ShownCheck, list[str]]]:
    build_portrait(documents(), folder / "portrait.bin")
    async with shown_check(Where(index=str(folder / "none"), model=str(folder)), on_match) as opened:
        yield opened


@asynccontextmanager
async def shown_check(where: Where, on_match: str) -> AsyncIterator[tuple[ShownCheck, list[str]]]:
    told: list[str] = []
    worker = Worker("test")
    check = ShownCheck(
        store=AttributionStore(where),
        worker=worker,
        book=LatencyBook(),
        on_match=lambda place: on_match,
        tell=told.append,
        log=told.append,
        why_not=lambda uri, text: None,
    )
    await worker.submit(check.store.describe)
    try:
        yield check, told
    finally:
        worker.end()


async def test_a_portrait_labels_what_it_has_seen_without_a_source(tmp_path: Path) -> None:
    async with portrait_check(tmp_path, "label") as (check, _):
        async with asyncio.timeout(TIMEOUT_S):
            while (checked := await check(place_at(HEAD + "║\n"), SUGGESTED)) == Credits():
                pass  # this machine is slow, and the check is not waited for long
        assert isinstance(checked, Credits)
        assert checked.label == f"seen in the training set of {tmp_path}"
        (reference,) = checked.references
        assert reference.to_wire() | {"tokens": 0, "span": None} == {
            "name": f"training set of {tmp_path}",
            "path": None,
            "url": None,
            "license": None,
            "kind": "seen",
            "tokens": 0,
            "startLine": None,
            "endLine": None,
            "span": None,
            "verdict": None,
        }
        assert await check(place_at("║\n"), NEW) == Credits()


async def test_a_portrait_blocks_what_it_has_seen(tmp_path: Path) -> None:
    async with portrait_check(tmp_path, "block") as (check, told):
        assert await check(place_at(HEAD + "║\n"), SUGGESTED) == BLOCKED
        assert told == [f"{BLOCKED}: seen in the training set of {tmp_path}"]
        assert await check(place_at("║\n"), NEW) == Credits()
        # The copy ends before the suggestion begins.
        assert await check(place_at(COPIED + "\n\n\n║\n"), NEW) == Credits()


# A policy: what it denies in the editor is what `check` denies.

GPL = excerpt("model/local/gitignore.py", "def why_ignored", "def parse")


@pytest.mark.parametrize(
    ("policy", "copy", "label"),
    [
        (None, COPIED, None),
        ('deny = ["copyleft"]', COPIED, "MIT · alice/gate"),
        ('deny = ["copyleft"]', GPL, None),
        ('allow = ["MIT"]', GPL, None),
        ('review = ["copyleft"]', GPL, None),
        ('allow = ["GPL-3.0-only"]', GPL, "GPL-3.0-only · bob/ignore"),
        ('deny = ["copylefft"]', COPIED, None),
    ],
)
async def test_what_the_policy_denies_is_withheld(
    index: Path, tmp_path: Path, policy: str | None, copy: str, label: str | None
) -> None:
    if policy is not None:
        (tmp_path / ".starcoder-policy.toml").write_text(f"version = 1\n{policy}\n")
    at = place_at("║\n", (tmp_path / "src/mine.py").as_uri())
    async with shown_check(Where(index=str(index)), "policy") as (check, told):
        checked = await check(at, copy)
    async with shown_check(Where(index=str(index)), "block") as (check, _):
        # What the user blocks, no project lets pass.
        assert await check(at, copy) in (BLOCKED, UNCHECKED)
    if label is None:
        assert checked in (BLOCKED, UNCHECKED)
        assert ("the nearest: copyleft" in told[0]) is (checked == UNCHECKED)
    else:
        assert isinstance(checked, Credits)
        assert [reference.label for reference in checked.references] == [label]


async def test_the_strictest_holder_is_named(tmp_path: Path) -> None:
    both = [
        document(f"{owner}/r", "x.py", COPIED, license=licence)
        for owner, licence in (("a", "MIT"), ("z", "GPL-3.0-only"))
    ]
    index = index_of(tmp_path / "index", both)
    (tmp_path / ".starcoder-policy.toml").write_text('version = 1\nreview = ["copyleft"]\n')
    async with shown_check(Where(index=str(index)), "show") as (check, _):
        at = place_at("║\n", (tmp_path / "mine.py").as_uri())
        async with asyncio.timeout(TIMEOUT_S):
            while (checked := await check(at, COPIED)) == Credits():
                pass  # this machine is slow, and the check is not waited for long
    assert isinstance(checked, Credits)
    (reference,) = checked.references
    assert reference.label == "GPL-3.0-only · z/r · review"
    wire = reference.to_wire()
    assert (wire["name"], wire["license"], wire["verdict"]) == ("z/r", "GPL-3.0-only", "review")
