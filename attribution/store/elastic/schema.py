"""What an index on Elasticsearch 8 consists of: mappings, settings, and how fingerprints are words.

Three indices behind aliases: NAME-contents (fingerprints and packed texts, by content key),
NAME-documents (provenance, by repository and path) and NAME-opt-outs, which also says whether the other two
are being loaded for the first time, and which settings they get after that.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from attribution.errors import IndexFormatError
from attribution.store.contract import DOCUMENT_VERSION
from attribution.store.elastic.place import ElasticPlace
from attribution.tokens.fingerprint import FORMAT_VERSION, WINNOWING, Channel
from attribution.tokens.lexer import U64

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

# In the opt-outs' `_meta` while the other two are loaded for the first time.
_LOADING = "loading"
_REPLICAS = ("auto_expand_replicas", "number_of_replicas")
_WHILE_LOADING = {"refresh_interval": "-1", "number_of_replicas": 0}

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
        "package": {"type": "keyword", "ignore_above": 8191},
        "package_folded": {"type": "keyword"},
        "origin": _STORED,
        "path": {"type": "keyword", "ignore_above": 8191},
        "revision": _STORED,
        "license": {"type": "keyword", "ignore_above": 8191},
        "language": {"type": "keyword"},
        "declared": _STORED,
        "declared_in": _STORED,
        "detected": _STORED,
        "detected_in": _STORED,
        "url": _STORED,
        "text_bytes": _NUMBER,
    },
}
OPT_OUTS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {"owner": _STORED, "repository": _STORED, "path": _STORED},
}


def create(client: Elasticsearch, place: ElasticPlace, channels: Sequence[Channel]) -> None:
    """Make the indices that are not there; nothing where one of them is not ours. Raises `IndexFormatError`.

    Contents and documents that are made are loaded first, and said to be: nothing is made visible or copied
    to other nodes that the next batch changes again. Afterwards their settings are the administrator's.
    """
    wanted = ((place.opt_outs, OPT_OUTS), (place.contents, CONTENTS), (place.documents, DOCUMENTS))
    found = {alias for alias, _ in wanted if client.indices.exists(index=alias)}
    for alias in found:
        _check_ours(client, place, alias)
    loading = not found
    for alias, mappings in wanted:
        if alias not in found:
            marked = {_LOADING: True} if loading and alias == place.opt_outs else {}
            is_loaded = loading and alias != place.opt_outs
            client.indices.create(
                index=f"{alias}-v{FORMAT_VERSION}",
                aliases={alias: {}},
                mappings={**mappings, "_meta": {**meta(channels), **marked}},
                settings={
                    "number_of_shards": 1 if place.shards is None else place.shards,
                    "similarity": _SIMILARITY,
                    **(_WHILE_LOADING if is_loaded else _replicas(place)),
                },
            )


def _replicas(place: ElasticPlace) -> dict[str, Any]:
    """As the URL says; by default one copy as soon as there is a second node to hold it."""
    if place.replicas is None:
        return {"auto_expand_replicas": "0-1"}
    return {"number_of_replicas": place.replicas}


def restore(client: Elasticsearch, place: ElasticPlace, channels: Sequence[Channel]) -> None:
    """End a first load, also one that was killed: replicas as those of the opt-outs, which had them from the
    beginning. Changes nothing at any other time."""
    [mapped] = client.indices.get_mapping(index=place.opt_outs).values()
    if not mapped["mappings"].get("_meta", {}).get(_LOADING):
        return
    [kept] = client.indices.get_settings(index=place.opt_outs).values()
    replicas = {name: kept["settings"]["index"].get(name) for name in _REPLICAS}
    client.indices.put_settings(
        index=f"{place.contents},{place.documents}", settings={"refresh_interval": None, **replicas}
    )
    client.indices.put_mapping(index=place.opt_outs, meta=meta(channels))


def channels_of(client: Elasticsearch, place: ElasticPlace) -> tuple[Channel, ...]:
    """The channels an index was made with; raises `IndexFormatError` on another format."""
    found = _check_ours(client, place, place.contents)
    channels = tuple(channel for channel in Channel if channel in found.get("channels", ()))
    if found != meta(channels):
        raise IndexFormatError(
            f"{place.url}: its format is {found['format']}, this program's is {FORMAT_VERSION}, or it was "
            "made with other parameters; keep its opt-outs with `starcoder-lsp index opt-outs list --into "
            f"{place.url} > opt-outs.txt`, and build it again under another name: `starcoder-lsp index build "
            f"SOURCES… --opt-out-list opt-outs.txt --into {place.url}-{DOCUMENT_VERSION}`"
        )
    return channels


def _check_ours(client: Elasticsearch, place: ElasticPlace, alias: str) -> dict[str, Any]:
    """What an index that is there says of itself."""
    mappings = [one["mappings"] for one in client.indices.get_mapping(index=alias).values()]
    found: dict[str, Any] = mappings[0].get("_meta", {}) if len(mappings) == 1 else {}
    if "format" not in found:
        raise IndexFormatError(
            f"{place.url}: {alias} is there, but is no attribution index of this program; "
            "choose another name with --into"
        )
    return found


def meta(channels: Sequence[Channel]) -> dict[str, Any]:
    """What makes fingerprints comparable."""
    sizes = [[WINNOWING[channel].k, WINNOWING[channel].window] for channel in channels]
    return {
        "format": FORMAT_VERSION,
        "channels": [int(channel) for channel in channels],
        "winnowing": sizes,
        "documents": DOCUMENT_VERSION,
    }


def terms(fingerprints: U64) -> list[str]:
    """Fingerprints as words: 48 bits are 8 characters of base64url."""
    raw = fingerprints.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:].tobytes()
    encoded = base64.urlsafe_b64encode(raw).decode("ascii")
    return [encoded[at : at + 8] for at in range(0, len(encoded), 8)]
