"""An index on Elasticsearch 8: where it is, its mappings, and its errors as ours.

Three indices behind aliases: NAME-contents (fingerprints and packed texts, by content key),
NAME-documents (provenance, by repository and path) and NAME-opt-outs.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch, NotFoundError, UnsupportedProductError

from attribution.errors import IndexFormatError, IndexUnavailableError
from attribution.fingerprint import FORMAT_VERSION, WINNOWING, Channel
from attribution.index import API_KEY_VARIABLE, CA_VARIABLE, missing
from attribution.lexer import U64

SUPPORTED_MAJOR = 8
REQUEST_TIMEOUT_S = 60
FIELDS = {Channel.TEXT: "fp", Channel.SHAPE: "fp_shape"}
# One term a fingerprint, no positions, no lengths: a score is the summed idf and nothing else.
_SIMILARITY = {"summed_idf": {"type": "BM25", "k1": 0.0, "b": 0.0}}
_FINGERPRINTS = {
    "type": "text",
    "analyzer": "whitespace",
    "norms": False,
    "index_options": "docs",
    "similarity": "summed_idf",
}
_STORED = {"type": "keyword", "index": False, "doc_values": False}
_NUMBER = {"type": "long", "index": False}

CONTENTS: dict[str, Any] = {
    "dynamic": "strict",
    # The terms are in the index; they need not be kept a second time.
    "_source": {"excludes": list(FIELDS.values())},
    "properties": {
        **dict.fromkeys(FIELDS.values(), _FINGERPRINTS),
        "key": {"type": "keyword"},
        "packed": {"type": "binary"},
        "packed_bytes": _NUMBER,
        "text_bytes": _NUMBER,
        "tokens": _NUMBER,
        "postings": _NUMBER,
    },
}
DOCUMENTS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "content": {"type": "keyword"},
        "repository": {"type": "keyword"},
        "repository_folded": {"type": "keyword"},
        "owner_folded": {"type": "keyword"},
        "path": {"type": "keyword", "ignore_above": 8191},
        "revision": _STORED,
        "license": _STORED,
        "url": _STORED,
        "text_bytes": _NUMBER,
    },
}
OPT_OUTS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {"owner": _STORED, "repository": _STORED, "path": _STORED},
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """`http(s)://[USER:PASSWORD@]HOST:PORT/NAME[?shards=N&replicas=N]`, taken apart."""

    server: str
    name: str
    user: tuple[str, str] | None
    shards: int
    replicas: int

    @property
    def url(self) -> str:
        """Without the password."""
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
    def parse(cls, url: str) -> Place:
        """Raises `IndexFormatError` on a URL without an index name or with odd options."""
        parts = urlsplit(url)
        name = parts.path.strip("/")
        options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        numbers = {key: options.pop(key, default) for key, default in (("shards", "1"), ("replicas", "0"))}
        if not name or "/" in name or options or not all(value.isdigit() for value in numbers.values()):
            raise IndexFormatError(
                f"{parts.scheme}://{parts.hostname}…: an Elasticsearch index is named as "
                "http://HOST:PORT/NAME, with ?shards=N&replicas=N if wanted"
            )
        port = parts.port or (443 if parts.scheme == "https" else 9200)
        return cls(
            server=f"{parts.scheme}://{parts.hostname}:{port}",
            name=name,
            user=(parts.username, parts.password or "") if parts.username else None,
            shards=int(numbers["shards"]),
            replicas=int(numbers["replicas"]),
        )


def connect(place: Place) -> Elasticsearch:
    """A client of a server that answers and is of a version we know. Raises `IndexUnavailableError`."""
    options: dict[str, Any] = {"request_timeout": REQUEST_TIMEOUT_S, "retry_on_timeout": True}
    if key := os.environ.get(API_KEY_VARIABLE):
        options["api_key"] = key
    elif place.user:
        options["basic_auth"] = place.user
    if authority := os.environ.get(CA_VARIABLE):
        options["ca_certs"] = authority
    client = Elasticsearch(place.server, **options)
    try:
        with translated(place):
            nodes = client.nodes.info(metric="process")["nodes"].values()
    except BaseException:
        client.close()
        raise
    others = {node["version"] for node in nodes if not node["version"].startswith(f"{SUPPORTED_MAJOR}.")}
    if others:
        client.close()
        raise IndexUnavailableError(
            f"{place.server} is Elasticsearch {', '.join(sorted(others))}; "
            f"this program speaks with {SUPPORTED_MAJOR}.x"
        )
    return client


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """The client's errors as ours."""
    try:
        yield
    except NotFoundError as error:
        raise missing(place.url) from error
    except UnsupportedProductError as error:
        raise IndexUnavailableError(f"{place.server} answers, but is no Elasticsearch: {error}") from error
    except ApiError as error:
        hint = f"; check {API_KEY_VARIABLE}" if error.status_code in {401, 403} else ""
        raise IndexUnavailableError(f"{place.server} refuses ({error.status_code}): {error}{hint}") from error
    except TransportError as error:
        raise IndexUnavailableError(f"cannot reach Elasticsearch at {place.server}: {error}") from error


def create(client: Elasticsearch, place: Place, channels: Sequence[Channel]) -> None:
    """Make the indices that are not there."""
    for alias, mappings in (
        (place.contents, CONTENTS),
        (place.documents, DOCUMENTS),
        (place.opt_outs, OPT_OUTS),
    ):
        if not client.indices.exists(index=alias):
            client.indices.create(
                index=f"{alias}-v{FORMAT_VERSION}",
                aliases={alias: {}},
                mappings={**mappings, "_meta": meta(channels)},
                settings={
                    "number_of_shards": place.shards,
                    "number_of_replicas": place.replicas,
                    "similarity": _SIMILARITY,
                },
            )


def channels_of(client: Elasticsearch, place: Place) -> tuple[Channel, ...]:
    """The channels an index was made with; raises `IndexFormatError` on another format."""
    [mapping] = client.indices.get_mapping(index=place.contents).values()
    found = mapping["mappings"].get("_meta", {})
    channels = tuple(Channel(number) for number in found.get("channels", ()))
    if found != meta(channels):
        raise IndexFormatError(
            f"{place.url}: format {found.get('format')} of other parameters than this version's "
            f"{FORMAT_VERSION}; build the index again under another name"
        )
    return channels


def meta(channels: Sequence[Channel]) -> dict[str, Any]:
    """What makes fingerprints comparable."""
    sizes = [[WINNOWING[channel].k, WINNOWING[channel].window] for channel in channels]
    return {
        "format": FORMAT_VERSION,
        "channels": [int(channel) for channel in channels],
        "winnowing": sizes,
    }


def terms(fingerprints: U64) -> list[str]:
    """Fingerprints as words: 48 bits are 8 characters of base64url."""
    raw = fingerprints.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:].tobytes()
    encoded = base64.urlsafe_b64encode(raw).decode("ascii")
    return [encoded[at : at + 8] for at in range(0, len(encoded), 8)]
