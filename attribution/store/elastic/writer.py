"""The index on an Elasticsearch cluster. Writing.

Every action is one that can be done twice, so a batch that a dead node or a dead build cut
off is simply sent again. A few batches are under way at once, in threads; within a batch contents
go first, so that no document is ever without its text.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from elasticsearch import Elasticsearch

from attribution.errors import IndexUnavailableError
from attribution.source import AnyDocument
from attribution.store.contract import AddCounts, Removed, missing
from attribution.store.elastic.actions import (
    create_content,
    delete,
    document_id,
    opt_out_id,
    put_document,
    put_opt_out,
)
from attribution.store.elastic.lookups import Lookups
from attribution.store.elastic.place import ElasticPlace, connect, translated
from attribution.store.elastic.reader import source_of
from attribution.store.elastic.requests import Action, Requests
from attribution.store.elastic.schema import channels_of, create, restore, terms
from attribution.store.opt_outs import OptOut, OptOuts
from attribution.store.prepare import PreparedBatch
from attribution.tokens.fingerprint import Channel

# After this much text a refresh makes the work visible, and orphans are looked for.
COMMIT_BYTES = 256 << 20
# Batches (1 MiB of text each) that are sent at once, and that wait. Measured with server and builder on the
# same two cores: 17.5 MB/s one after the other, 20.7 with two at once, 22.3 with four.
SENDERS = 4
_WAITING = 2 * SENDERS


@dataclass(frozen=True, kw_only=True)
class _Sending:
    """A batch under way."""

    documents: frozenset[str]
    done: Future[None]


class ElasticWriter:
    """Writes to an index on a cluster."""

    # Each text is a document of its own.
    block_bytes = 0

    def __init__(self, place: ElasticPlace, *, create_missing: bool, channels: Sequence[Channel]) -> None:
        self.counts = AddCounts()
        self._place = place
        self._create_missing = create_missing
        self._channels = tuple(channels)
        self._pending_bytes = 0
        self._sending: deque[_Sending] = deque()
        # Shared by the threads: contents that may have lost their last document, and contents under way.
        self._shared = threading.Lock()
        self._suspects: set[str] = set()
        self._claimed: set[str] = set()

    @classmethod
    def open(cls, url: str, *, create: bool, channels: Sequence[Channel]) -> ElasticWriter:
        """Nothing is asked of the server before the context is entered."""
        return cls(ElasticPlace.parse(url), create_missing=create, channels=channels)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of the index: of an index that was there, its own."""
        return self._channels

    def __enter__(self) -> Self:
        client = connect(self._place)
        self._requests = Requests(client, self._place)
        self._ask = Lookups(self._requests, self._place)
        try:
            with translated(self._place):
                self._prepare(client)
        except BaseException:
            client.close()
            raise
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="elasticsearch")
        return self

    def _prepare(self, client: Elasticsearch) -> None:
        place = self._place
        if self._create_missing:
            create(client, place, self._channels)
        elif not client.indices.exists(index=place.contents):
            raise missing(place.url)
        self._channels = channels_of(client, place)
        self._opt_outs = OptOuts(self._ask.opt_outs())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.commit()
            else:
                self._requests.stop()
            self._senders.shutdown(cancel_futures=True)
            self._requests.ask(partial(restore, place=self._place, channels=self._channels))
        except IndexUnavailableError:
            if kind is None:
                raise
            # The first error says why; that the server is still away adds nothing to it.
        finally:
            self._requests.stop()
            self._senders.shutdown(cancel_futures=True)
            self._requests.client.close()

    # Adding

    def register(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """Record documents whose content is known; the others are to be prepared and added."""
        allowed = [document for document in documents if not self._opt_outs.cover(document.source)]
        self.counts.refused += len(documents) - len(allowed)
        numbers = [document_id(document.source) for document in allowed]
        self._settle(frozenset(numbers))
        known = self._ask.known([document.key.hex() for document in allowed])
        stored = self._ask.stored(numbers)
        new, puts = [], []
        for number, document in zip(numbers, allowed, strict=True):
            key = document.key.hex()
            if key not in known:
                new.append(document)
                continue
            before = stored.get(number)
            if before is not None and (before["content"], source_of(before)) == (key, document.source):
                self._count(unchanged=1)
            else:
                self._count(known=before is None, replaced=before is not None)
                self._suspect(before, key)
                action = put_document(self._place, document.source, key, document.text_bytes)
                stored[number] = action
                puts.append(action)
        self._requests.send(puts)
        return new

    def add(self, batch: PreparedBatch) -> None:
        """Take in prepared documents; makes them visible after `COMMIT_BYTES`."""
        numbers = frozenset(document_id(document.source) for document in batch.documents)
        self._settle(numbers)
        while len(self._sending) >= _WAITING:
            self._sending.popleft().done.result()
        self._sending.append(_Sending(documents=numbers, done=self._senders.submit(self._add, batch)))
        self._pending_bytes += sum(document.text_bytes for document in batch.documents)
        if self._pending_bytes >= COMMIT_BYTES:
            self.commit()

    def _settle(self, numbers: frozenset[str] | None = None) -> None:
        """Wait for the batches under way if one holds any of these documents: the later version is to win."""
        if numbers is None or any(numbers & sending.documents for sending in self._sending):
            while self._sending:
                self._sending.popleft().done.result()

    def _add(self, batch: PreparedBatch) -> None:
        known = self._ask.known([document.key.hex() for document in batch.documents])
        stored = self._ask.stored([document_id(document.source) for document in batch.documents])
        contents = dict(self._new_contents(batch, known))
        with self._shared:
            # What two batches bring at once is sent twice and counted once.
            mine = contents.keys() - self._claimed
            self._claimed |= mine
        already = len(stored)
        self._requests.send(contents.values())
        self._requests.send(list(self._puts(batch, stored)))
        with self._shared:
            self._claimed -= mine
        # `stored` has grown by the documents that were new.
        new = len(stored) - already
        added = min(len(mine), new)
        self._count(added=added, known=new - added, replaced=len(batch.documents) - new)

    def _new_contents(self, batch: PreparedBatch, known: set[str]) -> Iterator[tuple[str, Action]]:
        by_channel = {channel: batch.fingerprints(channel) for channel in self._channels}
        for at, document in enumerate(batch.documents):
            if (key := document.key.hex()) not in known:
                words = {channel: terms(found[at]) for channel, found in by_channel.items()}
                yield key, create_content(self._place, document, batch.blocks[document.block], words)

    def _puts(self, batch: PreparedBatch, stored: dict[str, dict[str, Any]]) -> Iterator[Action]:
        for document in batch.documents:
            number, key = document_id(document.source), document.key.hex()
            self._suspect(stored.get(number), key)
            stored[number] = put_document(self._place, document.source, key, document.text_bytes)
            yield stored[number]

    def _suspect(self, before: dict[str, Any] | None, content: str) -> None:
        """The content that a document had before may have no document any more."""
        if before is not None and before["content"] != content:
            with self._shared:
                self._suspects.add(before["content"])

    def _count(self, *, added: int = 0, known: int = 0, replaced: int = 0, unchanged: int = 0) -> None:
        with self._shared:
            self.counts.added += added
            self.counts.known += known
            self.counts.replaced += replaced
            self.counts.unchanged += unchanged

    def commit(self) -> None:
        """Make everything visible, then delete contents that no document holds any more.

        Rules are read anew: what another process removed since must not come back by this one.
        """
        self._settle()
        self._ask.refresh()
        self._pending_bytes = 0
        known = set(self._opt_outs.rules)
        if later := [rule for rule in self._ask.opt_outs() if rule not in known]:
            self._opt_outs = OptOuts([*known, *later])
            self._delete_covered(later)
        if self._suspects:
            self._delete_orphans(sorted(self._suspects))
            self._ask.refresh()
            self._suspects.clear()

    def _delete_orphans(self, keys: Iterable[str]) -> None:
        for orphans in self._ask.orphans(keys):
            self._requests.send(delete(self._place.contents, key) for key in orphans)

    # Removing and tidying

    def remove(self, rules: Sequence[OptOut]) -> Removed:
        """Remove documents and remember the rules."""
        self.commit()
        # First the rules: should this be cut off, no build takes the documents in again. One that runs beside
        # this either reads them before its next commit or has made visible what is deleted here.
        self._requests.send(put_opt_out(self._place, rule) for rule in rules)
        self._ask.refresh()
        self._opt_outs = OptOuts([*self._opt_outs.rules, *rules])
        removed = self._delete_covered(rules)
        self.commit()
        return removed

    def _delete_covered(self, rules: Sequence[OptOut]) -> Removed:
        by_rule = {rule: self._ask.covered(rule) for rule in rules}
        covered = {number: content for found in by_rule.values() for number, content in found.items()}
        self._requests.send(delete(self._place.documents, number) for number in covered)
        self._suspects.update(covered.values())
        return Removed(len(covered), tuple(rule for rule in rules if not by_rule[rule]))

    def lift(self, rules: Sequence[OptOut]) -> int:
        """Forget rules, at once."""
        known = {rule for rule in self._ask.opt_outs() if rule in set(rules)}
        self._requests.send(delete(self._place.opt_outs, opt_out_id(rule)) for rule in known)
        self._opt_outs = OptOuts(rule for rule in self._opt_outs.rules if rule not in known)
        self.commit()
        return len(known)

    def compact(self) -> None:
        """Delete contents that a killed build left without a document; make the server forget the deleted."""
        self.commit()
        with translated(self._place):
            self._delete_orphans(self._ask.all_contents())
        self._ask.refresh()
        indices = f"{self._place.contents},{self._place.documents}"
        self._requests.ask(lambda client: client.indices.forcemerge(index=indices, max_num_segments=1))
