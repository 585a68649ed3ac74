"""The index on an Elasticsearch cluster. Writing.

Every action is one that can be done twice: contents are created by their key (a conflict means it
is there), documents are put by repository and path. So a batch that was cut off, by a dead node or
a dead build, is simply sent again, and several builders may work at once. Contents go first, so
that no document is ever without its text.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from elastic_transport import ConnectionError as NoConnectionError
from elastic_transport import ConnectionTimeout
from elasticsearch import ApiError, Elasticsearch, helpers

from attribution.elastic import pages, source_of
from attribution.elastic_schema import FIELDS, Place, channels_of, connect, create, terms, translated
from attribution.errors import IndexUnavailableError
from attribution.fingerprint import Channel
from attribution.index import AddCounts, OptOut, OptOuts, missing
from attribution.prepare import PreparedBatch, PreparedDocument
from attribution.source import Document, Source

# After this much text a refresh makes the work visible, and orphans are looked for.
COMMIT_BYTES = 256 << 20
_CHUNK_ACTIONS = 250
_CHUNK_BYTES = 8 << 20
# 429 (the server has too much to do) is retried by the client, action by action.
_RETRIES = 10
# A node that restarts is waited for; together about three minutes.
BACK_OFF_S: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 30, 45, 45)
_TOO_BUSY = frozenset({429, 502, 503, 504})
_Answer = TypeVar("_Answer")


class ElasticWriter:
    """Writes to an index on a cluster."""

    # Each text is a document of its own.
    block_bytes = 0

    def __init__(self, place: Place, *, create_missing: bool, channels: Sequence[Channel]) -> None:
        self.counts = AddCounts()
        self._place = place
        self._create_missing = create_missing
        self._channels = tuple(channels)
        self._suspects: set[str] = set()
        self._pending_bytes = 0

    @classmethod
    def open(cls, url: str, *, create: bool, channels: Sequence[Channel]) -> ElasticWriter:
        """Nothing is asked of the server before the context is entered."""
        return cls(Place.parse(url), create_missing=create, channels=channels)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of the index: of an index that was there, its own."""
        return self._channels

    def __enter__(self) -> Self:
        self._client = connect(self._place)
        try:
            with translated(self._place):
                self._prepare()
        except BaseException:
            self._client.close()
            raise
        return self

    def _prepare(self) -> None:
        place = self._place
        if self._create_missing:
            create(self._client, place, self._channels)
        elif not self._client.indices.exists(index=place.contents):
            raise missing(place.url)
        self._channels = channels_of(self._client, place)
        self._client.indices.refresh(index=place.opt_outs)
        rules = helpers.scan(self._client, index=place.opt_outs)
        self._opt_outs = OptOuts(OptOut(**rule["_source"]) for rule in rules)
        # While loading, nothing is made visible or copied that the next batch changes again.
        self._tune({"refresh_interval": "-1", "number_of_replicas": 0})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
            with translated(self._place):
                self._tune({"refresh_interval": None, "number_of_replicas": self._place.replicas})
        except IndexUnavailableError:
            if kind is None:
                raise
            # The first error says why; that the server is still away adds nothing to it.
        finally:
            self._client.close()

    def _tune(self, settings: dict[str, Any]) -> None:
        indices = f"{self._place.contents},{self._place.documents}"
        self._patiently(lambda client: client.indices.put_settings(index=indices, settings=settings))

    # Adding

    def register(self, documents: Sequence[Document]) -> list[Document]:
        """Record documents whose content is known; the others are to be prepared and added."""
        allowed = [document for document in documents if not self._opt_outs.cover(document.source)]
        self.counts.refused += len(documents) - len(allowed)
        known = self._known([document.key.hex() for document in allowed])
        stored = self._stored([document_id(document.source) for document in allowed])
        new, puts = [], []
        for document in allowed:
            key = document.key.hex()
            if key not in known:
                new.append(document)
                continue
            before = stored.get(document_id(document.source))
            if before is not None and (before["content"], source_of(before)) == (key, document.source):
                self.counts.unchanged += 1
            else:
                self.counts.known += 1
                puts.append(self._put(document.source, key, len(document.text), before))
        self._send(puts)
        return new

    def add(self, batch: PreparedBatch) -> None:
        """Take in prepared documents; makes them visible after `COMMIT_BYTES`."""
        known = self._known([document.key.hex() for document in batch.documents])
        stored = self._stored([document_id(document.source) for document in batch.documents])
        by_channel = {channel: batch.fingerprints(channel) for channel in self._channels}
        contents: dict[str, dict[str, Any]] = {}
        for at, document in enumerate(batch.documents):
            if (key := document.key.hex()) not in known and key not in contents:
                words = {channel: terms(found[at]) for channel, found in by_channel.items()}
                contents[key] = self._content(document, batch.blocks[document.block], words)
        self.counts.added += len(contents)
        self.counts.known += len(batch.documents) - len(contents)
        self._send(contents.values())
        self._send(
            self._put(one.source, one.key.hex(), one.text_bytes, stored.get(document_id(one.source)))
            for one in batch.documents
        )
        self._pending_bytes += sum(document.text_bytes for document in batch.documents)
        if self._pending_bytes >= COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Make everything visible, then delete contents that no document holds any more."""
        self._refresh()
        self._pending_bytes = 0
        for page in pages(sorted(self._suspects)):
            answer = self._patiently(partial(self._holders, page))
            held = {bucket["key"] for bucket in answer["aggregations"]["held"]["buckets"]}
            self._send(self._deletion(self._place.contents, key) for key in page if key not in held)
        if self._suspects:
            self._refresh()
        self._suspects.clear()

    def _holders(self, keys: Sequence[str], client: Elasticsearch) -> Any:
        """Which of the contents some document holds."""
        return client.search(
            index=self._place.documents,
            size=0,
            query={"terms": {"content": list(keys)}},
            aggs={"held": {"terms": {"field": "content", "size": len(keys)}}},
        )

    # Removing and tidying

    def remove(self, rules: Sequence[OptOut]) -> int:
        """Remove documents and remember the rules."""
        self.commit()
        covered: dict[str, str] = {}
        with translated(self._place):
            for rule in rules:
                hits = helpers.scan(
                    self._client, index=self._place.documents, query={"query": _query_of(rule)}
                )
                for hit in hits:
                    if rule.covers(source_of(hit["_source"])):
                        covered[hit["_id"]] = hit["_source"]["content"]
        self._send(map(self._opt_out, rules))
        self._send(self._deletion(self._place.documents, number) for number in covered)
        self._suspects.update(covered.values())
        self.commit()
        self._opt_outs = OptOuts([*self._opt_outs.rules, *rules])
        return len(covered)

    def compact(self) -> None:
        """Let the server forget what was deleted."""
        self.commit()
        indices = f"{self._place.contents},{self._place.documents}"
        self._patiently(lambda client: client.indices.forcemerge(index=indices, max_num_segments=1))

    # Actions

    def _content(
        self, document: PreparedDocument, packed: bytes, words: dict[Channel, list[str]]
    ) -> dict[str, Any]:
        return {
            "_op_type": "create",
            "_index": self._place.contents,
            "_id": document.key.hex(),
            "key": document.key.hex(),
            "packed": base64.b64encode(packed).decode("ascii"),
            "packed_bytes": len(packed),
            "text_bytes": document.text_bytes,
            "tokens": document.tokens,
            "postings": sum(map(len, words.values())),
            **{FIELDS[channel]: " ".join(found) for channel, found in words.items()},
        }

    def _put(
        self, source: Source, content: str, text_bytes: int, before: dict[str, Any] | None
    ) -> dict[str, Any]:
        if before is not None and before["content"] != content:
            self._suspects.add(before["content"])
        return {
            "_op_type": "index",
            "_index": self._place.documents,
            "_id": document_id(source),
            "content": content,
            "repository": source.repository,
            "repository_folded": source.repository.casefold(),
            "owner_folded": source.owner.casefold(),
            "path": source.path,
            "revision": source.revision,
            "license": source.license,
            "url": source.url,
            "text_bytes": text_bytes,
        }

    def _opt_out(self, rule: OptOut) -> dict[str, Any]:
        fields = {"owner": rule.owner, "repository": rule.repository, "path": rule.path}
        number = hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:32]
        return {"_op_type": "index", "_index": self._place.opt_outs, "_id": number, **fields}

    @staticmethod
    def _deletion(index: str, number: str) -> dict[str, Any]:
        return {"_op_type": "delete", "_index": index, "_id": number}

    # Requests

    def _known(self, keys: Sequence[str]) -> set[str]:
        """Which contents are there; asked by id, hence also of what is not visible yet."""
        found: set[str] = set()
        for page in pages(sorted(set(keys))):
            answer = self._patiently(partial(self._get, self._place.contents, page, with_source=False))
            found.update(one["_id"] for one in answer["docs"] if one.get("found"))
        return found

    @staticmethod
    def _get(index: str, ids: Sequence[str], client: Elasticsearch, *, with_source: bool) -> Any:
        return client.mget(index=index, ids=list(ids), source=with_source)

    def _stored(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for page in pages(sorted(set(ids))):
            answer = self._patiently(partial(self._get, self._place.documents, page, with_source=True))
            found.update({one["_id"]: one["_source"] for one in answer["docs"] if one.get("found")})
        return found

    def _refresh(self) -> None:
        self._patiently(lambda client: client.indices.refresh(index=f"{self._place.name}-*"))

    def _send(self, actions: Iterable[dict[str, Any]]) -> None:
        """Do all actions, again if need be: each is the same done once or twice."""
        everything = list(actions)
        if everything:
            self._patiently(lambda client: self._bulk(client, everything))

    def _bulk(self, client: Elasticsearch, actions: Sequence[dict[str, Any]]) -> None:
        results = helpers.streaming_bulk(
            client,
            # The helper takes the actions apart.
            (dict(action) for action in actions),
            chunk_size=_CHUNK_ACTIONS,
            max_chunk_bytes=_CHUNK_BYTES,
            raise_on_error=False,
            max_retries=_RETRIES,
            initial_backoff=1,
            max_backoff=30,
        )
        for done, result in results:
            [(operation, answer)] = result.items()
            # 409: another of the same key was first. 404: deleted before.
            expected = {"create": 409, "delete": 404}.get(operation)
            if not done and answer.get("status") != expected:
                why = answer.get("error", answer)
                raise IndexUnavailableError(
                    f"{self._place.url}: cannot {operation} {answer.get('_id')}: {why}"
                )

    def _patiently(self, request: Callable[[Elasticsearch], _Answer]) -> _Answer:
        """Ask, and ask again with back-off while the server is away or too busy."""
        with translated(self._place):
            for wait_s in BACK_OFF_S:
                try:
                    return request(self._client)
                except (NoConnectionError, ConnectionTimeout):
                    time.sleep(wait_s)
                except ApiError as error:
                    if error.status_code not in _TOO_BUSY:
                        raise
                    time.sleep(wait_s)
            return request(self._client)


def document_id(source: Source) -> str:
    """What identifies a document: its repository and path."""
    return hashlib.sha256(f"{source.repository}\0{source.path}".encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


def _query_of(rule: OptOut) -> dict[str, Any]:
    """A query for at least what the rule covers; the rest is sorted out here."""
    if rule.repository:
        return {"term": {"repository_folded": rule.repository.casefold()}}
    if rule.owner:
        return {"term": {"owner_folded": rule.owner.casefold()}}
    return {"match_all": {}}
