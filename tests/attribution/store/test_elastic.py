"""What only the store on Elasticsearch has: its mapping, its URLs, its settings."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from attribution.errors import IndexFormatError, IndexUnavailableError
from attribution.indexing.build import build
from attribution.store.elastic.place import ElasticPlace, connect
from attribution.store.elastic.requests import BACKOFF
from attribution.store.elastic.schema import create, terms
from attribution.store.open import open_index, open_writer
from attribution.store.opt_outs import OptOut
from attribution.tokens.fingerprint import Channel, winnow
from attribution.tokens.lexer import lex
from tests.attribution.samples import code, document, finds, index_of
from tests.attribution.samples import mixed_documents as documents


@contextmanager
def client_of(url: str) -> Iterator[tuple[Elasticsearch, ElasticPlace]]:
    place = ElasticPlace.parse(url)
    client = connect(place)
    yield client, place
    client.close()


def settings_of(client: Elasticsearch, alias: str) -> Any:
    [found] = client.indices.get_settings(index=alias).values()
    return found["settings"]["index"]


def test_fingerprints_are_stored_as_eight_characters() -> None:
    found = winnow(lex(code(1).encode()), Channel.TEXT)
    words = terms(found)
    assert len(set(words)) == len(found)
    assert {len(word) for word in words} == {8}
    assert terms(found[:0]) == []


def test_the_source_keeps_no_fingerprints_and_the_mapping_is_strict(elastic_url: str) -> None:
    index_of(elastic_url, documents(2))
    with client_of(elastic_url) as (client, place):
        stored = client.get(index=place.contents, id=documents()[0].key.hex())["_source"]
        assert set(stored) == {"key", "packed", "packed_bytes", "text_bytes", "tokens", "postings"}
        [mapping] = client.indices.get_mapping(index=place.contents).values()
        assert mapping["mappings"]["dynamic"] == "strict"


def test_settings_are_touched_by_a_first_load_alone(elastic_url: str) -> None:
    with open_writer(f"{elastic_url}?shards=2") as writer, client_of(elastic_url) as (client, place):
        loading = settings_of(client, place.contents)
        assert (loading["number_of_replicas"], loading["refresh_interval"]) == ("0", "-1")
        # The rules are copied from the beginning.
        assert settings_of(client, place.opt_outs)["auto_expand_replicas"] == "0-1"
        build(documents(2), writer)
    with client_of(elastic_url) as (client, place):
        for alias in (place.contents, place.documents):
            found = settings_of(client, alias)
            assert (found["auto_expand_replicas"], found["number_of_shards"]) == ("0-1", "2")
            assert "refresh_interval" not in found
        own = {"auto_expand_replicas": False, "number_of_replicas": 3, "refresh_interval": "17s"}
        client.indices.put_settings(index=place.contents, settings=own)
        index_of(elastic_url, documents(3))
        with open_writer(elastic_url, create=False) as writer:
            writer.remove([OptOut(owner="nobody")])
            kept = settings_of(client, place.contents)
        assert (kept["number_of_replicas"], kept["refresh_interval"]) == ("3", "17s")
        assert settings_of(client, place.contents) == kept


def test_a_first_load_that_was_killed_is_ended_by_the_next(elastic_url: str) -> None:
    with client_of(elastic_url) as (client, place):
        create(client, place, (Channel.TEXT,))  # and no more
        assert settings_of(client, place.contents)["refresh_interval"] == "-1"
        index_of(elastic_url, documents(1))
        assert "refresh_interval" not in settings_of(client, place.contents)


@pytest.mark.parametrize("block", ["read_only_allow_delete", "write"])
def test_a_read_only_index_is_named_at_once_with_the_remedy(elastic_url: str, block: str) -> None:
    index_of(elastic_url, documents(1))
    with client_of(elastic_url) as (client, place):
        # As the server itself does where a disk is nearly full.
        for alias in (place.contents, place.documents, place.opt_outs):
            client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": True})
        started_s = time.monotonic()
        with pytest.raises(IndexUnavailableError, match=r"cannot be written: .*block.*; make room"):
            index_of(elastic_url, documents(3))
        assert time.monotonic() - started_s < BACKOFF.first_s * 20
        for alias in (place.contents, place.documents, place.opt_outs):
            client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": None})


def test_licences_can_be_counted_by_other_programs(elastic_url: str) -> None:
    index_of(elastic_url, [document("a/b", f"{n}.py", code(n), license="MIT") for n in range(2)])
    with client_of(elastic_url) as (client, place):
        [mapping] = client.indices.get_mapping(index=place.documents).values()
        fields = mapping["mappings"]["properties"]
        assert {fields[name]["type"] for name in ("license", "repository", "language")} == {"keyword"}
        for name, value in (("license", "MIT"), ("repository", "a/b"), ("language", "Python")):
            found = client.search(index=place.documents, aggs={"x": {"terms": {"field": name}}}, size=0)
            [bucket] = found["aggregations"]["x"]["buckets"]
            assert (bucket["key"], bucket["doc_count"]) == (value, 2)


def test_an_index_of_another_format_is_refused_with_the_command_that_builds_it_again(
    elastic_url: str,
) -> None:
    index_of(elastic_url, documents(1))
    with client_of(elastic_url) as (client, place):
        client.indices.put_mapping(index=place.contents, meta={"format": 0})
    with pytest.raises(IndexFormatError, match=r"format is 0, this program's is .*starcoder-lsp index build"):
        open_index(elastic_url)
    with pytest.raises(IndexFormatError, match="format is 0"), open_writer(elastic_url):
        pass


def test_an_index_of_somebody_else_is_left_alone(elastic_url: str) -> None:
    with client_of(elastic_url) as (client, place):
        client.indices.create(index=place.contents, mappings={"properties": {"x": {"type": "keyword"}}})
        with pytest.raises(IndexFormatError, match="no attribution index of this program"):
            open_index(elastic_url)
        with pytest.raises(IndexFormatError, match="no attribution index"), open_writer(elastic_url):
            pass
        assert "refresh_interval" not in settings_of(client, place.contents)
        assert not client.indices.exists(index=[place.documents])
        assert not client.indices.exists(index=[place.opt_outs])


def test_a_later_version_wins_though_batches_are_sent_at_once(
    elastic_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attribution.store import prepare

    monkeypatch.setattr(prepare, "BATCH_DOCUMENTS", 1)
    versions = [document("a/b", "x.py", code(n)) for n in range(12)]
    others = [document("a/c", f"{n}.py", code(n % 12)) for n in range(12)]
    index_of(elastic_url, [one for pair in zip(others, versions, strict=True) for one in pair])
    index = open_index(elastic_url)
    assert (index.info().documents, index.info().contents) == (13, 12)
    assert len(index.contents([versions[3].key])[versions[3].key].sources) == 1
    assert len(index.contents([versions[11].key])[versions[11].key].sources) == 2
    index.close()
    # Without any other document, the old versions' texts are gone.
    index_of(elastic_url, [document("a/c", f"{n}.py", "") for n in range(12)])
    index = open_index(elastic_url)
    assert set(index.contents([one.key for one in versions])) == {versions[11].key}
    assert (index.info().documents, index.info().contents) == (13, 2)
    index.close()


def test_compaction_deletes_what_a_killed_build_left_without_a_document(elastic_url: str) -> None:
    index_of(elastic_url, documents(3))
    with client_of(elastic_url) as (client, place):
        content = client.get(index=place.contents, id=documents()[0].key.hex())["_source"]
        client.create(
            index=place.contents, id="00" * 16, document={**content, "key": "00" * 16}, refresh=True
        )
        with open_writer(elastic_url) as writer:
            writer.compact()
        assert not client.exists(index=place.contents, id="00" * 16)
    assert finds(elastic_url, documents()[1].text)


def test_opt_outs_hold_before_anything_is_deleted(elastic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off in the middle of a removal, the rule is already kept, and the same command goes on."""
    from attribution.store.elastic.lookups import Lookups

    index_of(elastic_url, documents(6))

    def cut_off(self: Lookups, rule: OptOut) -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lookups, "covered", cut_off)
    with pytest.raises(KeyboardInterrupt), open_writer(elastic_url) as writer:
        writer.remove([OptOut(owner="owner1")])
    monkeypatch.undo()
    with open_writer(elastic_url) as writer:
        assert writer.register(documents(6)[1:2]) == []
        assert writer.counts.refused == 1
        assert writer.remove([OptOut(owner="owner1")]).documents == 1
    assert all(name.startswith("Owner3/") for name, _ in finds(elastic_url, documents()[1].text))


