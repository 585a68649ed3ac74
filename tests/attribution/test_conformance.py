"""What every index must do, whatever stores it: one suite, run on each store."""

import dataclasses
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from attribution import elastic_requests
from attribution.attribute import attribute
from attribution.build import build
from attribution.elastic_place import Place, connect
from attribution.elastic_schema import terms
from attribution.errors import IndexFormatError, IndexMissingError, IndexUnavailableError
from attribution.fingerprint import FORMAT_VERSION, Channel, all_fingerprints, winnow
from attribution.index import OptOut, open_index, open_writer
from attribution.lexer import lex
from attribution.source import Document
from tests.attribution.elasticsearch_server import URL_VARIABLE, NoServerError, Server, running_server
from tests.attribution.samples import code, document, index_of

STORES = ["embedded", "elasticsearch"]
HEADER = code(77, lines=6)


def documents(count: int = 30) -> list[Document]:
    found = [
        document(
            f"Owner{n % 5}/project{n % 3}", f"src/größe{n}.py", HEADER * (n % 2) + code(n), license="MIT"
        )
        for n in range(count)
    ]
    return [
        *found,
        document("copies/one", "c.py", HEADER + code(3)),
        document("empty/file", "__init__.py", ""),
    ]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an Elasticsearch: the one that is named, or one of our own."""
    if named := os.environ.get(URL_VARIABLE):
        yield named.rstrip("/")
        return
    try:
        with running_server() as own:
            yield own.url
    except NoServerError as error:
        pytest.skip(f"no Elasticsearch: {error}")


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "embedded":
        yield str(tmp_path / "index")
        return
    yield from fresh_name(request.getfixturevalue("server"))


@pytest.fixture
def elastic_url(server: str) -> Iterator[str]:
    yield from fresh_name(server)


def fresh_name(server: str) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield f"{server}/{name}"
    place = Place.parse(f"{server}/{name}")
    client = connect(place)
    for alias in (place.contents, place.documents, place.opt_outs):
        client.indices.delete(index=f"{alias}-v{FORMAT_VERSION}", ignore_unavailable=True)
    client.close()


def finds(url: str, text: bytes) -> list[tuple[str, str]]:
    index = open_index(url)
    found = [(match.source.repository, match.source.path) for match in attribute(text, index)]
    index.close()
    return found


def test_every_document_is_found_and_nothing_is_made_up(url: str) -> None:
    index_of(url, documents())
    index = open_index(url)
    for one in documents(8)[:8]:
        best = attribute(one.text, index)[0]
        assert best.source == (one.source if one != documents()[3] else best.source)
        assert best.tokens == len(lex(one.text))
    assert attribute(code(5000).encode(), index) == []
    assert index.document_count() == 32
    assert index.channels == (Channel.TEXT,)
    assert index.verify() == []
    info = index.info()
    assert (info.documents, info.contents, info.repositories) == (32, 31, 17)
    assert info.source_bytes == sum(len(one.text) for one in documents())
    assert info.postings > 100
    assert info.text_disk_bytes > 1000
    index.close()


def test_building_twice_and_resuming(url: str) -> None:
    with open_writer(url) as writer:
        counts = build(documents(10), writer)
    assert (counts.added, counts.known, counts.unchanged) == (11, 1, 0)
    with open_writer(url) as writer:
        counts = build(documents(), writer)
    assert (counts.added, counts.known, counts.unchanged) == (20, 0, 12)
    index = open_index(url)
    assert index.document_count() == 32
    index.close()


def test_a_new_version_replaces_the_old(url: str) -> None:
    index_of(url, [document("a/b", "x.py", code(1))])
    index_of(url, [document("a/b", "x.py", code(2))])
    assert finds(url, code(1).encode()) == []
    assert finds(url, code(2).encode()) == [("a/b", "x.py")]
    index = open_index(url)
    assert (index.info().documents, index.info().contents) == (1, 1)
    index.close()


def test_opt_outs_hold_at_once_after_compaction_and_rebuild(url: str) -> None:
    everything = documents()
    index_of(url, everything)
    with open_writer(url) as writer:
        rules = [OptOut(owner="owner1"), OptOut(repository="OWNER2/project2"), OptOut(path="src/größe4.*")]
        removed = writer.remove(rules)
    gone = [one for one in everything if any(rule.covers(one.source) for rule in rules)]
    assert removed == len(gone) == 9

    def check() -> None:
        for one in gone:
            assert (one.source.repository, one.source.path) not in finds(url, one.text)
        index = open_index(url)
        assert index.document_count() == 32 - 9
        assert index.contents([one.key for one in gone]) == {}
        index.close()

    check()
    with open_writer(url) as writer:
        writer.compact()
    check()
    with open_writer(url) as writer:
        assert build(everything, writer).refused == 9
    check()


def test_a_content_lives_as_long_as_one_document_holds_it(url: str) -> None:
    index_of(url, documents(5))
    with open_writer(url) as writer:
        assert writer.remove([OptOut(repository="Owner3/project0")]) == 1
    assert finds(url, documents()[3].text)[0] == ("copies/one", "c.py")


def test_what_is_written_in_this_context_is_known_in_it(url: str) -> None:
    with open_writer(url) as writer:
        build(documents(4), writer)
        assert writer.remove([OptOut(owner="owner0")]) == 1
        counts = build(documents(4), writer)
    assert counts.refused == 1
    assert finds(url, documents()[0].text) == []
    assert finds(url, documents()[1].text)[0] == ("Owner1/project1", "src/größe1.py")


def test_the_shape_channel(url: str) -> None:
    index_of(url, documents(3), renamed=True)
    index = open_index(url)
    assert index.channels == tuple(Channel)
    query = all_fingerprints(lex(documents()[0].text), Channel.SHAPE)
    assert index.candidates(query, Channel.SHAPE, limit=1)[0].key == documents()[0].key
    index.close()


def test_a_missing_index(url: str) -> None:
    with pytest.raises(IndexMissingError, match="starcoder-lsp index build"):
        open_index(url)
    with pytest.raises(IndexMissingError, match="starcoder-lsp index build"), open_writer(url, create=False):
        pass


def test_both_stores_give_the_same_answers_in_the_same_order(tmp_path: Path, elastic_url: str) -> None:
    for url in (tmp_path, elastic_url):
        index_of(url, documents(60), renamed=True)
    one, other = open_index(tmp_path), open_index(elastic_url)
    queries = [item.text for item in documents(60)[::4]]
    queries += [HEADER.encode(), (code(3) + code(800) + code(9)).encode(), code(4000, lines=300).encode()]
    for query in queries:
        for channel in Channel:
            for fingerprints in (winnow(lex(query), channel), all_fingerprints(lex(query), channel)):
                theirs = other.candidates(fingerprints, channel, limit=7)
                ours = one.candidates(fingerprints, channel, limit=7)
                assert [c.key for c in ours] == [c.key for c in theirs]
                assert [c.score for c in ours] == pytest.approx([c.score for c in theirs], rel=0.03)
        assert attribute(query, one) == attribute(query, other)
    one.close()
    other.close()


# Elasticsearch alone


def test_fingerprints_are_stored_as_eight_characters() -> None:
    found = winnow(lex(code(1).encode()), Channel.TEXT)
    words = terms(found)
    assert len(set(words)) == len(found)
    assert {len(word) for word in words} == {8}
    assert terms(found[:0]) == []


def test_the_source_keeps_no_fingerprints_and_the_mapping_is_strict(elastic_url: str) -> None:
    index_of(elastic_url, documents(2))
    place = Place.parse(elastic_url)
    client = connect(place)
    stored = client.get(index=place.contents, id=documents()[0].key.hex())["_source"]
    assert set(stored) == {"key", "packed", "packed_bytes", "text_bytes", "tokens", "postings"}
    [mapping] = client.indices.get_mapping(index=place.contents).values()
    assert mapping["mappings"]["dynamic"] == "strict"
    [settings] = client.indices.get_settings(index=place.contents).values()
    assert "refresh_interval" not in settings["settings"]["index"]
    client.close()


def test_an_index_of_another_format_is_refused(elastic_url: str) -> None:
    index_of(elastic_url, documents(1))
    place = Place.parse(elastic_url)
    client = connect(place)
    client.indices.put_mapping(index=place.contents, meta={"format": 0})
    client.close()
    with pytest.raises(IndexFormatError, match="format 0"):
        open_index(elastic_url)
    with pytest.raises(IndexFormatError, match="format 0"), open_writer(elastic_url):
        pass


@pytest.mark.parametrize("bad", ["http://localhost:9200", "http://localhost:9200/a/b", "http://h/a?x=1"])
def test_urls_that_name_no_index(bad: str) -> None:
    with pytest.raises(IndexFormatError, match="HOST:PORT/NAME"):
        Place.parse(bad)


def test_a_url_keeps_its_password_to_itself() -> None:
    place = Place.parse("https://me:secret@host/name?shards=8&replicas=1")
    assert (place.url, place.user, place.shards, place.replicas) == (
        "https://host:443/name",
        ("me", "secret"),
        8,
        1,
    )


def test_a_server_that_is_away() -> None:
    with pytest.raises(IndexUnavailableError, match="cannot reach"):
        open_index("http://127.0.0.1:9/name")


BUILD = """
import sys
from attribution.build import build
from attribution.index import open_writer
from attribution import elastic_requests, prepare
from tests.attribution.test_conformance import documents
prepare.BATCH_DOCUMENTS = 2
elastic_requests.BACK_OFF_S = (0.5,) * 400
print("begun", flush=True)
with open_writer(sys.argv[1]) as writer:
    build(documents(200), writer)
