"""What became of items: shown, accepted, accepted in part, rejected, retained after 30 s.

Remembers the last items by the id in their acceptance command, and enters what clients tell of them
into the latency book. Nothing leaves this process.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from lsp.completion.reading import Item
from lsp.documents.documents import Documents, columns_to_index
from lsp.status.telemetry import RETAINED_AFTER_S, Acceptance, LatencyBook

REMEMBERED_ITEMS = 256
# How far edits around it may have moved an accepted text.
SEARCHED_LINES = 60


@dataclass
class _Offered:
    item: Item
    shown: bool = False
    accepted: bool = False


class Acceptances:
    """The items that were handed to the editor."""

    def __init__(self, documents: Documents, book: LatencyBook) -> None:
        self._documents = documents
        self._book = book
        self._offered: OrderedDict[str, _Offered] = OrderedDict()
        self._client_tells_shown = False

    def offer(self, item: Item) -> str:
        """Remember an item; returns its id. It counts as shown, unless the client says when it is."""
        item_id = uuid.uuid4().hex
        self._offered[item_id] = _Offered(item)
        if len(self._offered) > REMEMBERED_ITEMS:
            self._offered.popitem(last=False)
        if not self._client_tells_shown:
            self._show(item_id)
        return item_id

    def shown(self, item_id: str) -> None:
        """The client has shown the item."""
        self._client_tells_shown = True
        self._show(item_id)

    def accepted(self, item_id: str) -> None:
        """The user accepted the whole item."""
        offered = self._offered.get(item_id)
        if offered is not None and not offered.accepted:
            offered.accepted = True
            self._accept(offered.item, offered.item.text, partially=False)

    def partially_accepted(self, item_id: str, n_units: int) -> None:
        """The user accepted the first `n_units` UTF-16 units of the item's insert text."""
        offered = self._offered.get(item_id)
        if offered is not None:
            item = offered.item
            inserted = item.place.lead + item.text
            taken = inserted[: columns_to_index(inserted, n_units, "utf-16")].removeprefix(item.place.lead)
            self._accept(item, taken, partially=True)

    def rejected(self, item_id: str) -> None:
        """The user rejected the item."""
        if self._offered.pop(item_id, None) is not None:
            self._book.rejected()

    def _show(self, item_id: str) -> None:
        offered = self._offered.get(item_id)
        if offered is not None and not offered.shown:
            offered.shown = True
            self._book.shown(len(offered.item.text))

    def _accept(self, item: Item, text: str, *, partially: bool) -> None:
        acceptance = Acceptance(uri=item.place.uri, line=item.place.line, text=text, at_s=time.monotonic())
        self._book.accepted(acceptance, partially=partially)
        asyncio.get_running_loop().call_later(
            RETAINED_AFTER_S + 0.1, lambda: self.judge_retained(time.monotonic())
        )

    def judge_retained(self, now_s: float) -> None:
        """Judge the texts that were accepted at least 30 s before `now_s`: how much of each is left?"""
        for acceptance in self._book.due(now_s):
            document = self._documents.open_document(acceptance.uri)
            if document is None:  # closed meanwhile, so its text is not known
                continue
            first = max(0, acceptance.line - SEARCHED_LINES)
            last = acceptance.line + acceptance.text.count("\n") + SEARCHED_LINES
            self._book.judged(acceptance, "".join(document.lines[first : last + 1]))
