"""Files as the UTF-8 texts that are compared: encodings by byte order mark or declaration, notebooks by cell.

Bytes in no declared encoding stay as they are, so that places stay byte-exact. Knows no index.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from attribution.errors import InputError

# The longer ones first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# PEP 263 (also Emacs and Vim), XML, HTML and CSS.
_COMMENT = re.compile(
    rb"\A(?:[^\n]*\n)?[ \t\f]*(?:#|//|/\*|;|%|--|<!--|\"|')[^\n]*?coding[:=][ \t]*([-\w.]+)"
)
_MARKUP = re.compile(
    rb"<\?xml[^>]*?encoding=[\"']([-\w.]+)|<meta[^>]*?charset=[\"']?([-\w.]+)|\A@charset \"([-\w.]+)"
)
_HEAD_BYTES = 1024
_CELL = "#cell"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedText:
    """A text in UTF-8, or in bytes as found; of a notebook, one `cell`, counted from 1."""

    text: bytes
    cell: int | None = None
    encoding: str = "utf-8"
    mark_bytes: int = 0

    def file_byte(self, at: int) -> int:
        """Where in the file the byte `at` of the text stands (in a notebook: of the cell's text)."""
        if self.encoding == "utf-8":
            return self.mark_bytes + at
        return self.mark_bytes + len(self.text[:at].decode("utf-8").encode(self.encoding))


def pieces_of(name: str, data: bytes) -> Iterator[DecodedText]:
    """The texts of a file. Raises `InputError` that names an encoding which cannot be read."""
    piece = _decoded(name, data)
    cells = _cells(piece.text) if name.endswith(".ipynb") else None
    if cells is None:
        yield piece
    else:
        yield from (
            DecodedText(text=text.encode("utf-8", "surrogatepass"), cell=n) for n, text in enumerate(cells, 1)
        )


def cell_path(path: str, cell: int) -> str:
    """What a notebook's cell is called in an index."""
    return f"{path}{_CELL}{cell}"


def _decoded(name: str, data: bytes) -> DecodedText:
    if data.isascii():
        return DecodedText(text=data)
    mark, encoding = next((pair for pair in _MARKS if data.startswith(pair[0])), (b"", _declared(data)))
    text = data[len(mark) :]
    if encoding is None:
        return DecodedText(text=data)
    try:
        # The codec's own name: `latin1` and `ISO-8859-1` are one.
        encoding = codecs.lookup(encoding).name
        if encoding != "utf-8":
            text = text.decode(encoding).encode("utf-8")
    except (LookupError, UnicodeError) as error:
        raise InputError(f"{name}: its encoding, {encoding}, cannot be read: {error}") from error
    return DecodedText(text=text, encoding=encoding, mark_bytes=len(mark))


def _declared(data: bytes) -> str | None:
    head = data[:_HEAD_BYTES]
    found = _COMMENT.search(head) or _MARKUP.search(head)
    return None if found is None else next(group for group in found.groups() if group).decode("ascii")


def _cells(text: bytes) -> list[str] | None:
    """The sources of a notebook's cells (nbformat 3 and 4); None if it is no notebook."""
    try:
        raw: Any = json.loads(text)
        sheets = raw.get("worksheets", [raw])
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        return ["".join(cell.get("source", cell.get("input", ""))) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
