"""The place of a completion: a cursor, and the text around it as the filters and type-through see it.

The text is cut to what can matter there, so that the work is bounded by the window, not by the file. The
prompt has another window, `lsp.context.context`'s, which counts in the engine's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsp.documents.documents import Document, columns_of

LINES_BEFORE = 200
LINES_AFTER = 100
MAX_CHARS_BEFORE = 12_288
MAX_CHARS_AFTER = 8_192


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selected item of the editor's own completion list, and the columns that it would replace."""

    start_char: int
    end_char: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cursor in a version of a document, with the text around it as the document has it.

    An item replaces at least `replace_start_char` to `replace_end_char` on `line`. `lead` is the text that
    stands there in the prompt: the selected item's, else none. `above` is text that precedes the document:
    the earlier cells of a notebook. `before` and `after` are windows.
    """

    document: Document
    version: int | None
    line: int
    line_text: str
    replace_start_char: int
    replace_end_char: int
    lead: str
    before: str
    after: str
    from_file_start: bool
    above: str = ""

    @property
    def uri(self) -> str:
        """The document's."""
        return self.document.uri

    @property
    def language(self) -> str:
        """The editor's language id."""
        return self.document.language_id or ""

    def columns(self, replace_chars: int = 0) -> tuple[int, int]:
        """The client's columns that an item replaces, with `replace_chars` more behind the cursor."""
        encoding = self.document.encoding
        end_char = self.replace_end_char + replace_chars
        return (
            columns_of(self.line_text[: self.replace_start_char], encoding),
            columns_of(self.line_text[:end_char], encoding),
        )

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.before[max(self.before.rfind("\n"), self.before.rfind("\r")) + 1 :]

    @property
    def line_tail(self) -> str:
        """The cursor's line from the cursor on, without its end."""
        return self.after.split("\n", 1)[0].split("\r", 1)[0]

    @property
    def is_current(self) -> bool:
        """Whether the document has not changed since."""
        return self.document.version == self.version


def find_place(
    document: Document, line: int, start_char: int, *, selected: Selected | None = None, above: str = ""
) -> Place:
    """The place at a cursor."""
    begin = end = start_char
    lead = ""
    if selected is not None:
        begin, end, lead = selected.start_char, max(selected.end_char, start_char), selected.text
    first_line = max(0, line - LINES_BEFORE)
    text = document.text_before(line, begin, first_line=first_line) + lead
    before = text if first_line else above + text
    after = document.text_after(line, end, last_line=line + LINES_AFTER)
    return Place(
        document=document,
        version=document.version,
        line=line,
        line_text=document.lines[line],
        replace_start_char=begin,
        replace_end_char=end,
        lead=lead,
        before=well_formed(before[-MAX_CHARS_BEFORE:]),
        after=well_formed(after[:MAX_CHARS_AFTER]),
        from_file_start=not first_line and len(before) <= MAX_CHARS_BEFORE,
        above=above,
    )


def well_formed(text: str) -> str:
    """Text without half surrogate pairs, which JSON can carry and UTF-8 cannot."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
