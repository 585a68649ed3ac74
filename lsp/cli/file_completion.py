"""A completion at a place in a file on disk, for the terminal: `starcoder-lsp complete FILE:LINE:COL`.

Asks the same question of the same engine as the language server does, with this one file for
context, and shows the answer as the engine gives it, before the editor's filters.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from lsp.context.query import QueryMaker, is_single_line
from lsp.documents.documents import Document
from lsp.documents.place import find_place
from lsp.link.engines import Engine
from lsp.settings.settings import Settings


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
class Outcome:
    """The answer so far, and once it has ended its figures."""

    text: str = ""
    finish_reason: str | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    timings: Mapping[str, float] = field(default_factory=dict)


async def complete(
    position: FilePosition, settings: Settings, engine: Engine, outcome: Outcome
) -> AsyncGenerator[str, None]:
    """Stream the first alternative's text; `outcome` is filled on the way. Raises `ModelError`."""
    document = Document(
        uri=position.path.absolute().as_uri(), source=position.path.read_text(encoding="utf-8"), version=0
    )
    place = find_place(document, position.line - 1, position.column - 1)
    maker = QueryMaker(is_allowed=lambda path: True, roots=lambda: [Path.cwd()])
    single_line = is_single_line(place, multiline=settings.completion.multiline, explicit=True)
    query = maker.make(place, settings.completion, single_line=single_line)
    client = await engine.ensure()
    start_s = time.perf_counter()
    async with aclosing(client.complete(query)) as deltas:
        async for delta in deltas:
            if delta.index:
                continue
            outcome.total_ms = (time.perf_counter() - start_s) * 1e3
            outcome.timings = delta.timings or outcome.timings
            outcome.finish_reason = delta.finish_reason or outcome.finish_reason
            if delta.text:
                outcome.first_token_ms = outcome.first_token_ms or outcome.total_ms
                outcome.text += delta.text
                yield delta.text
