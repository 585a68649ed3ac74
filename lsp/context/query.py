"""From a place to the engine's question: the window, the excerpts of other files, how far to go.

Owns what is remembered of the user's work (visited places, open files) as context for the next
question. Excluded files never become context. Knows nothing about how the question is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lsp.context.context import ContextBudget, window_around
from lsp.context.excerpts import ExcerptChooser
from lsp.context.ring import ContextRing
from lsp.documents.documents import Document
from lsp.documents.place import Place, well_formed
from lsp.postprocess.suggestion import to_lf

if TYPE_CHECKING:
    from lsp.settings.settings import CompletionSettings
    from model.client.client import CompletionQuery

# StarCoder's context, for an engine that does not tell its own.
DEFAULT_CONTEXT_TOKENS = 8_192
# Of a longer context no more is used: texts are sent and encoded at every key.
_LARGEST_WINDOW_TOKENS = 8_192
# After these at its end, a line is continued by the lines below it.
_OPENERS = (":", "{", "(", "[", ",", "=>", "->", "do", "then", "else", "begin", "\\")
_CLOSERS = ")]}>\"'`;, \t"


class QueryMaker:
    """Makes questions for all documents of one editor window."""

    def __init__(self, *, is_allowed: Callable[[str], bool], roots: Callable[[], Sequence[Path]]) -> None:
        self.context_tokens = DEFAULT_CONTEXT_TOKENS
        self._is_allowed = is_allowed
        self._roots = roots
        # By path, as they were last seen: a closed document can no longer be asked for.
        self._open: dict[str, Document] = {}
        self._ring = ContextRing()
        self._chooser = ExcerptChooser(self._ring)

    def opened(self, document: Document) -> None:
        """A file was opened: its text may become context."""
        self._open[document.path] = document
        self._ring.opened(document.path, document.language_id or "", document.lines)

    def edited(self, document: Document, line: int) -> None:
        """The user works at a line."""
        self._open[document.path] = document
        language = document.language_id or ""
        self._ring.visited(document.path, language, document.lines, line)
        self._ring.changed(document.path, language, document.lines)

    def closed(self, path: str) -> None:
        """A file was closed. Places visited in it are still context, if it may be one."""
        document = self._open.pop(path, None)
        if self._is_allowed(path) and (document is None or document.secret_line is None):
            self._ring.closed(path)
        else:
            self._ring.forget(path)
        self._chooser.forget(path)

    def make(self, place: Place, settings: CompletionSettings, *, single_line: bool) -> CompletionQuery:
        """The question for a place."""
        from model.client.client import CompletionQuery, ContextText

        document, line = place.document, place.line
        lines = document.lines
        budget = ContextBudget.of_engine(
            min(self.context_tokens, _LARGEST_WINDOW_TOKENS),
            max_new_tokens=settings.max_new_tokens,
            language=place.language,
        )
        window = window_around(lines, line, place.replace_end_char, budget)
        excerpts = self._chooser.choose(
            document.path,
            place.language,
            lines,
            line,
            budget_chars=budget.excerpt_chars,
            window_lines=(window.start_line, window.end_line),
            # Cached: it looks at the disk, for each of hundreds of chunks.
            allowed=cache(self._is_allowed),
        )
        if not excerpts:
            window = window_around(lines, line, place.replace_end_char, budget.without_excerpts())
        return CompletionQuery(
            prefix=_clean(self._prefix(place, window.prefix, window.start_line)),
            suffix=_clean(window.suffix),
            path=self.shown_path(document.path),
            repository=self._root_name(document.path),
            context=tuple(
                ContextText(path=self.shown_path(each.path), text=_clean(each.text)) for each in excerpts
            ),
            max_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            n=settings.alternatives,
            closed_tail=window.closed_tail,
            stop_at="line" if single_line else "block",
            max_prompt_ms=settings.max_prompt_ms,
            keep_suffix=settings.keep_suffix,
        )

    def _prefix(self, place: Place, text: str, start_line: int) -> str:
        """The window's prefix with the selected item in place, and a notebook's cells above it."""
        n_replaced = place.replace_end_char - place.replace_start_char
        text = (text[:-n_replaced] if n_replaced else text) + place.lead
        return text if start_line else place.above + text

    def shown_path(self, path: str) -> str:
        """The path as the model sees it: relative to the workspace, with forward slashes."""
        root = self._root_of(path)
        return os.path.basename(path) if root is None else Path(path).relative_to(root).as_posix()

    def _root_name(self, path: str) -> str | None:
        root = self._root_of(path)
        return None if root is None else root.name or None

    def _root_of(self, path: str) -> Path | None:
        """The workspace's folder that a file lies in."""
        return next((root for root in self._roots() if Path(path).is_relative_to(root)), None)


def _clean(text: str) -> str:
    return well_formed(to_lf(text))


def is_single_line(place: Place, *, multiline: Literal["auto", "always", "never"], explicit: bool) -> bool:
    """Whether a suggestion should end with its first line.

    "auto" gives several lines on a blank line, after what opens a block, and to a user who asked by key. In
    mid-line and behind a statement it gives one: more would mostly be guessed, and always be slower.
    """
    if multiline != "auto":
        return multiline == "never"
    if place.line_tail.strip(_CLOSERS):
        return True
    before = place.line_before.rstrip()
    return not (explicit or not before or before.endswith(_OPENERS))
