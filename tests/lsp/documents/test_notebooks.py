"""Earlier cells as context, while cells come, go and move."""

from __future__ import annotations

import pytest
from lsprotocol import types

from lsp.documents.documents import Document, Documents
from lsp.documents.notebooks import MAX_CHARS, notebook_uri, text_of_earlier_cells

NOTEBOOK = "file:///nb.ipynb"
CODE, MARKDOWN = types.NotebookCellKind.Code, types.NotebookCellKind.Markup


def cell_item(name: str, text: str, language: str = "python") -> types.TextDocumentItem:
    return types.TextDocumentItem(uri=f"cell:{name}", language_id=language, version=1, text=text)


def open_notebook(*cells: tuple[str, str]) -> Documents:
    documents = Documents(None, folders=[], encoding="utf-16")
    documents.put_notebook_document(
        types.DidOpenNotebookDocumentParams(
            notebook_document=types.NotebookDocument(
                uri=NOTEBOOK,
                notebook_type="jupyter-notebook",
                version=1,
                cells=[types.NotebookCell(kind=CODE, document=f"cell:{name}") for name, _ in cells],
            ),
            cell_text_documents=[cell_item(name, text) for name, text in cells],
        )
    )
    return documents


def restructure(
    documents: Documents,
    start: int,
    delete: int,
    added: list[types.TextDocumentItem],
    kind: types.NotebookCellKind,
) -> None:
    structure = types.NotebookDocumentCellChangeStructure(
        array=types.NotebookCellArrayChange(
            start=start,
            delete_count=delete,
            cells=[types.NotebookCell(kind=kind, document=each.uri) for each in added],
        ),
        did_open=added,
    )
    documents.update_notebook_document(
        types.DidChangeNotebookDocumentParams(
            notebook_document=types.VersionedNotebookDocumentIdentifier(version=2, uri=NOTEBOOK),
            change=types.NotebookDocumentChangeEvent(
                cells=types.NotebookDocumentCellChanges(structure=structure)
            ),
        )
    )


def cell(documents: Documents, name: str) -> Document:
    document = documents.open_document(f"cell:{name}")
    assert document is not None
    return document


def test_cells_come_in_the_notebooks_order_after_one_is_inserted() -> None:
    documents = open_notebook(("a", "import a\n\n"), ("b", "b = 1"), ("c", "c = "))
    restructure(documents, 1, 0, [cell_item("new", "new = 0")], CODE)
    assert text_of_earlier_cells(documents, cell(documents, "c")) == "import a\n\nnew = 0\n\nb = 1\n\n"
    assert text_of_earlier_cells(documents, cell(documents, "a")) == ""


def test_a_deleted_cell_is_gone() -> None:
    documents = open_notebook(("a", "import a"), ("b", "b = 1"), ("c", "c = "))
    restructure(documents, 0, 1, [], CODE)
    assert text_of_earlier_cells(documents, cell(documents, "c")) == "b = 1\n\n"


@pytest.mark.parametrize(("language", "sign"), [("python", "# "), ("javascript", "// "), ("sql", "-- ")])
def test_markdown_becomes_comments_of_the_cells_language(language: str, sign: str) -> None:
    documents = open_notebook(("a", ""))
    restructure(documents, 0, 0, [cell_item("m", "# Title\n\nWhy this.\n", "markdown")], MARKDOWN)
    code = cell(documents, "a")
    code.language_id = language
    assert text_of_earlier_cells(documents, code) == f"{sign}# Title\n{sign}Why this.\n\n"


def test_the_nearest_whole_cells_are_kept_of_a_long_notebook() -> None:
    long = "x = 1\n" * (MAX_CHARS // 15)
    documents = open_notebook(("a", "far = 1\n" + long), ("b", long), ("c", long), ("d", ""))
    text = text_of_earlier_cells(documents, cell(documents, "d"))
    assert len(text) <= MAX_CHARS
    assert text == 2 * (long.rstrip() + "\n\n")


def test_a_document_of_its_own_has_no_earlier_cells() -> None:
    documents = open_notebook(("a", "import a"))
    documents.put_text_document(types.TextDocumentItem("file:///x.py", "python", 1, "x"))
    document = documents.open_document("file:///x.py")
    assert document is not None
    assert text_of_earlier_cells(documents, document) == ""
    assert notebook_uri(documents, document) is None
    assert notebook_uri(documents, cell(documents, "a")) == NOTEBOOK