@pytest.mark.parametrize(
    "bad",
    [
        "http://localhost:9200",
        "http://localhost:9200/a/b",
        "http://h/a?x=1",
        "http://h/a?shards=many",
        "http://h/*",
        "http://h/a,b",
        "http://h/Upper",
        "http://h:x/a",
    ],
)
def test_urls_that_name_no_index(bad: str) -> None:
    with pytest.raises(IndexFormatError, match="HOST:PORT/NAME"):
        ElasticPlace.parse(bad)


def test_a_url_keeps_its_password_to_itself() -> None:
    place = ElasticPlace.parse("https://me:se%40cret@host/name?shards=8&replicas=1")
    assert place.url == "https://host:443/name"
    assert (place.user, place.shards, place.replicas) == (("me", "se@cret"), 8, 1)
    assert ElasticPlace.parse("http://[::1]:9201/x").url == "http://[::1]:9201/x"
    with pytest.raises(IndexFormatError) as raised:
        ElasticPlace.parse("https://me:secret@host/A")
    assert "secret" not in str(raised.value)


def test_a_server_named_by_the_environment(elastic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, name = elastic_url.rpartition("/")
    monkeypatch.setenv("ELASTICSEARCH_URL", f"{server}/")
    index_of(f"elasticsearch:{name}", documents(2))
    assert finds(elastic_url, documents()[0].text) == finds(f"elasticsearch:{name}", documents()[0].text)
    monkeypatch.delenv("ELASTICSEARCH_URL")
    with pytest.raises(IndexUnavailableError, match="set ELASTICSEARCH_URL"):
        open_index(f"elasticsearch:{name}")
