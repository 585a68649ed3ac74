"""What is typed, key by key: a file's own text, at three places of it that are missing it before.

With a slip now and then that a backspace takes back. `assisted`, as in an editor: Enter brings the next
line's indentation, and now and then a suggestion is accepted, to the end of its line or of some lines; it is
the file's own text, so that whoever is measured accepts the same. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

from lsprotocol import types

from lsp.documents.documents import Document

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    ROOT / "model/process/process.py",
    ROOT / "model/native/step.cpp",
    ROOT / "extension/src/commands.ts",
)
_SHARES = (0.6, 0.25, 0.85)
_SLIP_EVERY = 14
_ACCEPT_EVERY = 8
_ACCEPTED_LINES = (1, 3)  # in turns


class Key(StrEnum):
    """What a keystroke does, which decides what is left to compute."""

    ON_LINE = "on a line"
    NEW_LINE = "a new line"
    JUMP = "a jump"
    ACCEPTED = "an accepted suggestion"


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """One keystroke at a place in a document: `text`, or nothing for a backspace."""

    document: Document
    line: int
    start_char: int
    text: str
    key: Key = Key.ON_LINE
    rest: str | None = None
    """What the file has from here to the line's end; None after a slip."""

    @property
    def is_jump(self) -> bool:
        """Whether it is the first one at its place."""
        return self.key is Key.JUMP

    def press(self) -> tuple[int, int]:
        """Change the document; returns the cursor's line and character."""
        start_char = self.start_char - (not self.text)
        place = types.Range(
            start=types.Position(line=self.line, character=start_char),
            end=types.Position(line=self.line, character=self.start_char),
        )
        self.document.apply_change(types.TextDocumentContentChangePartial(range=place, text=self.text))
        return _after(self.line, start_char, self.text)


@dataclass(frozen=True, kw_only=True)
class TypedPlace:
    """A part of a file, which `strokes` types into the rest of it."""

    path: Path
    share: float
    n_typed: int

    def strokes(self, *, assisted: bool = False) -> Iterator[Stroke]:
        """Each must be pressed before the next is asked for. They come to an end with the part."""
        text = self.path.read_text(encoding="utf-8")
        first = text.index("\n", int(len(text) * self.share)) + 1
        typed = text[first : first + self.n_typed]
        document = Document(self.path.as_uri(), text[:first] + text[first + self.n_typed :], version=0)
        line, column = text[:first].count("\n"), 0
        at = n = 0
        while at < len(typed):
            piece, key = _next_piece(typed, at, n) if assisted else (typed[at], Key.ON_LINE)
            if n % _SLIP_EVERY == _SLIP_EVERY - 1 and piece[0] != "\n":
                yield Stroke(document=document, line=line, start_char=column, text="q")
                rest = typed[at:].partition("\n")[0]
                yield Stroke(document=document, line=line, start_char=column + 1, text="", rest=rest)
            at += len(piece)
            yield Stroke(
                document=document,
                line=line,
                start_char=column,
                text=piece,
                key=Key.JUMP if n == 0 else key,
                rest=typed[at:].partition("\n")[0],
            )
            line, column = _after(line, column, piece)
            n += 1


def _next_piece(typed: str, at: int, n: int) -> tuple[str, Key]:
    """The next key's text, of somebody who is assisted."""
    if typed[at] == "\n":
        after = typed[at + 1 :]
        return "\n" + after[: len(after) - len(after.lstrip(" \t"))], Key.NEW_LINE
    if n % _ACCEPT_EVERY == _ACCEPT_EVERY - 1:
        n_lines = _ACCEPTED_LINES[n // _ACCEPT_EVERY % len(_ACCEPTED_LINES)]
        return "\n".join(typed[at:].split("\n")[:n_lines]).rstrip("\n"), Key.ACCEPTED
    return typed[at], Key.ON_LINE


def _after(line: int, start_char: int, text: str) -> tuple[int, int]:
    """Where the cursor stands behind `text`."""
    if "\n" in text:
        return line + text.count("\n"), len(text) - text.rindex("\n") - 1
    return line, start_char + len(text)


def places(files: Sequence[Path], n_typed: int) -> list[TypedPlace]:
    """Where it is typed: file by file, `n_typed` characters at each of its places."""
    return [TypedPlace(path=path, share=share, n_typed=n_typed) for path in files for share in _SHARES]


def session(files: Sequence[Path], n_keystrokes: int) -> Iterator[Stroke]:
    """So many keystrokes without assistance, as many in each file."""
    n_in_each = n_keystrokes // len(files)
    for path in files:
        typed = (place.strokes() for place in places([path], -(-n_in_each // len(_SHARES))))
        yield from islice((stroke for one in typed for stroke in one), n_in_each)
