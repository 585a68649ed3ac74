"""Open documents: their lines, and positions in UTF-8, UTF-16 or UTF-32 units.

Replaces pygls's `TextDocument`, which splits the whole text at every edit and look-up, also at characters
that are no line ends in LSP (form feed, U+2028), and counts columns one character at a time. Here an edit
touches only the lines that it changes, so a keystroke costs the same in 100,000 lines as in ten. Knows
nothing about notebooks or completions.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path
from pygls.workspace import PositionCodec, TextDocument, Workspace

from lsp.documents.secrets import SecretLines


def split_lines(text: str) -> list[str]:
    """Lines with their ends, split at LSP's line ends only (\\n, \\r\\n, \\r; LSP 3.18, text documents).

    The last line has no end (and may be empty), so every position of the document lies in a line.
    """
    # newline="" makes io split at exactly these three and leave them as they are, in C.
    lines = io.StringIO(text, newline="").readlines()
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def line_end(line: str) -> str:
    """The line's own end: "\\n", "\\r\\n", "\\r" or ""."""
    if line.endswith("\r\n"):
        return "\r\n"
    return line[-1:] if line.endswith(("\n", "\r")) else ""


def columns_to_index(text: str, columns: int, encoding: str) -> int:
    """The index of the character that starts at (or holds) the given column of `text`.

    `columns` counts units of `encoding` ("utf-8", "utf-16", "utf-32"). A column in the middle of a
    character means its start; one beyond the end means the end.
    """
    columns = max(columns, 0)
    if encoding == "utf-32" or text.isascii():
        return min(columns, len(text))
    if encoding == "utf-8":
        data = text.encode("utf-8", "surrogatepass")
        cut = min(columns, len(data))
        while 0 < cut < len(data) and data[cut] & 0xC0 == 0x80:
            cut -= 1
        return len(data[:cut].decode("utf-8", "surrogatepass"))
    data = text.encode("utf-16-le", "surrogatepass")
    cut = min(2 * columns, len(data))
    if 0 < cut < len(data) and data[cut + 1] >> 2 == 0xDC >> 2 and data[cut - 1] >> 2 == 0xD8 >> 2:
        cut -= 2
    return len(data[:cut].decode("utf-16-le", "surrogatepass"))


def columns_of(text: str, encoding: str) -> int:
    """The width of `text` in units of `encoding`."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change: `removed_lines` lines from `start_line` on became `added_lines` lines."""

    start_line: int
    removed_lines: int
    added_lines: int


class Document(TextDocument):
    """One open document, kept as a list of lines."""

    def __init__(
        self,
        uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
        *,
        sync_kind: types.TextDocumentSyncKind = types.TextDocumentSyncKind.Incremental,
        position_codec: PositionCodec | None = None,
        on_edit: Callable[[Document, Edit], None] | None = None,
    ) -> None:
        super().__init__(
            readable_uri(uri),
            source,
            version,
            language_id,
            sync_kind=sync_kind,
            position_codec=position_codec,
        )
        self.uri = uri
        # None: not open in the editor, so the file is read when its text is asked for.
        self._lines: list[str] | None = None if source is None else split_lines(source)
        self._source = None
        self._on_edit = on_edit
        self._secrets: SecretLines | None = None

    @property
    def secret_line(self) -> int | None:
        """The first line that holds a key or a credential; None if none does."""
        if self._secrets is None:
            self._secrets = SecretLines(self.lines)
        return self._secrets.first

    @property
    def encoding(self) -> str:
        """The units of this session's positions: "utf-8", "utf-16" or "utf-32"."""
        return str(getattr(self.position_codec.encoding, "value", self.position_codec.encoding))

    @property
    def lines(self) -> Sequence[str]:
        """The lines with their ends; the last one has none."""
        if self._lines is None:
            self._lines = split_lines(self._read_file())
        return self._lines

    @property
    def source(self) -> str:
        """The whole text. Joined anew after an edit: not for use at every keystroke."""
        if self._source is None:
            self._source = "".join(self.lines)
        return self._source

    def _read_file(self) -> str:
        # newline="" keeps \r\n, or positions after the first line end would be wrong.
        with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read()

    def to_index(self, position: types.Position) -> tuple[int, int]:
        """(line, character index in it) of a client's position, clamped into the document."""
        lines = self.lines
        if position.line >= len(lines):
            return len(lines) - 1, len(lines[-1])
        line = lines[position.line]
        content = line[: len(line) - len(line_end(line))]
        return position.line, columns_to_index(content, position.character, self.encoding)

    def to_position(self, line: int, start_char: int) -> types.Position:
        """The client's position of a character index in a line."""
        return types.Position(line=line, character=columns_of(self.lines[line][:start_char], self.encoding))

    def text_before(self, line: int, start_char: int, *, first_line: int = 0) -> str:
        """The text from the start of `first_line` up to the cursor."""
        return "".join(self.lines[first_line:line]) + self.lines[line][:start_char]

    def text_after(self, line: int, start_char: int, *, last_line: int | None = None) -> str:
        """The text from the cursor up to the end of `last_line` (None: of the document)."""
        stop = None if last_line is None else last_line + 1
        return self.lines[line][start_char:] + "".join(self.lines[line + 1 : stop])

    def _apply_full_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        old, new = self._lines or [], split_lines(change.text)
        # Clients without incremental sync send the whole text at every key; find where the edit was.
        pairs = enumerate(zip(old, new, strict=False))
        same = next((number for number, (was, now) in pairs if was != now), min(len(old), len(new)))
        self._lines = new
        self._edited(Edit(start_line=same, removed_lines=len(old) - same, added_lines=len(new) - same))

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        start_line, start_char = self.to_index(change.range.start)
        end_line, end_char = self.to_index(change.range.end)
        lines = self.lines
        assert isinstance(lines, list)
        fragment = lines[start_line][:start_char] + change.text + lines[end_line][end_char:]
        if fragment.startswith("\n") and start_line and lines[start_line - 1].endswith("\r"):
            # The edit brought a lone \r and a \n together: they are one line end now.
            start_line -= 1
            fragment = lines[start_line] + fragment
        added = split_lines(fragment)
        if end_line + 1 < len(lines) and not added[-1]:
            added.pop()
        lines[start_line : end_line + 1] = added
        removed = end_line + 1 - start_line
        self._edited(Edit(start_line=start_line, removed_lines=removed, added_lines=len(added)))

    def _edited(self, edit: Edit) -> None:
        self._source = None
        if self._secrets is not None:
            added = self.lines[edit.start_line : edit.start_line + edit.added_lines]
            self._secrets.replace(edit.start_line, edit.removed_lines, added)
        if self._on_edit is not None:
            self._on_edit(self, edit)

    # pygls's own look-ups go through its codec, which mutates the position it is given, takes a
    # column beyond the end for the last but one, and walks the line in Python.

    def offset_at_position(self, client_position: types.Position) -> int:
        """The number of characters before a client's position."""
        line, start_char = self.to_index(client_position)
        return sum(map(len, self.lines[:line])) + start_char


