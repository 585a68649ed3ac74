"""What our engine is asked after a key: the language server's own window, excerpts and rules."""

from __future__ import annotations

from pathlib import Path

from benchmarks.replay.session import ROOT, Stroke
from lsp.context.query import QueryMaker, is_single_line
from lsp.documents.documents import Document
from lsp.documents.place import find_place
from lsp.settings.settings import CompletionSettings
from model.client.client import CompletionQuery


class Questions:
    """The questions of one editor window, with an engine of so much context.

    Where it `remembers`, other open files and the places of earlier keys are context, as they are in use.
    """

    def __init__(
        self, context_tokens: int, *, remembers: bool = False, settings: CompletionSettings | None = None
    ) -> None:
        self._remembers = remembers
        self._settings = settings or CompletionSettings()
        self._maker = QueryMaker(is_allowed=lambda path: True, roots=lambda: [ROOT])
        self._maker.context_tokens = context_tokens

    def open(self, path: Path) -> None:
        """Open a file: from now on its text is context of the others."""
        self._maker.opened(Document(path.as_uri(), path.read_text(encoding="utf-8"), version=0))

    def after(self, stroke: Stroke) -> CompletionQuery:
        """Press the key; the question for where the cursor is then."""
        line, start_char = stroke.press()
        if self._remembers:
            self._maker.edited(stroke.document, line)
        place = find_place(stroke.document, line, start_char)
        single_line = is_single_line(place, multiline=self._settings.multiline, explicit=False)
        return self._maker.make(place, self._settings, single_line=single_line)