"""


@pytest.mark.slow
def test_a_node_killed_during_the_load_and_restarted_loses_and_doubles_nothing() -> None:
    if os.environ.get(URL_VARIABLE):
        pytest.skip("kills the server, hence only one of its own")
    try:
        with running_server() as own:
            survive(own)
    except NoServerError as error:
        pytest.skip(f"no Elasticsearch: {error}")


def survive(own: Server) -> None:
    url = f"{own.url}/killed"
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILD, url],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert builder.stdout is not None
    builder.stdout.readline()
    wait_for_documents(own, 20)
    own.kill()
    own.start()
    _, errors = builder.communicate(timeout=250)
    assert builder.returncode == 0, errors.decode()
    index = open_index(url)
    assert index.document_count() == 202
    assert index.info().contents == 201
    assert index.verify() == []
    index.close()


def wait_for_documents(own: Server, at_least: int) -> None:
    """Until the load is under way, which only asking tells."""
    client = connect(Place.parse(f"{own.url}/killed"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        stats = client.options(ignore_status=404).indices.stats(index="killed-documents", metric="indexing")
        done = stats.get("_all", {}).get("primaries", {}).get("indexing", {}).get("index_total", 0)
        if done >= at_least:
            client.close()
            return
    client.close()
    raise AssertionError("the load did not begin")


def test_a_busy_server_is_asked_again(elastic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 for a whole request: the first answers are those of a server with too much to do."""
    from elasticsearch import ApiError, Elasticsearch

    monkeypatch.setattr(elastic_requests, "BACK_OFF_S", (0, 0, 0))
    asked = []
    mget = Elasticsearch.mget

    def busy(self: Elasticsearch, **arguments: object) -> object:
        asked.append(arguments)
        if len(asked) <= 2:
            meta = dataclasses.replace(self.cluster.health().meta, status=429)
            raise ApiError("too busy", meta=meta, body={})
        return mget(self, **arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Elasticsearch, "mget", busy)
    index_of(elastic_url, documents(2))
    assert len(asked) > 2
    monkeypatch.undo()
    index = open_index(elastic_url)
    assert index.document_count() == 4
    index.close()