class Documents(Workspace):
    """pygls's workspace with our documents. `on_edit` hears every change of each."""

    def __init__(
        self,
        root_uri: str | None,
        *,
        folders: Sequence[types.WorkspaceFolder],
        encoding: types.PositionEncodingKind | str,
        on_edit: Callable[[Document, Edit], None] | None = None,
    ) -> None:
        self._on_edit = on_edit
        super().__init__(root_uri, types.TextDocumentSyncKind.Incremental, folders, encoding)

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> Document:
        return Document(
            doc_uri,
            source,
            version,
            language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
            on_edit=self._on_edit,
        )

    def update_text_document(
        self, text_doc: types.VersionedTextDocumentIdentifier, change: types.TextDocumentContentChangeEvent
    ) -> None:
        """Apply one change. Some clients number no versions: theirs are counted on."""
        document = self._text_documents[unquote(text_doc.uri)]
        known = document.version or 0
        document.apply_change(change)
        document.version = known + 1 if text_doc.version is None else text_doc.version

    def of_path(self, path: str) -> Iterator[Document]:
        """The open documents of a path."""
        for document in self._text_documents.values():
            if isinstance(document, Document) and document.path == path:
                yield document

    def uris(self) -> list[str]:
        """The open documents' names."""
        return [document.uri for document in self._text_documents.values()]

    def roots(self) -> list[Path]:
        """The workspace's folders, or the root of older clients."""
        uris = [folder.uri for folder in self.folders.values()] or [self.root_uri]
        return [path for uri in uris if uri and (path := file_path(uri)) is not None]

    def open_document(self, uri: str) -> Document | None:
        """The document; None if the editor does not have it open."""
        document = self._text_documents.get(unquote(uri))
        return document if isinstance(document, Document) else None


def readable_uri(uri: str) -> str:
    """The URI; of one that cannot be taken apart, or whose path cannot be, one that names no file."""
    try:
        urlsplit(uri)
        os.fsencode(unquote(uri))
        is_readable = "\0" not in unquote(uri)
    except ValueError:  # also UnicodeEncodeError: half of a surrogate pair
        is_readable = False
    return uri if is_readable else f"unreadable:{quote(uri, errors='replace')}"


def named_paths(uri: str) -> list[Path]:
    """What a URI of any scheme names, as absolute paths: `untitled:.env` and a file on another machine too.

    Some clients leave `#` and `?` in a path as they are, so the text with them is a name as well.
    """
    uri = readable_uri(uri)
    if (path := file_path(uri)) is not None and not urlsplit(uri).fragment and not urlsplit(uri).query:
        return [path]
    parts = urlsplit(uri)
    whole = uri.removeprefix(f"{parts.scheme}:").removeprefix(f"//{parts.netloc}" if parts.netloc else "//")
    return [Path("/", unquote(each).lstrip("/")) for each in dict.fromkeys((parts.path, whole))]


def file_path(uri: str) -> Path | None:
    """The path of a `file:` URI; None for documents that are no files (untitled, virtual)."""
    uri = readable_uri(uri)
    path = to_fs_path(uri) if urlsplit(uri).scheme == "file" else None
    return Path(path) if path else None
