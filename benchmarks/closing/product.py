"""The language server's own way from a cursor and a model's answer to what the document becomes."""

from __future__ import annotations

from pathlib import Path

from lsp.completion.generation import Alternative
from lsp.completion.reading import Item, Reading, state_of
from lsp.context.query import QueryMaker, is_single_line
from lsp.documents.documents import Document
from lsp.documents.place import Place, find_place
from lsp.postprocess import CursorContext
from lsp.settings.settings import CompletionSettings
from model.client.client import CompletionQuery
from model.stopping.stopping import StopAt, StopRules, StopState


class Editor:
    """A document and its cursor, as an editor would hold them."""

    def __init__(self, path: Path, language_id: str, before: str, after: str) -> None:
        self._before, self._after = before, after
        document = Document(path.as_uri(), before + after, version=1, language_id=language_id)
        line = before.count("\n")
        self._place: Place = find_place(document, line, len(before) - before.rfind("\n") - 1)

    def query(self) -> CompletionQuery:
        """What the engine is asked here."""
        maker = QueryMaker(is_allowed=lambda path: True, roots=lambda: ())
        single_line = is_single_line(self._place, multiline="auto", explicit=False)
        return maker.make(self._place, CompletionSettings(), single_line=single_line)

    def accept(self, answer: str, finish_reason: str) -> str | None:
        """The document with the suggestion that is made of an engine's answer; None if none is shown."""
        item = self._item(answer, finish_reason)
        return None if item is None else self._before + item.text + self._after[item.replace_chars :]

    def _item(self, answer: str, finish_reason: str) -> Item | None:
        place = self._place
        context = CursorContext.at(
            prefix=place.before,
            suffix=place.after,
            language=place.language,
            can_replace=True,
            from_file_start=place.from_file_start,
        )
        reading = Reading(0, origin=state_of(place), place=place, context=context, threshold=0.0)
        update = reading.look(Alternative(text=answer, finish_reason=finish_reason), ended=True)
        return None if update is None else update.item


def engine_text(query: CompletionQuery, answer: str) -> str:
    """What of a model's whole answer the engine sends, which ends where its stop rules say."""
    assert query.stop_at is not None
    rules = StopRules.for_cursor(
        query.prefix,
        query.suffix,
        stop_at=StopAt(query.stop_at),
        path=query.path,
        closed_tail=query.closed_tail,
    )
    state = StopState(rules)
    text = "".join(state.push(answer[at : at + 4]).emit for at in range(0, len(answer), 4))
    return text + state.flush()
