"""A completion at a place in a file on disk, for the terminal: `starcoder-lsp complete FILE:LINE:COL`.

Goes through the same parts as an editor's request by key, with this one file for context, and gives the
same text. Knows nothing of options and exit codes: `lsp.cli.ask_command` does.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lsp.cli.common import parts_here
from lsp.completion.completion import Ask
from lsp.documents.documents import Document
from lsp.documents.place import Place, find_place
from lsp.settings.settings import Settings
from lsp.status.observer import Observer
from model.languages.languages import language_id_of_path

if TYPE_CHECKING:
    from lsp.completion.reading import Update
    from model.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class FilePosition:
    """A cursor in a file. `line` and `column` count from 1, the column in characters."""

    path: Path
    line: int
    column: int

    @classmethod
    def parse(cls, text: str) -> FilePosition:
        """Read `FILE:LINE:COL`; `FILE:LINE` is the end of that line. Raises ValueError."""
        match = re.fullmatch(r"(?P<path>.+?):(?P<line>\d+)(:(?P<column>\d+))?", text)
        if match is None:
            raise ValueError(f"{text!r} is not FILE:LINE:COL, for example app.py:12:5")
        path, line = Path(match["path"]), int(match["line"])
        lines = read_lines(path)
        if not 1 <= line <= len(lines):
            raise ValueError(f"line {line}: {path} has the lines 1 to {len(lines)}")
        end_column = len(lines[line - 1]) + 1
        column = int(match["column"]) if match["column"] else end_column
        if not 1 <= column <= end_column:
            raise ValueError(f"column {column}: line {line} of {path} has the columns 1 to {end_column}")
        return cls(path=path, line=line, column=column)


def read_lines(path: Path) -> list[str]:
    """The file's lines without their ends. Raises ValueError with the reason if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


@dataclass(kw_only=True)
class FileCompletion:
    """What may be shown so far, and once it has ended its figures.

    The text takes the place of `replace_chars` characters behind the cursor.
    """

    text: str = ""
    replace_chars: int = 0
    finish_reason: str | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)

    def take(self, update: Update) -> str:
        """Take over how the alternative stands; returns the text that came in addition."""
        added = update.shown[len(self.text) :]
        self.text += added
        if (item := update.item) is not None:
            self.replace_chars, self.finish_reason = item.replace_chars, item.finish_reason
            self.timings = item.timings
        return added

    def measure(self, update: Update, elapsed_ms: float) -> None:
        """Note the times."""
        self.total_ms = elapsed_ms
        if update.text and self.first_token_ms is None:
            self.first_token_ms = elapsed_ms


class _Failure(Observer):
    """Keeps the reason why there is no answer."""

    def __init__(self) -> None:
        self.error: ModelError | None = None

    def failed(self, error: ModelError) -> None:
        """See `Observer`."""
        self.error = error


async def complete(
    position: FilePosition, settings: Settings, outcome: FileCompletion
) -> AsyncGenerator[str, None]:
    """Stream the text, by whole lines; `outcome` is filled on the way.

    Raises `ModelError`, or `ValueError` for a file that is excluded.
    """
    # The command asks for a completion, also where editors are to make none by themselves.
    settings = replace(settings, completion=replace(settings.completion, enabled=True))
    failure = _Failure()
    async with aclosing(parts_here(settings, failure)) as parts:
        place = _place(position)
        if (reason := parts.access.why_not_completed(place)) is not None:
            raise ValueError(f"{position.path} is excluded: {reason}")
        await parts.link.client()  # its start is not part of the times
        start_s = time.perf_counter()
        index: int | None = None
        async with aclosing(parts.completer.suggest(Ask(place=place, explicit=True))) as updates:
            async for update in updates:
                outcome.measure(update, (time.perf_counter() - start_s) * 1e3)
                if index is None and update.shown:
                    index = update.index  # of several alternatives, the first with something to show
                if update.index == index and (added := outcome.take(update)):
                    yield added
        if failure.error is not None:
            raise failure.error


def _place(position: FilePosition) -> Place:
    path = position.path.absolute()
    suffix = path.suffix.removeprefix(".").lower()
    document = Document(path.as_uri(), language_id=language_id_of_path(path.name) or suffix)
    return find_place(document, position.line - 1, position.column - 1)
