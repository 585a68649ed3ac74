"""`starcoder-lsp complete`: the text that an editor gets for the same place, streamed to the terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.editor import TIMEOUT_S, editor, server_environment, warm_command
from tests.lsp.fake_engine import FakeEngine, Pause


@dataclass
class Terminal:
    """A project folder, with settings that lead to the test's server."""

    engine: FakeEngine
    folder: Path

    def write(self, marked: str, name: str = "a.py") -> str:
        """Write a file without the ║ and return `FILE:LINE:COL` of the place where it stood."""
        before, after = marked.split("║")
        (self.folder / name).write_text(before + after, encoding="utf-8", newline="")
        line = before.rpartition("\n")[2]
        return f"{name}:{before.count(chr(10)) + 1}:{len(line) + 1}"

    @asynccontextmanager
    async def started(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *warm_command(),
            "complete",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=server_environment(self.folder / "home") | {"STARCODER_ENGINE_URL": self.engine.url},
            cwd=self.folder,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        async with self.started(*arguments) as process:
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def json(self, position: str) -> dict[str, Any]:
        code, out, err = await self.run(position, "--json")
        assert code == 0, err
        shown: dict[str, Any] = json.loads(out)
        return shown


@pytest.fixture
def terminal(engine: FakeEngine, tmp_path: Path) -> Terminal:
    (tmp_path / "home").mkdir()
    return Terminal(engine, tmp_path)


# What the engine says, where, and what is left of it: with the filter that sees to it.
PLACES = [
    ("def f():\n    ║\n", "return 1\n", "return 1"),  # trim_end
    ("def f(a, b):\n    return a║\n\n\nprint(f(1, 2))\n", " + b\n\n\nprint(f(1, 2))", " + b"),
    ('print(f"{║}")\n', 'name}")', "name"),  # fit_closed_tail
    ("x = ║\n", "'a\x1b[31mb'", "'a"),  # cut_unseen_characters
    ("if x:\n\ty = 1\n\t║\n", "if y:\n            z = 2", "if y:\n\t\t\tz = 2"),  # to_file_indentation
    ("a = 1\r\nif a:\r\n    ║\r\n", "b = 2\n    c = 3", "b = 2\r\n    c = 3"),  # to_document_eol
    ("x = ║\n", "   ", ""),  # drop_blank
]


async def test_terminal_and_editor_give_the_same_text(engine: FakeEngine, terminal: Terminal) -> None:
    options = engine.options()
    async with editor(options, home=terminal.folder / "home", folder=terminal.folder) as ed:
        for number, (marked, said, wanted) in enumerate(PLACES):
            engine.answer = lambda body, said=said: [*said]  # type: ignore[misc]  # a character at a time
            name = f"place_{number}.py"
            position = terminal.write(marked, name)
            shown = await terminal.json(position)
            uri = (terminal.folder / name).as_uri()
            items = await ed.items(ed.open(marked, uri=uri), uri=uri)
            assert shown["text"] == "".join(item["insertText"] for item in items) == wanted, marked
            in_terminal, in_editor = engine.requests[-2:]
            assert in_terminal == in_editor


async def test_whole_lines_are_shown_as_they_come(engine: FakeEngine, terminal: Terminal) -> None:
    pause = Pause()
    engine.answer = lambda body: ["total = 0\n    for each in ", pause, "a:\n        total += each\n"]
    async with terminal.started(terminal.write("def f(a):\n    ║\n")) as process:
        assert process.stdout is not None
        assert await process.stdout.readexactly(9) == b"total = 0"
        await pause.reached.wait()
        pause.resume()
        rest, _ = await process.communicate()
    assert rest == b"\n    for each in a:\n        total += each\n"


async def test_what_the_text_takes_the_place_of_is_told(engine: FakeEngine, terminal: Terminal) -> None:
    engine.answer = lambda body: ['hello" + name']
    shown = await terminal.json(terminal.write('s = "║"\n'))
    assert (shown["text"], shown["replace_chars"]) == ('hello" + name', 1)
    assert (shown["finish_reason"], shown["first_token_ms"] > 0) == ("stop", True)


async def test_a_place_without_a_suggestion_is_said_aside(engine: FakeEngine, terminal: Terminal) -> None:
    engine.answer = lambda body: ["  "]
    code, out, err = await terminal.run(terminal.write("x = ║\n"))
    assert (code, out) == (0, "\n")
    assert "nothing to suggest here" in err


async def test_an_excluded_file_is_refused(engine: FakeEngine, terminal: Terminal) -> None:
    code, out, err = await terminal.run(terminal.write("TOKEN=║\n", ".env"))
    assert (code, out) == (2, "")
    assert ".env is excluded" in err
    assert engine.requests == []


async def test_an_engine_that_is_away_is_an_exit_code(engine: FakeEngine, terminal: Terminal) -> None:
    engine.url = "http://127.0.0.1:9"
    code, _, err = await terminal.run(terminal.write("x = ║\n"))
    assert code == 4
    assert "127.0.0.1:9" in err
    assert "Traceback" not in err


async def test_a_refusal_in_the_answer_is_an_exit_code(engine: FakeEngine, terminal: Terminal) -> None:
    settings = terminal.folder / "home" / "config" / "starcoder-lsp" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[engine]\nfim_template = "no such"\n', encoding="utf-8")
    code, _, err = await terminal.run(terminal.write("x = ║\n"))
    assert code == 3
    assert "engine.fimTemplate" in err
