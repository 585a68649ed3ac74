"""Methods of other assistants' clients, so that existing plug-ins work unchanged.

llm-ls (Hugging Face): `llm-ls/getCompletions`, `acceptCompletion`, `rejectCompletion`, with parameters
in camelCase or, from older plug-ins, snake_case. Our settings choose the model, so back ends, tokens and
tokenizers in a request are ignored. Copilot:
`textDocument/didShowCompletion`, `didPartiallyAcceptCompletion`, `didFocus`.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp.completion.completion import Ask

if TYPE_CHECKING:
    from lsp.server.window import Window

REMEMBERED_REQUESTS = 64


class LlmLs:
    """llm-ls's three requests."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._items: OrderedDict[str, list[str]] = OrderedDict()  # request id -> our items' ids

    async def get_completions(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`{request_id, completions: [{generated_text}]}`."""
        uri, position = _text_position(params)
        place = self._window.place_at(uri, position)
        texts: list[str] = []
        ids: list[str] = []
        if place is not None:
            # These clients insert at the cursor and debounce before they ask.
            ask = Ask(place=place, can_replace=False, client_debounces=True)
            async with aclosing(await self._window.suggest(ask)) as updates:
                async for update in updates:
                    if update.item is not None:
                        texts.append(update.item.text)
                        ids.append(self._window.acceptances.offer(update.item))
        request_id = str(uuid.uuid4())
        self._items[request_id] = ids
        if len(self._items) > REMEMBERED_REQUESTS:
            self._items.popitem(last=False)
        return {"request_id": request_id, "completions": [{"generated_text": text} for text in texts]}

    def accept(self, params: Mapping[str, Any]) -> None:
        """The user accepted one of the completions."""
        ids = self._known(params)
        index = _either(params, "acceptedCompletion", "accepted_completion") or 0
        if isinstance(index, int) and 0 <= index < len(ids):
            self._window.acceptances.accepted(ids[index])

    def reject(self, params: Mapping[str, Any]) -> None:
        """The user rejected the completions that were shown."""
        ids = self._known(params)
        shown = _either(params, "shownCompletions", "shown_completions")
        for index in shown if isinstance(shown, Sequence) else range(len(ids)):
            if isinstance(index, int) and 0 <= index < len(ids):
                self._window.acceptances.rejected(ids[index])

    def _known(self, params: Mapping[str, Any]) -> list[str]:
        return self._items.get(str(_either(params, "requestId", "request_id")), [])


def copilot_item_id(params: object) -> str | None:
    """The id of the item in `{item: {command: {arguments: [id]}}}`; None if it is not one of ours."""
    item = params.get("item") if isinstance(params, Mapping) else None
    command = item.get("command") if isinstance(item, Mapping) else None
    arguments = command.get("arguments") if isinstance(command, Mapping) else None
    first = arguments[0] if isinstance(arguments, Sequence) and arguments else None
    return first if isinstance(first, str) else None


def copilot_accepted_length(params: Mapping[str, Any]) -> int:
    """How much of the insert text was accepted, in UTF-16 units; 0 if that is not said."""
    length = params.get("acceptedLength")
    return length if isinstance(length, int) else 0


def _either(params: Mapping[str, Any], *names: str) -> Any:
    return next((params[name] for name in names if name in params), None)


def _text_position(params: Mapping[str, Any]) -> tuple[str, types.Position]:
    try:
        document = _either(params, "textDocument", "text_document")
        position = params["position"]
        return str(document["uri"]), types.Position(int(position["line"]), int(position["character"]))
    except (KeyError, TypeError, ValueError) as error:
        raise JsonRpcInvalidParams(f"textDocument.uri and position are needed ({error!r})") from error
