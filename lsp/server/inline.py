"""`textDocument/inlineCompletion`: from LSP's parameters to the pipeline, and its updates back to LSP.

Partial results append items, and the final result is then empty (LSP, partial results). So each
alternative is sent once, when it is finished. Growing text goes in `starcoder/completionDelta`, to clients
that declared `experimental.starcoder`: `{token, requestId, uri, version, index, text, shown, done}`. `text`
is all that was generated so far. `shown` is the part of it that may be shown: whole lines, never taken back;
at the end the item's text, "" if there is no item. `token` is the request's `partialResultToken`. The last
delta also has the item's `references` and `label`.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from lsp.completion.completion import Ask
from lsp.completion.reading import Item, Update
from lsp.server.protocol import COMPLETION_DELTA, InlineCompletionItem, InlineCompletionParams

if TYPE_CHECKING:
    from lsp.server.server import StarcoderServer
    from lsp.server.window import Window

ACCEPTED = "starcoder.accepted"


async def answer_inline_completion(
    server: StarcoderServer, params: InlineCompletionParams
) -> types.InlineCompletionList:
    """Answer one request. Cancelling the coroutine cancels the work."""
    window = server.window
    items: list[types.InlineCompletionItem] = []
    context = params.context
    place = window.place_at(params.text_document.uri, params.position, context.selected_completion_info)
    if place is None:
        return types.InlineCompletionList(items=items)
    ask = Ask(
        place=place,
        explicit=server.triggers.is_explicit(int(context.trigger_kind)),
        client_debounces=window.facts.debounces,
    )
    token = params.partial_result_token
    async with aclosing(await window.suggest(ask)) as updates:
        async for update in updates:
            if window.facts.wants_deltas:
                server.protocol.notify(COMPLETION_DELTA, _delta(server, params, update, place.version))
            if update.item is None:
                continue
            item = to_lsp(update.item, window)
            if token is None:
                items.append(item)
            else:
                server.protocol.notify(types.PROGRESS, types.ProgressParams(token=token, value=[item]))
    return types.InlineCompletionList(items=items)


def to_lsp(item: Item, window: Window) -> InlineCompletionItem:
    """The item as LSP has it. Accepting it runs a command, by which we hear of it."""
    place = item.place
    item_id = window.acceptances.offer(item)
    start, end = place.columns(item.replace_chars)
    replaced = place.line_text[place.replace_start_char : place.replace_end_char]
    text = place.lead + item.text
    return InlineCompletionItem(
        insert_text=text,
        # Clients hide an item whose text does not begin with what it replaces (a fuzzy match, say).
        filter_text=None if text.startswith(replaced) else replaced + item.text,
        range=types.Range(types.Position(place.line, start), types.Position(place.line, end)),
        command=types.Command(title="Accepted", command=ACCEPTED, arguments=[item_id]),
        starcoder={
            "id": item_id,
            "index": item.index,
            "confidence": item.confidence,
            "latencyMs": item.latency_ms,
            "timings": dict(item.timings),
        },
        references=[reference.to_wire() for reference in item.references],
        label=item.label,
    )


def _delta(
    server: StarcoderServer, params: InlineCompletionParams, update: Update, version: int | None
) -> dict[str, Any]:
    delta = {
        "token": params.partial_result_token,
        "requestId": server.protocol.msg_id,
        "uri": params.text_document.uri,
        "version": version,
        "index": update.index,
        "text": update.text,
        "shown": update.shown,
        "done": update.done,
    }
    if not update.done:
        return delta
    item = update.item
    references = [] if item is None else [reference.to_wire() for reference in item.references]
    return {**delta, "references": references, "label": None if item is None else item.label}


class TriggerNumbering:
    """Which trigger kind means "by key": 1 in LSP 3.18, 0 in clients that are older."""

    def __init__(self) -> None:
        self._from_zero = False

    def is_explicit(self, kind: int) -> bool:
        """Whether the user asked by key. A client counts from 0 if it has ever sent a 0."""
        self._from_zero = (self._from_zero or kind == 0) and kind != 2
        return kind == (0 if self._from_zero else 1)
