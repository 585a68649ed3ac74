"""The text of a notebook's other cells, as context of the one being edited.

Earlier code cells of the same language precede the cell, as in one script; Markdown cells between them
become comments. A cell that holds a key or a credential is no context of another. Later cells stay out,
since a cell must not depend on what runs after it. Positions are always those of the cell's own document.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from lsp.documents.comments import CommentSyntax, comment_syntax
from lsp.documents.documents import Document, Documents

# Fills any context window, and bounds the work of a keystroke in a notebook of any size.
MAX_CHARS = 32_768
# Of Markdown, the beginning says what the code is about.
MAX_MARKDOWN_LINES = 8
DEFAULT_COMMENTS = CommentSyntax("//")


def text_of_earlier_cells(documents: Documents, cell: Document) -> str:
    """The earlier cells as code that precedes `cell`, "" outside a notebook.

    Whole cells, the nearest ones, at most `MAX_CHARS` characters.
    """
    notebook = documents.get_notebook_document(cell_uri=cell.uri)
    if notebook is None:
        return ""
    earlier: list[str] = []
    n_chars = 0
    for text in _backwards(documents, notebook, cell):
        n_chars += len(text)
        if n_chars > MAX_CHARS:
            break
        earlier.append(text)
    return "".join(reversed(earlier))


def _backwards(documents: Documents, notebook: types.NotebookDocument, cell: Document) -> Iterator[str]:
    """The texts of the cells before `cell`, the nearest first, each with a blank line after it."""
    uris = [entry.document for entry in notebook.cells]
    if cell.uri not in uris:
        return
    for entry in reversed(notebook.cells[: uris.index(cell.uri)]):
        other = documents.open_document(entry.document)
        if other is None or other.secret_line is not None or not other.source.strip():
            continue
        if entry.kind == types.NotebookCellKind.Markup:
            yield _as_comment(other, cell.language_id or "") + "\n\n"
        elif other.language_id == cell.language_id:
            yield other.source.rstrip() + "\n\n"


def _as_comment(markdown: Document, language: str) -> str:
    syntax = comment_syntax(language) or DEFAULT_COMMENTS
    lines = [line.strip() for line in markdown.lines if line.strip()]
    return "\n".join(f"{syntax.start} {line} {syntax.end}".rstrip() for line in lines[:MAX_MARKDOWN_LINES])


def notebook_uri(documents: Documents, document: Document) -> str | None:
    """The notebook of a cell, None for other documents. Exclusions and history go by its path."""
    notebook = documents.get_notebook_document(cell_uri=document.uri)
    return None if notebook is None else notebook.uri
