"""The index on an Elasticsearch cluster. Reading: what goes to the server is fingerprints, never text."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch, helpers

from attribution.errors import IndexDamagedError
from attribution.source import AnyDocument, GroupBy, LicenceEvidence, Source, content_key
from attribution.store.contract import SCORE_DIGITS, Candidate, Content, IndexInfo
from attribution.store.elastic.actions import document_id
from attribution.store.elastic.place import ElasticPlace, connect, translated
from attribution.store.elastic.schema import FIELDS, channels_of, terms
from attribution.store.opt_outs import OptOut, lines_of
from attribution.store.prepare import unpack
from attribution.tokens.fingerprint import Channel
from attribution.tokens.lexer import U64, Ints

# Below every server's `indices.query.bool.max_clause_count`.
MAX_TERMS = 1000
_SPARE_CANDIDATES = 16
_PAGE = 500
# What one search may answer (`index.max_result_window`).
_MAX_HITS = 10_000
_EVIDENCE_FIELDS = ("declared", "declared_in", "detected", "detected_in")
SOURCE_FIELDS = (
    *("content", "repository", "path", "package", "revision", "origin", "license", "url"),
    *_EVIDENCE_FIELDS,
)


class ElasticIndex:
    """An index on a cluster, open for reading."""

    def __init__(self, client: Elasticsearch, place: ElasticPlace, channels: tuple[Channel, ...]) -> None:
        self._client = client
        self._place = place
        self._channels = channels

    @classmethod
    def open(cls, url: str) -> ElasticIndex:
        """Connect and check; raises `IndexUnavailableError`, `IndexMissingError` or `IndexFormatError`."""
        place = ElasticPlace.parse(url)
        client = connect(place)
        try:
            with translated(place):
                return cls(client, place, channels_of(client, place))
        except BaseException:
            client.close()
            raise

    @property
    def url(self) -> str:
        """Server and name, without a password."""
        return self._place.url

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels it was made with."""
        return self._channels

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def document_count(self) -> int:
        """How many documents a query searches."""
        with translated(self._place):
            return int(self._client.count(index=self._place.documents)["count"])

    def candidates(self, fingerprints: U64, channel: Channel, *, limit: int) -> list[Candidate]:
        """Contents that share fingerprints, by BM25 without lengths and repetitions: summed idf."""
        words = terms(np.unique(fingerprints))
        scores: dict[bytes, float] = {}
        with translated(self._place):
            for start in range(0, len(words), MAX_TERMS):
                for hit in self._hits(words[start : start + MAX_TERMS], channel, limit + _SPARE_CANDIDATES):
                    key = bytes.fromhex(hit["_id"])
                    scores[key] = scores.get(key, 0.0) + float(hit["_score"])
        found = (Candidate(key=key, score=round(score, SCORE_DIGITS)) for key, score in scores.items())
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.key))[:limit]

    def _hits(self, words: Sequence[str], channel: Channel, size: int) -> list[Any]:
        answer = self._client.search(
            index=self._place.contents,
            query={"match": {FIELDS[channel]: {"query": " ".join(words), "operator": "or"}}},
            size=size,
            sort=[{"_score": "desc"}, {"key": "asc"}],
            source=False,
            track_total_hits=False,
            # Frequencies of all shards, so that the score does not depend on where a content lies.
            search_type="dfs_query_then_fetch",
        )
        return list(answer["hits"]["hits"])

    def frequencies(self, fingerprints: U64, channel: Channel) -> Ints:
        """[N] how many contents have each fingerprint."""
        distinct, at = np.unique(fingerprints, return_inverse=True)
        words = terms(distinct)
        found: list[int] = []
        with translated(self._place):
            for start in range(0, len(words), MAX_TERMS):
                filters = [{"term": {FIELDS[channel]: word}} for word in words[start : start + MAX_TERMS]]
                aggregated = {"each": {"filters": {"filters": filters}}}
                answer = self._client.search(index=self._place.contents, size=0, aggs=aggregated)
                found += [bucket["doc_count"] for bucket in answer["aggregations"]["each"]["buckets"]]
        counts: Ints = np.array(found, dtype=np.int64)[at]
        return counts

    def contents(self, keys: Sequence[bytes]) -> Mapping[bytes, Content]:
        """The contents that are there."""
        if not keys:
            return {}
        ids = [key.hex() for key in keys]
        with translated(self._place):
            stored = self._client.mget(
                index=self._place.contents, ids=ids, source_includes=["packed", "text_bytes"]
            )
            holders = self._holders(ids, SOURCE_FIELDS)
        sources: dict[str, list[Source]] = {}
        for holder in holders:
            sources.setdefault(holder["content"], []).append(source_of(holder))
        found = {}
        for one in stored["docs"]:
            if one.get("found") and one["_id"] in sources:
                key = bytes.fromhex(one["_id"])
                by_name = sorted(sources[one["_id"]], key=lambda source: source.sort_key)
                found[key] = Content(key=key, text=_text(one["_source"]), sources=tuple(by_name))
        return {key: found[key] for key in keys if key in found}

    def licences(self, keys: Sequence[bytes]) -> Mapping[bytes, frozenset[str | None]]:
        """The licences of the documents that hold each content."""
        found: dict[bytes, set[str | None]] = {}
        with translated(self._place):
            for page in pages([key.hex() for key in keys]):
                for holder in self._holders(page, ("content", "license")):
                    found.setdefault(bytes.fromhex(holder["content"]), set()).add(holder.get("license"))
        return {key: frozenset(licences) for key, licences in found.items()}

    def _holders(self, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """The stored fields of all documents that hold any of these contents."""
        query = {"terms": {"content": list(ids)}}
        answer = self._client.search(
            index=self._place.documents,
            query=query,
            size=_MAX_HITS,
            sort=["_doc"],
            source_includes=list(fields),
            track_total_hits=True,
        )
        hits = list(answer["hits"]["hits"])
        if len(hits) < int(answer["hits"]["total"]["value"]):
            search = {"query": query, "_source": list(fields)}
            hits = list(helpers.scan(self._client, index=self._place.documents, query=search))
        return [hit["_source"] for hit in hits]

    def info(self) -> IndexInfo:
        """Counts and sizes."""
        place, client = self._place, self._client
        with translated(place):
            client.indices.refresh(index=f"{place.contents},{place.documents}")
            sums = {name: {"sum": {"field": name}} for name in ("postings", "packed_bytes")}
            contents = client.search(index=place.contents, size=0, track_total_hits=True, aggs=sums)
            documents = client.search(
                index=place.documents,
                size=0,
                track_total_hits=True,
                aggs={
                    "repositories": {"cardinality": {"field": "repository"}},
                    "text_bytes": {"sum": {"field": "text_bytes"}},
                },
            )
            stats = client.indices.stats(
                index=f"{place.contents},{place.documents}", metric=["store", "docs"]
            )
        total = stats["_all"]["primaries"]
        packed = int(contents["aggregations"]["packed_bytes"]["value"])
        return IndexInfo(
            url=self.url,
            documents=int(documents["hits"]["total"]["value"]),
            contents=int(contents["hits"]["total"]["value"]),
            repositories=int(documents["aggregations"]["repositories"]["value"]),
            source_bytes=int(documents["aggregations"]["text_bytes"]["value"]),
            postings=int(contents["aggregations"]["postings"]["value"]),
            channels=tuple(channel.name.lower() for channel in self.channels),
            text_disk_bytes=packed,
            other_disk_bytes=max(int(total["store"]["size_in_bytes"]) - packed, 0),
            removed_contents=int(total["docs"].get("deleted", 0)),
        )

    def documents_by(self, group: GroupBy) -> Counter[str | None]:
        """How many documents there are of each licence, repository or language, page by page."""
        found: Counter[str | None] = Counter()
        value = {"value": {"terms": {"field": group.value, "missing_bucket": True}}}
        with translated(self._place):
            after: dict[str, Any] | None = {}
            while after is not None:
                paged = {"sources": [value], "size": _MAX_HITS, **({"after": after} if after else {})}
                aggs = {"groups": {"composite": paged}}
                answer = self._client.search(index=self._place.documents, size=0, aggs=aggs)
                groups = answer["aggregations"]["groups"]
                found.update({one["key"]["value"]: one["doc_count"] for one in groups["buckets"]})
                after = groups.get("after_key")
        return found

    def opt_outs(self) -> list[str]:
        """What was removed for good, as the lines of an opt-out list."""
        return lines_of(_opt_outs(self._client, self._place))

    def lacking(self, documents: Sequence[AnyDocument]) -> list[AnyDocument]:
        """The documents that are not held with just this content."""
        held: dict[str, str] = {}
        with translated(self._place):
            for page in pages([document_id(document.source) for document in documents]):
                answer = self._client.mget(index=self._place.documents, ids=page, source_includes=["content"])
                found = (one for one in answer["docs"] if one.get("found"))
                held.update((one["_id"], one["_source"]["content"]) for one in found)
        return [one for one in documents if held.get(document_id(one.source)) != one.key.hex()]

    def verify(self) -> list[str]:
        """Read every text, and look for documents that have lost theirs."""
        return [*self._damaged_texts(), *self._lost_texts()]

    def _damaged_texts(self) -> Iterator[str]:
        with translated(self._place):
            for hit in helpers.scan(
                self._client, index=self._place.contents, _source=["packed", "text_bytes"]
            ):
                try:
                    text = _text(hit["_source"])
                except IndexDamagedError:
                    text = b""
                if content_key(text).hex() != hit["_id"]:
                    yield f"the text of content {hit['_id']} is missing or damaged"

    def _lost_texts(self) -> Iterator[str]:
        with translated(self._place):
            hits = helpers.scan(self._client, index=self._place.documents, _source=["content"], size=_PAGE)
            wanted = {hit["_source"]["content"] for hit in hits}
            for page in pages(sorted(wanted)):
                answer = self._client.mget(index=self._place.contents, ids=page, source=False)
                lost = [one["_id"] for one in answer["docs"] if not one.get("found")]
                yield from (f"documents have lost their text: content {key}" for key in lost)


def read_opt_outs(url: str) -> list[OptOut]:
    """The rules of an index of any version. Raises `IndexMissingError` or `IndexUnavailableError`."""
    place = ElasticPlace.parse(url)
    client = connect(place)
    try:
        return _opt_outs(client, place)
    finally:
        client.close()


def _opt_outs(client: Elasticsearch, place: ElasticPlace) -> list[OptOut]:
    with translated(place):
        return [OptOut(**rule["_source"]) for rule in helpers.scan(client, index=place.opt_outs)]


def _text(stored: Mapping[str, Any]) -> bytes:
    return unpack(base64.b64decode(stored["packed"]))[: stored["text_bytes"]]


def source_of(stored: Mapping[str, Any]) -> Source:
    """A stored document's source."""
    said = {name: stored[name] for name in _EVIDENCE_FIELDS if name in stored}
    return Source(
        repository=stored["repository"],
        path=stored["path"],
        package=stored.get("package"),
        origin=stored.get("origin"),
        revision=stored.get("revision"),
        license=stored.get("license"),
        url=stored.get("url"),
        evidence=LicenceEvidence(**said) if said else None,
    )


def pages(values: Sequence[str]) -> Iterator[list[str]]:
    """Pieces that one request takes."""
    for start in range(0, len(values), _PAGE):
        yield list(values[start : start + _PAGE])
