"""The stores that the attribution tests run on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from attribution.store.elastic.place import ElasticPlace, connect
from tests.attribution.elasticsearch_archive import NoServerError
from tests.attribution.elasticsearch_server import URL_VARIABLE, Server, running_server


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """An Elasticsearch of our own, which a test may kill and start again."""
    if URL_VARIABLE in os.environ:
        pytest.skip(f"{URL_VARIABLE} names an Elasticsearch, which is not ours")
    try:
        with running_server() as own:
            yield own
    except NoServerError as error:
        pytest.skip(f"no Elasticsearch: {error}")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> str:
    """The address of an Elasticsearch: the one that is named, or our own."""
    if named := os.environ.get(URL_VARIABLE):
        return named.rstrip("/")
    own: Server = request.getfixturevalue("own_server")
    return own.url


@pytest.fixture(scope="session")
def secure_server() -> Iterator[Server]:
    """An Elasticsearch of our own with TLS, by a certificate that nobody else knows, and a user."""
    try:
        with running_server(secure=True) as own:
            yield own
    except NoServerError as error:
        pytest.skip(f"no Elasticsearch: {error}")


@pytest.fixture(params=["embedded", "elasticsearch"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an index may be made, on each store."""
    if request.param == "embedded":
        yield str(tmp_path / "index")
        return
    yield from fresh_name(request.getfixturevalue("server"))


@pytest.fixture
def elastic_url(server: str) -> Iterator[str]:
    """Where an index may be made on Elasticsearch."""
    yield from fresh_name(server)


def fresh_name(server: str) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield f"{server}/{name}"
    place = ElasticPlace.parse(f"{server}/{name}")
    client = connect(place)
    for alias in (place.contents, place.documents, place.opt_outs):
        for index in client.indices.get(index=alias, ignore_unavailable=True):
            client.indices.delete(index=index)
    client.close()
