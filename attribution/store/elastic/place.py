"""Where an Elasticsearch index is and how its server is reached; its errors as ours, with the remedy.

The server's URL may hold a user and a password; they are in no message. An API key and a
certificate authority come from the environment. Knows nothing of what an index holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from elastic_transport import TlsError, TransportError
from elasticsearch import ApiError, AuthorizationException, Elasticsearch, NotFoundError
from elasticsearch import UnsupportedProductError as NoElasticsearchError

from attribution.errors import IndexFormatError, IndexUnavailableError
from attribution.store.contract import missing
from attribution.store.elastic.address import API_KEY_VARIABLE, CA_VARIABLE, NAMED_SERVER, SERVER_VARIABLE

SUPPORTED_MAJOR = 8
REQUEST_TIMEOUT_S = 60
# What an index may be called: no pattern and no list, which Elasticsearch would take for several.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}")
# What a server says that cannot speak the client's version: 7.x (406), 9.x (400) and others.
_MEDIA_TYPE = re.compile(r"compatible-with|media[-_ ]type", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ElasticPlace:
    """`http(s)://[USER:PASSWORD@]HOST:PORT/NAME[?shards=N&replicas=N]`, taken apart.

    `elasticsearch:NAME` is the index NAME of the server in `ELASTICSEARCH_URL`. `shards` and `replicas`
    are None where the URL does not say.
    """

    server: str
    name: str
    user: tuple[str, str] | None
    shards: int | None
    replicas: int | None

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"{self.server}/{self.name}"

    @property
    def contents(self) -> str:
        """The alias of the contents."""
        return f"{self.name}-contents"

    @property
    def documents(self) -> str:
        """The alias of the documents."""
        return f"{self.name}-documents"

    @property
    def opt_outs(self) -> str:
        """The alias of the opt-outs."""
        return f"{self.name}-opt-outs"

    @classmethod
    def parse(cls, url: str) -> ElasticPlace:
        """Raises `IndexFormatError` on a URL without a proper index name or with odd options."""
        try:
            parts = urlsplit(_with_server(url))
            port = parts.port or (443 if parts.scheme == "https" else 9200)
        except ValueError as error:
            raise _misnamed("this URL", str(error)) from None
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        name = parts.path.strip("/")
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        numbers = {key: options.pop(key) for key in ("shards", "replicas") if key in options}
        if not host or options or not all(value.isdecimal() for value in numbers.values()):
            raise _misnamed(f"{parts.scheme}://{host}…")
        if not _NAME.fullmatch(name):
            raise _misnamed(
                f"{parts.scheme}://{host}…", f"{name!r} is no name (lower-case letters, digits, - _ .)"
            )
        return cls(
            server=f"{parts.scheme}://{host}:{port}",
            name=name,
            user=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
            shards=int(numbers["shards"]) if "shards" in numbers else None,
            replicas=int(numbers["replicas"]) if "replicas" in numbers else None,
        )


def _with_server(url: str) -> str:
    if not url.startswith(NAMED_SERVER):
        return url
    server = os.environ.get(SERVER_VARIABLE)
    if not server:
        raise IndexUnavailableError(
            f"{url} does not say which server: set {SERVER_VARIABLE} to http(s)://HOST:PORT, or name the "
            "index by its whole URL"
        )
    return f"{server.rstrip('/')}/{url.removeprefix(NAMED_SERVER)}"


def _misnamed(what: str, why: str = "") -> IndexFormatError:
    return IndexFormatError(
        f"{what}: {f'{why}; ' if why else ''}an Elasticsearch index is named as http://HOST:PORT/NAME, with "
        f"?shards=N&replicas=N if wanted, or {NAMED_SERVER}NAME with the server in {SERVER_VARIABLE}"
    )


def connect(place: ElasticPlace) -> Elasticsearch:
    """A client of a server that answers and is of a version we know. Raises `IndexUnavailableError`."""
    options: dict[str, Any] = {"request_timeout": REQUEST_TIMEOUT_S}
    if place.user:
        options["basic_auth"] = place.user
    elif key := os.environ.get(API_KEY_VARIABLE):
        options["api_key"] = key
    if place.server.startswith("https:") and (authority := os.environ.get(CA_VARIABLE)):
        if not Path(authority).is_file():
            raise IndexUnavailableError(f"{CA_VARIABLE} = {authority}: there is no such file")
        options["ca_certs"] = authority
    client = Elasticsearch(place.server, **options)
    try:
        with translated(place):
            _check_version(client, place)
    except BaseException:
        client.close()
        raise
    return client


def _check_version(client: Elasticsearch, place: ElasticPlace) -> None:
    try:
        nodes = client.nodes.info(metric="process")["nodes"].values()
    except AuthorizationException:
        # A key for some indices only may not ask; the requests to come will tell.
        return
    others = {node["version"] for node in nodes if not node["version"].startswith(f"{SUPPORTED_MAJOR}.")}
    if others:
        raise _wrong_version(place, f"Elasticsearch {', '.join(sorted(others))}")


def _wrong_version(place: ElasticPlace, found: str) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"{place.server} is {found}; this program speaks with {SUPPORTED_MAJOR}.x: name such a server "
        "(`make elasticsearch` in the source tree starts one), or a folder, with --into"
    )


@contextmanager
def translated(place: ElasticPlace) -> Iterator[None]:
    """The client's errors as ours."""
    try:
        yield
    except NotFoundError as error:
        raise missing(place.url) from error
    except NoElasticsearchError as error:
        raise IndexUnavailableError(
            f"{place.server} answers, but is no Elasticsearch {SUPPORTED_MAJOR}.x; check host and port"
        ) from error
    except ApiError as error:
        raise _refusal(place, error) from error
    except TlsError as error:
        raise IndexUnavailableError(
            f"{place.server}: the secure connection failed ({error.message}); if its certificate is of an "
            f"authority of your own, name that authority's file with {CA_VARIABLE}"
        ) from error
    except TransportError as error:
        raise IndexUnavailableError(
            f"cannot reach Elasticsearch at {place.server} ({error.message}); is it running, and are host "
            "and port right? `make elasticsearch` or `docker compose up` in the source tree start one"
        ) from error


