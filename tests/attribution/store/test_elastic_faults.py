"""What goes wrong with a server, on a real one: each is a clear error or is waited for; nothing is lost."""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attribution.cli.check import index_app
from attribution.errors import IndexMissingError, IndexUnavailableError
from attribution.indexing.build import build
from attribution.store.elastic import requests as elastic_requests
from attribution.store.elastic.place import ElasticPlace, connect
from attribution.store.open import open_index, open_writer
from attribution.store.opt_outs import OptOut
from model.local.backoff import Backoff
from tests.attribution.elasticsearch_proxy import Call, Proxy, answer, proxy_before
from tests.attribution.elasticsearch_server import Server
from tests.attribution.samples import finds, index_of
from tests.attribution.samples import mixed_documents as documents

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries as often as ever, without the waiting."""
    monkeypatch.setattr(elastic_requests, "BACKOFF", Backoff(first_s=0.0, max_retries=9))


def through(proxy: Proxy, url: str) -> str:
    return f"{proxy.url}/{url.rpartition('/')[2]}"


# Away, or not what it should be


def test_a_server_that_is_away() -> None:
    for opened in (open_index, lambda url: open_writer(url).__enter__()):
        with pytest.raises(IndexUnavailableError) as raised:
            opened("http://me:hush@127.0.0.1:9/name")
        assert "cannot reach Elasticsearch at http://127.0.0.1:9 " in str(raised.value)
        assert "make elasticsearch" in str(raised.value)
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize("version", ["7.17.29", "9.2.0"])
def test_a_server_of_another_version(elastic_url: str, version: str) -> None:
    def other_version(call: Call, given: Call) -> Call:
        given.body = given.body.replace(b'"version":"8.', f'"version":"{version}","was":"8.'.encode())
        return given

    with proxy_before(elastic_url) as proxy:
        proxy.after = other_version
        with pytest.raises(IndexUnavailableError, match=f"is Elasticsearch {version}; .* speaks with 8.x"):
            open_index(through(proxy, elastic_url))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        # What 7.17 and 9.x say to a client of a version that they do not speak with.
        (406, "Content-Type header [application/vnd.elasticsearch+json; compatible-with=8] is not supported"),
        (400, "Invalid media-type value on headers [Accept]"),
    ],
)
def test_a_server_that_does_not_speak_with_this_version(elastic_url: str, status: int, said: str) -> None:
    with proxy_before(elastic_url) as proxy:
        proxy.instead = lambda call: answer(call, status, json.dumps({"error": said}).encode())
        with pytest.raises(IndexUnavailableError, match="another major version than 8"):
            open_index(through(proxy, elastic_url))


def test_something_else_than_elasticsearch(elastic_url: str) -> None:
    def anonymous(call: Call, given: Call) -> Call:
        headers = {
            name: value for name, value in given.headers.items() if name.lower() != "x-elastic-product"
        }
        given.headers = headers
        return given

    with proxy_before(elastic_url) as proxy:
        proxy.after = anonymous
        with pytest.raises(IndexUnavailableError, match="answers, but is no Elasticsearch"):
            open_index(through(proxy, elastic_url))


def test_an_index_that_goes_away_under_a_reader(elastic_url: str) -> None:
    index_of(elastic_url, documents(2))
    index = open_index(elastic_url)
    place = ElasticPlace.parse(elastic_url)
    client = connect(place)
    client.indices.delete(index=",".join(client.indices.get(index=place.contents)))
    client.close()
    with pytest.raises(IndexMissingError, match=f"starcoder-lsp index build SOURCES… --into {place.url}"):
        index.info()
    index.close()


# Too much to do


def test_a_server_that_is_too_busy_for_some_documents_and_for_some_requests(
    elastic_url: str, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    bulks = 0

    def busy(call: Call) -> Call | None:
        nonlocal bulks
        if not call.path.startswith("/_bulk"):
            return None
        bulks += 1
        return (
            answer(call, 429, b'{"error": "es_rejected_execution_exception"}') if bulks in {1, 2, 9} else None
        )

    def too_busy_for_some(call: Call, given: Call) -> Call:
        """Every third document of a while is told to be rejected, and was not taken."""
        if not call.path.startswith("/_bulk") or bulks % 2:
            return given
        told = json.loads(given.body)
        for number, item in enumerate(told["items"]):
            [(operation, result)] = item.items()
            if number % 3 == 0 and operation in {"create", "index"}:
                rejected = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
                item[operation] = {**result, "status": 429, "error": rejected}
                direct.delete(index=result["_index"], id=result["_id"], refresh=False)
        given.body = json.dumps({**told, "errors": True}).encode()
        return given

    place = ElasticPlace.parse(elastic_url)
    direct = connect(place)
    with proxy_before(elastic_url) as proxy:
        proxy.instead, proxy.after = busy, too_busy_for_some
        with open_writer(through(proxy, elastic_url)) as writer:
            counts = build(documents(40), writer)
    direct.close()
    assert (counts.added, counts.known) == (41, 1)
    assert bulks > 4
    assert "too busy" in caplog.text
    index = open_index(elastic_url)
    assert (index.info().documents, index.info().contents) == (42, 41)
    assert index.verify() == []
    index.close()
    for one in documents(40)[::7]:
        assert finds(elastic_url, one.text)


def test_a_server_that_stays_too_busy_is_given_up(elastic_url: str, impatient: None) -> None:
    def busy(call: Call, given: Call) -> Call:
        if call.path.startswith("/_bulk"):
            told = json.loads(given.body)
            for item in told["items"]:
                [(operation, result)] = item.items()
                item[operation] = {**result, "status": 429, "error": {"type": "rejected"}}
            given.body = json.dumps(told).encode()
        return given

    with proxy_before(elastic_url) as proxy:
        proxy.after = busy
        with (
            pytest.raises(IndexUnavailableError, match="run the same command again when it has recovered"),
            open_writer(through(proxy, elastic_url)) as writer,
        ):
            build(documents(3), writer)


def test_a_query_that_is_refused_says_so(elastic_url: str) -> None:
    index_of(elastic_url, documents(2))
    with proxy_before(elastic_url) as proxy:
        index = open_index(through(proxy, elastic_url))
        proxy.instead = lambda call: answer(call, 429, b'{"error": "busy"}')
        with pytest.raises(IndexUnavailableError, match=r"refuses \(429\).*try again later"):
            index.document_count()
        index.close()


# Killed and restarted


BUILD = """
import sys
from attribution.indexing.build import build
from attribution.store.open import open_writer
from attribution.store import prepare
from attribution.store.elastic import requests as elastic_requests
from model.local.backoff import Backoff
from tests.attribution.samples import mixed_documents
prepare.BATCH_DOCUMENTS = 2
elastic_requests.BACKOFF = Backoff(first_s=0.5, factor=1.0, max_retries=400)
print("begun", flush=True)
with open_writer(sys.argv[1]) as writer:
    build(mixed_documents(200), writer)
