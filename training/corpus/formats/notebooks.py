"""Jupyter notebooks, as scripts and as structured text.

Structured: `<jupyter_start>` and then, again and again,
`<jupyter_text>markdown<jupyter_code>code<jupyter_output>output`; cells of a kind that follow one
another are one block; code before the first text and text after the last code are left out
(BigCode's `jupyter-structured/`). Scripts are Jupytext's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from training.corpus.errors import CorpusError
from training.corpus.formats.marked import MarkedText
from training.corpus.records.document import Reason

JUPYTER_START = "<jupyter_start>"
JUPYTER_TEXT = "<jupyter_text>"
JUPYTER_CODE = "<jupyter_code>"
JUPYTER_OUTPUT = "<jupyter_output>"
EMPTY_OUTPUT = "<empty_output>"
MAX_OUTPUT_CHARS = 1000
_CUT = "[...]"
_HTML_TAG = re.compile(r"<.*?>")
_EXTENSION = re.compile(r"\.[A-Za-z]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBlock:
    """Cells of one kind in a row, as one text; `output` is that of the last cell, None for none."""

    is_code: bool
    text: str
    output: str | None


def structured_text(source: str) -> MarkedText | Reason:
    """A notebook's JSON in the structured format, or why it is dropped (it must be of Python)."""
    try:
        notebook = _read(source)
        if "py" not in json.dumps(notebook["metadata"]):
            return Reason.NOTEBOOK_UNREADABLE
        blocks = _turns(list(_blocks(notebook["cells"])))
    except (CorpusError, KeyError, TypeError, AttributeError):
        return Reason.NOTEBOOK_UNREADABLE
    if not blocks:
        return Reason.NOTEBOOK_EMPTY
    marked = MarkedText().token(JUPYTER_START)
    for block in blocks:
        marked.token(JUPYTER_CODE if block.is_code else JUPYTER_TEXT).plain(block.text)
        if block.is_code:
            marked.token(JUPYTER_OUTPUT)
            _add_output(marked, block.output)
    return marked


def script_of(source: str, path: str) -> tuple[str, str] | Reason:
    """(path, text) of a notebook as a script in its own language, by Jupytext; or why not.

    In Jupytext's light format, its default of then; the header with the kernel's metadata is left out.
    """
    import jupytext  # type: ignore[import-untyped] # it has no types
    from nbformat.notebooknode import from_dict

    try:
        notebook = from_dict(_read(source))  # type: ignore[no-untyped-call] # the library's
        extension = _extension(notebook.metadata)
        notebook.metadata["jupytext"] = {"notebook_metadata_filter": "-all", "cell_metadata_filter": "-all"}
        text = jupytext.writes(notebook, fmt=f"{extension.removeprefix('.')}:light")
    except (CorpusError, KeyError, TypeError, AttributeError, ValueError):
        return Reason.NOTEBOOK_UNREADABLE
    return str(PurePosixPath(path).with_suffix(extension)), text


def _read(source: str) -> dict[str, Any]:
    """A notebook of format 4, or 3 brought to it, with each cell's source as one text."""
    try:
        raw: Any = json.loads(source)
        if not isinstance(raw, dict):
            raise CorpusError("a notebook must be a JSON object")
        if "worksheets" in raw:
            raw = _of_format_3(raw)
        for cell in raw["cells"]:
            cell["source"] = "".join(cell["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"not a notebook: {error!r}") from error
    return dict(raw)


def _of_format_3(raw: Mapping[str, Any]) -> dict[str, Any]:
    cells = [cell for sheet in raw["worksheets"] for cell in sheet["cells"]]
    for cell in cells:
        cell["source"] = cell.get("source", cell.get("input", ""))
        cell.setdefault("metadata", {})
        if cell["cell_type"] == "heading":
            cell["cell_type"] = "markdown"
            cell["source"] = "#" * int(cell.get("level", 1)) + " " + "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    metadata = {**raw.get("metadata", {})}
    metadata.setdefault("language_info", {"name": "python", "file_extension": ".py"})
    return {"metadata": metadata, "cells": cells, "nbformat": 4, "nbformat_minor": 2}


def _blocks(cells: Sequence[Mapping[str, Any]]) -> Iterator[CellBlock]:
    written = [cell for cell in cells if cell["source"] and cell["cell_type"] in ("markdown", "code")]
    for kind, group in groupby(written, key=lambda cell: str(cell["cell_type"])):
        block = list(group)
        if kind == "code":
            text = "\n".join(str(cell["source"]) for cell in block)
            yield CellBlock(is_code=True, text=text.strip(), output=_first_output(block[-1]))
        else:
            text = " ".join(_plain(str(cell["source"])) for cell in block)
            yield CellBlock(is_code=False, text=text.strip(), output=None)


def _turns(blocks: list[CellBlock]) -> list[CellBlock]:
    """From the first text to the last code."""
    if blocks and blocks[0].is_code:
        blocks = blocks[1:]
    if blocks and not blocks[-1].is_code:
        blocks = blocks[:-1]
    return blocks


def _plain(markdown: str) -> str:
    return _HTML_TAG.sub("", markdown).replace("\n", "").replace("#", "")


def _first_output(cell: Mapping[str, Any]) -> str | None:
    """The text of a cell's first output; pictures and tables have none."""
    outputs = cell.get("outputs") or [{}]
    text = "".join(outputs[0].get("text", ""))
    return text or None


def _add_output(marked: MarkedText, output: str | None) -> None:
    if output is None:
        marked.token(EMPTY_OUTPUT)
    else:
        marked.plain((output[:MAX_OUTPUT_CHARS] + _CUT if len(output) > MAX_OUTPUT_CHARS else output).strip())


def _extension(metadata: Mapping[str, Any]) -> str:
    named = metadata.get("language_info", {}).get("file_extension", "")
    if isinstance(named, str) and _EXTENSION.fullmatch(named):
        return named
    if "py" in str(metadata.get("kernelspec", "")):
        return ".py"
    raise CorpusError("the notebook names no language")
