"""`starcoder-lsp ask` as a process of its own, with a server that says what the test wants."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

from lsp.cli.ask import parse_lines, say
from tests.lsp.editor import TIMEOUT_S, server_environment, warm_command
from tests.lsp.fake_engine import FakeEngine, Pause


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int | None
    out: str
    err: str


async def ended(process: asyncio.subprocess.Process) -> None:
    """Nothing outlives its test."""
    if process.returncode is None:
        process.kill()
        await process.wait()


class Conversation:
    """What a person at the terminal does: reads up to a text, types a line."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: FileIO) -> None:
        self.process = process
        self.all = b""
        self._unread = b""
        self._keyboard = keyboard
        self._came: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(keyboard, self._take)

    async def until(self, text: bytes) -> None:
        """Read to the end of this text. Raises EOFError when the command ends without saying it."""
        while text not in self._unread:
            piece = await self._came.get()
            if not piece:
                raise EOFError(f"the command ended before it said {text!r}")
            self._unread += piece
        self._unread = self._unread[self._unread.index(text) + len(text) :]

    async def type(self, text: bytes, answer: bytes = b"") -> None:
        """Wait for the prompt, type, and read until the answer."""
        await self.until(b"> ")
        self._keyboard.write(text)
        await self.until(answer)

    def _take(self) -> None:
        try:
            piece = os.read(self._keyboard.fileno(), 4096)
        except OSError:  # EIO: nobody holds the other end any more
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._keyboard)
        self.all += piece
        self._came.put_nowait(piece)


