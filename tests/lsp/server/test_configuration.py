"""Settings: initializationOptions, the editor's section `starcoder`, changes while it runs."""

from __future__ import annotations

from pathlib import Path

from tests.lsp.editor import editor
from tests.lsp.fake_engine import FakeEngine, fake_engine


async def test_the_editors_section_stands_over_the_initialization_options(
    engine: FakeEngine, tmp_path: Path
) -> None:
    options = engine.options(maxNewTokens=10, temperature=0.5)
    async with editor(options, home=tmp_path, configuration={"completion": {"maxNewTokens": 20}}) as ed:
        await ed.items(ed.open("x = ║\n"))
    (body,) = engine.requests
    assert (body["max_tokens"], body["temperature"]) == (20, 0.5)


async def test_a_bad_value_is_a_message_and_the_default_holds(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(maxNewTokens="many", maxTokens=3), home=tmp_path) as ed:
        await ed.items(ed.open("x = ║\n"))
        assert any("maxNewTokens = 'many'" in message for message in ed.heard.messages)
        assert any("maxTokens" in message and "maxNewTokens" in message for message in ed.heard.messages)
    assert engine.requests[0]["max_tokens"] == 64


async def test_changes_by_did_change_configuration(engine: FakeEngine, tmp_path: Path) -> None:
    async with editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        settings = {"starcoder": {"completion": {"maxNewTokens": 5}}}
        ed.notify("workspace/didChangeConfiguration", {"settings": settings})
        assert await ed.items(at)
        settings = {"starcoder": {"completion": {"enabled": False}}}
        ed.notify("workspace/didChangeConfiguration", {"settings": settings})
        assert await ed.items(at) == []
        assert "completion.enabled" in (await ed.heard.state("excluded"))["message"]
    assert [body["max_tokens"] for body in engine.requests] == [5]


async def test_a_client_that_is_asked_for_its_configuration_sends_empty_changes(
    engine: FakeEngine, tmp_path: Path
) -> None:
    async with editor(engine.options(), home=tmp_path, configuration={}) as ed:
        await ed.heard.state("ready")
        ed.client.set_configuration({"completion": {"maxNewTokens": 7}}, section="starcoder")
        n_statuses = len(ed.heard.statuses)
        ed.notify("workspace/didChangeConfiguration", {"settings": None})
        # Applied once the client has answered; the toggle's answer comes after that.
        at = ed.open("x = ║\n")
        for _ in range(2):
            await ed.command("starcoder.toggle")
        await ed.items(at)
        assert len(ed.heard.statuses) >= n_statuses
    assert engine.requests[0]["max_tokens"] == 7


async def test_another_engine_is_connected_when_its_setting_changes(
    engine: FakeEngine, tmp_path: Path
) -> None:
    async with fake_engine() as other, editor(engine.options(), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        assert await ed.items(at)
        ed.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": other.options()}})
        assert await ed.items(at)
    assert (len(engine.requests), len(other.requests)) == (1, 1)


async def test_suggestions_below_the_confidence_threshold_are_kept_back(
    engine: FakeEngine, tmp_path: Path
) -> None:
    # The fake engine is 99 % sure of every token.
    async with editor(engine.options(confidenceThreshold=0.995), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        assert await ed.items(at, kind=2) == []
        assert await ed.texts(at, kind=1) == ["pass"]  # who asks by key gets an answer


async def test_an_automatic_request_waits_for_the_debounce_and_is_given_up_when_typing_goes_on(
    engine: FakeEngine, tmp_path: Path
) -> None:
    async with editor(engine.options(debounceMs=400), home=tmp_path) as ed:
        at = ed.open("x = ║\n")
        first = ed.ask(at, kind=2)
        second = ed.ask(ed.type(at, "y"), kind=2)
        assert await first == {"items": []}
        assert [item["insertText"] for item in (await second)["items"]] == ["pass"]
    assert [body["prompt"] for body in engine.requests] == ["x = y"]


async def test_the_projects_file_is_read_but_may_not_name_an_engine(
    engine: FakeEngine, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    text = '[completion]\nmax_new_tokens = 9\n[engine]\nurl = "http://127.0.0.1:9"\n'
    (work / ".starcoder.toml").write_text(text)
    async with editor(engine.options(), home=tmp_path, folder=work) as ed:
        await ed.items(ed.open("x = ║\n"))
        assert any("engine.url" in message for message in ed.heard.messages)
    assert engine.requests[0]["max_tokens"] == 9
