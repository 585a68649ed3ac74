"""What is written to an index on Elasticsearch: bulk actions, each of which can be done twice.

Contents are created by their key (a conflict means it is there), documents are put by repository and
path, opt-outs by what they say.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from attribution.source import Source
from attribution.store.contract import language_name
from attribution.store.elastic.place import ElasticPlace
from attribution.store.elastic.requests import Action
from attribution.store.elastic.schema import FIELDS
from attribution.store.opt_outs import OptOut
from attribution.store.prepare import PreparedDocument
from attribution.tokens.fingerprint import Channel


def document_id(source: Source) -> str:
    """What identifies a document: its provenance and path."""
    return _digest("\0".join((*source.provenance, source.path)))


def create_content(
    place: ElasticPlace, document: PreparedDocument, packed: bytes, words: Mapping[Channel, Sequence[str]]
) -> Action:
    """A text and its fingerprints, unless they are there."""
    return {
        "_op_type": "create",
        "_index": place.contents,
        "_id": document.key.hex(),
        "key": document.key.hex(),
        "packed": base64.b64encode(packed).decode("ascii"),
        "packed_bytes": len(packed),
        "text_bytes": document.text_bytes,
        "tokens": document.tokens,
        "postings": sum(map(len, words.values())),
        **{FIELDS[channel]: " ".join(found) for channel, found in words.items()},
    }


def put_document(place: ElasticPlace, source: Source, content: str, text_bytes: int) -> Action:
    """Where a content comes from; replaces what its provenance had at this path."""
    return {
        "_op_type": "index",
        "_index": place.documents,
        "_id": document_id(source),
        "content": content,
        "repository": source.repository,
        "repository_folded": source.repository.casefold(),
        "owner_folded": source.owner.casefold(),
        "package": source.package,
        "package_folded": None if source.package is None else source.package.casefold(),
        "origin": source.origin,
        "path": source.path,
        "revision": source.revision,
        "license": source.license,
        "language": language_name(source.path),
        **evidence_fields(source),
        "url": source.url,
        "text_bytes": text_bytes,
    }


def evidence_fields(source: Source) -> dict[str, str | None]:
    """What the licence is known by."""
    return {} if source.evidence is None else asdict(source.evidence)


def put_opt_out(place: ElasticPlace, rule: OptOut) -> Action:
    """A rule for this build and all later ones."""
    return {
        "_op_type": "index",
        "_index": place.opt_outs,
        "_id": opt_out_id(rule),
        **_opt_out_fields(rule),
    }


def opt_out_id(rule: OptOut) -> str:
    """What identifies a rule: what it says."""
    return _digest(repr(sorted(_opt_out_fields(rule).items())))


def _opt_out_fields(rule: OptOut) -> dict[str, str | None]:
    return {"owner": rule.owner, "repository": rule.repository, "path": rule.path}


def delete(index: str, number: str) -> Action:
    """Delete a content or a document; one that is gone already is no error."""
    return {"_op_type": "delete", "_index": index, "_id": number}


def query_of(rule: OptOut) -> dict[str, Any]:
    """A query for at least what the rule covers; `OptOut.covers` sorts out the rest."""
    name = rule.repository or rule.owner
    if name is None:
        return {"match_all": {}}
    fields = ("repository_folded", "owner_folded", "package_folded")
    return {"bool": {"should": [{"term": {field: name.casefold()}} for field in fields]}}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