@dataclass
class Terminal:
    """Where the command runs: a project folder, with settings that lead to the test's server."""

    engine: FakeEngine
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return server_environment(self.folder / "home") | {
            "STARCODER_ENGINE_URL": self.engine.url,
            "COLUMNS": "200",
        }

    @asynccontextmanager
    async def started(
        self, *arguments: str, stdin: int = asyncio.subprocess.DEVNULL
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *warm_command(),
            "ask",
            *arguments,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            cwd=self.folder,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield process
        finally:
            await ended(process)

    @asynccontextmanager
    async def conversation(self, *arguments: str) -> AsyncIterator[Conversation]:
        """The command on a pseudo-terminal. What it says aside goes to a file, and is told when all fails."""
        ours, theirs = os.openpty()
        with (
            os.fdopen(ours, "r+b", buffering=0) as keyboard,
            os.fdopen(theirs, "r+b", buffering=0) as tty,
            tempfile.TemporaryFile() as aside,
        ):
            process = await asyncio.create_subprocess_exec(
                *warm_command(),
                "ask",
                *arguments,
                stdin=tty,
                stdout=tty,
                stderr=aside,
                env=self.environment,
                cwd=self.folder,
            )
            tty.close()  # so that the end of the command is the end of what can be read
            talk = Conversation(process, keyboard)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    yield talk
            except (EOFError, TimeoutError) as error:
                aside.seek(0)
                pytest.fail(f"{error!r} after {talk.all!r}; aside: {aside.read().decode()}")
            finally:
                asyncio.get_running_loop().remove_reader(keyboard)
                await ended(process)

    async def run(self, *arguments: str, piped: str | None = None) -> Run:
        stdin = asyncio.subprocess.DEVNULL if piped is None else asyncio.subprocess.PIPE
        async with self.started(*arguments, stdin=stdin) as process:
            out, err = await process.communicate(None if piped is None else piped.encode())
        return Run(code=process.returncode, out=out.decode(), err=err.decode())

    @property
    def asked(self) -> list[dict[str, str]]:
        """What was said by either side up to the last request."""
        system, *messages = self.engine.requests[-1]["messages"]
        assert system["role"] == "system"
        said: list[dict[str, str]] = messages
        return said


@pytest.fixture
def terminal(engine: FakeEngine, tmp_path: Path) -> Terminal:
    (tmp_path / "home").mkdir()
    (tmp_path / "a.py").write_text("import os\n\n\ndef add(a, b):\n    return a + b\n", encoding="utf-8")
    (tmp_path / ".env").write_text("TOKEN=hush\n", encoding="utf-8")
    engine.answer = lambda body: ["It ", "adds.\x1b[2J"]
    return Terminal(engine, tmp_path)


async def test_the_answer_goes_out_and_who_gave_it_aside(terminal: Terminal) -> None:
    run = await terminal.run("What is it?", "--file", "a.py", "--lines", "4:5")
    # What could steer the terminal is left out.
    assert (run.code, run.out) == (0, "It adds.\\x1b[2J\n")
    assert "— fake" in run.err
    content = terminal.asked[0]["content"]
    assert content.startswith("This is in `a.py`:")
    assert "What is it?" in content
    assert "`a.py`, lines 4 to 5:\n\n```py\ndef add(a, b):\n    return a + b\n```" in content


async def test_json(terminal: Terminal) -> None:
    answer = json.loads((await terminal.run("What is it?", "--json")).out)
    assert answer == {
        "model": "fake",
        "text": "It adds.\x1b[2J",
        "finishReason": "stop",
        "references": [],
        "note": None,
        "caution": None,
    }


async def test_what_is_piped_in_is_the_question_or_what_it_is_about(terminal: Terminal) -> None:
    await terminal.run(piped="Why is it so?\n")
    assert terminal.asked[0]["content"] == "Why is it so?"
    await terminal.run("What changes?", piped="-a\n+b\n")
    assert terminal.asked[0]["content"] == "What changes?\n\n```\n-a\n+b\n```"


BAD = [
    ((), "there is no question"),
    (("--json",), "there is no question"),
    (("Why?", "--lines", "1:2"), "--lines needs --file"),
    (("Why?", "--file", "a.py", "--lines", "x"), "is not A:B"),
    (("Why?", "--file", "a.py", "--lines", "5:99"), "has the lines 1 to 6"),
    (("Why?", "--file", "none.py"), "cannot be read"),
    (("Why?", "--file", ".env"), "is excluded"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
async def test_what_makes_no_sense_is_refused(
    terminal: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    run = await terminal.run(*arguments)
    assert run.code == 2
    assert words in " ".join(run.err.replace("│", " ").split())
    assert terminal.engine.requests == []


async def test_an_engine_that_is_not_there(terminal: Terminal) -> None:
    terminal.engine.url = "http://127.0.0.1:9"
    run = await terminal.run("Why?")
    assert run.code == 4
    assert "cannot be reached" in run.err
    assert "Traceback" not in run.err


async def test_ctrl_c_ends_the_answer_and_the_engines_work(terminal: Terminal) -> None:
    terminal.engine.answer = lambda body: ["It ad", Pause()]
    async with terminal.started("Why?") as process:
        assert process.stdout is not None
        shown = await process.stdout.readexactly(5)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (shown + out, process.returncode) == (b"It ad", 130)
        assert b"Traceback" not in err
        await terminal.engine.abandoned.get()


def test_a_terminal_gets_no_controls(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\tb\x1b[2J\u202ec\x00\n")
    assert capsys.readouterr().out == "a\tb\\x1b[2J\\u202ec\\x00\n"


def test_lines() -> None:
    assert parse_lines("3:8") == (3, 8)
    assert parse_lines("3") == (3, 3)
    with pytest.raises(ValueError, match="for example 10:20"):
        parse_lines("3-8")


async def test_a_conversation_on_a_terminal(terminal: Terminal) -> None:
    async with terminal.conversation("--file", "a.py") as talk:
        await talk.type(b"What is it?\n", b"adds.")
        await talk.type(b"And why?\n", b"adds.")
        assert [each["role"] for each in terminal.asked] == ["user", "assistant", "user"]
        assert "def add" in terminal.asked[0]["content"]
        assert terminal.asked[2]["content"] == "And why?"
        await talk.type(b"/new\n")
        await talk.type(b"Again?\n", b"adds.")
        assert len(terminal.asked) == 1
        assert "def add" in terminal.asked[0]["content"]

        pause = Pause()
        terminal.engine.answer = lambda body: ["It ad", pause]
        await talk.type(b"And now?\n", b"It ad")
        talk.process.send_signal(signal.SIGINT)
        await terminal.engine.abandoned.get()
        await talk.type(b"\x04")
        assert await talk.process.wait() == 0


async def test_a_command_that_fails_ends_the_conversation(terminal: Terminal) -> None:
    terminal.engine.url = "http://127.0.0.1:9"
    async with terminal.conversation() as talk:
        await talk.type(b"Why?\n")
        with pytest.raises(EOFError):
            await talk.until(b"> ")
        assert await talk.process.wait() == 4