"""


@pytest.mark.slow
def test_a_node_killed_during_the_load_and_restarted_loses_and_doubles_nothing(
    own_server: Server, elastic_url: str
) -> None:
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILD, elastic_url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert builder.stdout is not None
    builder.stdout.readline()
    wait_for_documents(elastic_url, 20)
    own_server.kill()
    own_server.start()
    _, errors = builder.communicate(timeout=250)
    assert builder.returncode == 0, errors.decode()
    assert "no answer; trying again" in errors.decode()
    index = open_index(elastic_url)
    assert index.document_count() == 202
    assert index.info().contents == 201
    assert index.verify() == []
    index.close()


def wait_for_documents(url: str, at_least: int) -> None:
    """Until the load is under way, which only asking tells."""
    place = ElasticPlace.parse(url)
    client = connect(place)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        stats = client.options(ignore_status=404).indices.stats(index=place.documents, metric="indexing")
        done = stats.get("_all", {}).get("primaries", {}).get("indexing", {}).get("index_total", 0)
        if done >= at_least:
            client.close()
            return
    client.close()
    raise AssertionError("the load did not begin")


# Who may come in


def test_a_server_with_tls_and_a_user(secure_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = secure_server.lock
    assert lock is not None
    url = secure_server.url.replace("https://", f"https://{lock.user}:{lock.password}@") + "/tls"
    with pytest.raises(IndexUnavailableError, match="name that authority's file with ELASTICSEARCH_CA_CERTS"):
        open_index(url)
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(lock.certificate.with_name("none.pem")))
    with pytest.raises(IndexUnavailableError, match=r"none\.pem: there is no such file"):
        open_index(url)
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(lock.certificate))
    with pytest.raises(IndexMissingError):
        open_index(url)
    index_of(url, documents(3))
    assert finds(url, documents()[1].text)
    with pytest.raises(IndexUnavailableError, match=r"refuses \(401\).* belong into the URL"):
        open_index(f"{secure_server.url}/tls")


def test_the_documented_roles_are_enough_and_no_more(
    secure_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = secure_server.lock
    assert lock is not None
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(lock.certificate))

    def url(role: str) -> str:
        return secure_server.url.replace("https://", f"https://{role}:{lock.password}@") + "/starcoder-roles"

    index_of(url("starcoder_build"), documents(3))
    assert finds(url("starcoder_check"), documents()[1].text)
    index = open_index(url("starcoder_info"))
    assert index.info().documents == len(documents(3))
    index.close()
    index_of(url("starcoder_remove"), documents(4))
    with open_writer(url("starcoder_remove"), create=False) as writer:
        assert writer.remove([OptOut(repository=documents()[0].source.repository)]).documents
    refused = r"refuses \(403\).*lacks the right"
    with pytest.raises(IndexUnavailableError, match=refused):
        index_of(url("starcoder_check"), documents(5))
    with pytest.raises(IndexUnavailableError, match=refused):
        index_of(url("starcoder_remove").replace("starcoder-roles", "starcoder-new"), documents(1))


def test_a_wrong_password_is_not_told_on(secure_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert secure_server.lock is not None
    monkeypatch.setenv("ELASTICSEARCH_CA_CERTS", str(secure_server.lock.certificate))
    url = secure_server.url.replace("https://", "https://tester:wrong-word@") + "/tls"
    for command in (["info"], ["build", str(ROOT / "LICENSE")], ["remove", "--owner", "x"], ["verify"]):
        result = CliRunner().invoke(index_app, [*command, "--into", url])
        assert result.exit_code == 2
        assert "refuses (401)" in result.output
        assert "wrong-word" not in result.output
        assert base64.b64encode(b"tester:wrong-word").decode() not in result.output


def test_an_api_key(elastic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tested server's archive cannot make keys, so it is the proxy that asks for one."""

    def guard(call: Call) -> Call | None:
        headers = {name.lower(): value for name, value in call.headers.items()}
        if headers.pop("authorization", "") == "ApiKey aWQ6a2V5":
            call.headers = headers  # the server behind knows no keys
            return None
        return answer(call, 401, b'{"error": "missing authentication credentials"}')

    with proxy_before(elastic_url) as proxy:
        proxy.instead = guard
        url = through(proxy, elastic_url)
        with pytest.raises(IndexUnavailableError, match="an API key into ELASTICSEARCH_API_KEY"):
            open_index(url)
        monkeypatch.setenv("ELASTICSEARCH_API_KEY", "aWQ6a2V5")
        index_of(url, documents(2))
        assert finds(url, documents()[0].text)


def test_a_key_that_may_not_ask_for_the_version_will_do(elastic_url: str) -> None:
    def forbidden(call: Call) -> Call | None:
        return answer(call, 403, b'{"error": "no"}') if call.path.startswith("/_nodes") else None

    index_of(elastic_url, documents(2))
    with proxy_before(elastic_url) as proxy:
        proxy.instead = forbidden
        assert finds(through(proxy, elastic_url), documents()[0].text)


def test_a_check_sends_no_text(elastic_url: str) -> None:
    index_of(elastic_url, documents(4))
    text = documents()[1].text
    with proxy_before(elastic_url) as proxy:
        assert finds(through(proxy, elastic_url), text)
        sent = b"".join(call.body + call.path.encode() for call in proxy.calls)
    names = {word for word in text.split() if word.startswith(b"name_")}
    assert len(names) > 15
    assert not any(name in sent for name in names)
