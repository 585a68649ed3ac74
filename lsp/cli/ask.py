"""Questions in the terminal: `starcoder-lsp ask`, once or as a conversation.

The same assistant as the editor's. Knows nothing of options and exit codes: `lsp.cli.ask_command` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lsp.assistant.assistant import Answer, Question
from lsp.assistant.prompt import QuestionKind
from lsp.assistant.subject import Subject
from lsp.cli.common import parts_here, visible
from lsp.documents.documents import Document
from model.fences import fenced

if TYPE_CHECKING:
    from lsp.server.access import Access
    from lsp.server.parts import Parts
    from lsp.settings.settings import Settings

FORGET = "/new"
WELCOME = f"Ask away. {FORGET} begins anew, Ctrl+C stops an answer, Ctrl+D ends."


@dataclass(frozen=True, kw_only=True)
class About:
    """What a question is about: a file, lines of it (from 1, both included), a text that was piped in."""

    file: Path | None = None
    lines: tuple[int, int] | None = None
    piped: str = ""

    def question(self, text: str, conversation: str | None, access: Access) -> Question:
        """The question about it. Raises `ValueError` if the file cannot or must not be read."""
        if self.piped.strip():
            text = f"{text}\n\n{fenced(self.piped)}"
        subject = None if self.file is None else self._subject(self.file, access)
        return Question(kind=QuestionKind.ASK, text=text, subject=subject, conversation=conversation)

    def _subject(self, path: Path, access: Access) -> Subject:
        if (reason := access.why_unread(path)) is not None:
            raise ValueError(f"{path} is excluded: {reason}")
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        document = Document(path.absolute().as_uri(), source, 0, path.suffix.removeprefix("."))
        if (reason := access.why_withheld(document)) is not None:
            raise ValueError(f"{path} is excluded: {reason}")
        first, last = (1, len(document.lines)) if self.lines is None else self.lines
        if not 1 <= first <= last <= len(document.lines):
            raise ValueError(f"lines {first} to {last}: {path} has the lines 1 to {len(document.lines)}")
        return Subject.of(document, first - 1, last, path=path.as_posix())


def parse_lines(text: str) -> tuple[int, int]:
    """Read `A:B` or `A`; both lines count from 1. Raises `ValueError`."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not A:B, for example 10:20")
    return int(match[1]), int(match[2] or match[1])


def piped_text(stream: TextIO) -> str:
    """What was piped into the command or redirected to it; "" if nothing was."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return ""
    return stream.read() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""


async def answer(
    parts: Parts, text: str, about: About, conversation: str | None, *, show: Callable[[str], None]
) -> Answer:
    """Ask; `show` gets the pieces. Raises `ModelError`, or `ValueError` for a file that is refused."""
    question = about.question(text, conversation, parts.access)
    async with aclosing(parts.assistant.answer(question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                return piece
            show(piece)
    raise AssertionError("an answer ends with the whole of it")


def to_json(answered: Answer, caution: str | None) -> dict[str, Any]:
    """The answer as `--json` prints it: as `starcoder/assist` answers an editor."""
    return {
        "model": answered.model,
        "text": answered.text,
        "finishReason": answered.finish_reason,
        "references": [reference.to_wire() for reference in answered.references],
        "note": answered.note,
        "caution": caution,
    }


def asides(answered: Answer, caution: str | None) -> list[str]:
    """What to say below an answer: which model gave it, the sources of its code, its note."""
    told = [f"— {answered.model}" + (f", {caution}" if caution else "")]
    if answered.finish_reason == "length":
        told.append("the answer was cut off: it had reached its greatest length")
    told += [f"found in {reference.label}" for reference in answered.references]
    return told if answered.note is None else [*told, answered.note]


def converse(settings: Settings, about: About, *, aside: Callable[[str], None]) -> None:
    """Questions and answers until the end of the input. Ctrl+C ends an answer, then the conversation.

    Raises `ModelError`, or `ValueError` for a file that is refused.
    """
    with contextlib.suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  # gives input() editing and a history
    aside(WELCOME)
    with asyncio.Runner() as runner:
        parts = parts_here(settings)
        try:
            conversation: str | None = None
            for text in _questions():
                if text == FORGET:
                    conversation = None
                    continue
                first = about if conversation is None else About()
                try:
                    answered = runner.run(answer(parts, text, first, conversation, show=say))
                except KeyboardInterrupt:
                    say("\n")
                    aside("stopped")
                    continue
                say("\n")
                for line in asides(answered, parts.caution):
                    aside(line)
                conversation = answered.conversation
        finally:
            runner.run(parts.aclose())


def say(text: str) -> None:
    """Write to the standard output at once."""
    sys.stdout.write(visible(text))
    sys.stdout.flush()


def _questions() -> Iterator[str]:
    """The lines that the user types, until Ctrl+D or Ctrl+C."""
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            say("\n")
            return
        if text:
            yield text
