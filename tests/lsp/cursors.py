"""Documents drawn with a cursor, ║, as the filters see them."""

from __future__ import annotations

from typing import Any

from lsp.postprocess import FINAL, CursorContext, Ended, Filter, Suggestion, postprocess


def at(drawing: str, *, language: str = "python", **options: Any) -> CursorContext:
    """The context of a drawn document, which is taken to be whole."""
    prefix, suffix = drawing.split("║")
    options.setdefault("from_file_start", True)
    return CursorContext.at(prefix=prefix, suffix=suffix, language=language, **options)


def filtered(
    step: Filter, text: str, drawing: str, *, ended: Ended = Ended.STOP, **options: Any
) -> str | None:
    """What one filter makes of a text."""
    result = step(Suggestion(text, ended), at(drawing, **options))
    return None if result is None else result.text


def final(text: str, drawing: str, *, ended: Ended = Ended.STOP, **options: Any) -> str | None:
    """What the whole list makes of a text."""
    outcome = postprocess(Suggestion(text, ended), at(drawing, **options), FINAL)
    return None if outcome.suggestion is None else outcome.suggestion.text