def is_blocked(status: int, answer: Any) -> bool:
    """Whether writes are refused until somebody lifts a block; 503 is a cluster that is not ready."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    kind = error.get("type") if isinstance(error, Mapping) else None
    return kind == "cluster_block_exception" and status != 503


def blocked(place: ElasticPlace, reason: str) -> IndexUnavailableError:
    """The error for an index that is read-only, as one is when a node's disk is nearly full."""
    return IndexUnavailableError(
        f"{place.url} cannot be written: {reason}; make room on the server's disks (Elasticsearch then lifts "
        f"the block by itself), or lift it: PUT {place.name}-*/_settings with "
        '{"index.blocks.read_only_allow_delete": null, "index.blocks.write": null}'
    )


def _refusal(place: ElasticPlace, error: ApiError) -> IndexUnavailableError:
    said = str(error)
    if error.status_code in {400, 406} and _MEDIA_TYPE.search(said):
        return _wrong_version(place, "of another major version than 8")
    if is_blocked(error.status_code, error.body):
        return blocked(place, error.body["error"]["reason"])
    hints = {
        401: f"user and password belong into the URL, or an API key into {API_KEY_VARIABLE}",
        403: f"the user or the key in {API_KEY_VARIABLE} lacks the right to this index",
        429: "it has too much to do; try again later",
        503: "it is not ready; try again later",
    }
    hint = hints.get(error.status_code)
    return IndexUnavailableError(
        f"{place.server} refuses ({error.status_code}): {said}{f'; {hint}' if hint else ''}"
    )
