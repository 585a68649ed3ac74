"""What a writer asks of an index on Elasticsearch before it writes. Changes nothing but visibility."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from elasticsearch import Elasticsearch, helpers

from attribution.store.elastic.actions import query_of
from attribution.store.elastic.place import ElasticPlace
from attribution.store.elastic.reader import pages, source_of
from attribution.store.elastic.requests import Requests
from attribution.store.opt_outs import OptOut

_PAGE = 500


class Lookups:
    """The questions to one index."""

    def __init__(self, requests: Requests, place: ElasticPlace) -> None:
        self._requests = requests
        self._place = place

    def known(self, keys: Sequence[str]) -> set[str]:
        """Which contents are there; asked by id, hence also of what is not visible yet."""
        return {one["_id"] for one in self._got(self._place.contents, keys, with_source=False)}

    def stored(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents that are there, by id; also those that are not visible yet."""
        return {one["_id"]: one["_source"] for one in self._got(self._place.documents, ids, with_source=True)}

    def _got(self, index: str, ids: Sequence[str], *, with_source: bool) -> Iterator[dict[str, Any]]:
        for page in pages(sorted(set(ids))):
            get = partial(Elasticsearch.mget, index=index, ids=page, source=with_source)
            answer = self._requests.ask(get)
            yield from (one for one in answer["docs"] if one.get("found"))

    def refresh(self) -> None:
        """Make everything visible."""
        place = self._place
        indices = f"{place.contents},{place.documents},{place.opt_outs}"
        self._requests.ask(lambda client: client.indices.refresh(index=indices))

    def orphans(self, keys: Iterable[str]) -> Iterator[list[str]]:
        """The contents that no document holds, page by page; documents that are not visible do not count."""
        remaining = iter(keys)
        while page := list(islice(remaining, _PAGE)):
            answer = self._requests.ask(partial(self._holders, page))
            held = {bucket["key"] for bucket in answer["aggregations"]["held"]["buckets"]}
            yield [key for key in page if key not in held]

    def _holders(self, keys: Sequence[str], client: Elasticsearch) -> Any:
        return client.search(
            index=self._place.documents,
            size=0,
            query={"terms": {"content": list(keys)}},
            aggs={"held": {"terms": {"field": "content", "size": len(keys)}}},
        )

    def all_contents(self) -> Iterator[str]:
        """The keys of all visible contents."""
        hits = helpers.scan(self._requests.client, index=self._place.contents, _source=False)
        return (hit["_id"] for hit in hits)

    def opt_outs(self) -> list[OptOut]:
        """All rules there are, also those that another process wrote just now."""

        def read(client: Elasticsearch) -> list[OptOut]:
            client.indices.refresh(index=self._place.opt_outs)
            return [OptOut(**rule["_source"]) for rule in helpers.scan(client, index=self._place.opt_outs)]

        return self._requests.ask(read)

    def covered(self, rule: OptOut) -> dict[str, str]:
        """The visible documents that a rule covers: id and content."""
        return self._requests.ask(partial(self._covered, rule))

    def _covered(self, rule: OptOut, client: Elasticsearch) -> dict[str, str]:
        hits = helpers.scan(client, index=self._place.documents, query={"query": query_of(rule)})
        return {
            hit["_id"]: hit["_source"]["content"] for hit in hits if rule.covers(source_of(hit["_source"]))
        }
