"""What is written to an index on Elasticsearch: bulk actions, each of which can be done twice.

Contents are created by their key (a conflict means it is there), documents are put by repository and
path, opt-outs by what they say.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from attribution.source import Source
from attribution.store.elastic.place import ElasticPlace
from attribution.store.elastic.requests import Action
from attribution.store.elastic.schema import FIELDS
from attribution.store.opt_outs import OptOut
from attribution.store.prepare import PreparedDocument
from attribution.tokens.fingerprint import Channel


def document_id(source: Source) -> str:
    """What identifies a document: its repository and path."""
    return _digest(f"{source.repository}\0{source.path}")


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
    """Where a content comes from; replaces what the repository had at this path."""
    return {
        "_op_type": "index",
        "_index": place.documents,
        "_id": document_id(source),
        "content": content,
        "repository": source.repository,
        "repository_folded": source.repository.casefold(),
        "owner_folded": source.owner.casefold(),
        "path": source.path,
        "revision": source.revision,
        "license": source.license,
        "url": source.url,
        "text_bytes": text_bytes,
    }


def put_opt_out(place: ElasticPlace, rule: OptOut) -> Action:
    """A rule for this build and all later ones."""
    fields = {"owner": rule.owner, "repository": rule.repository, "path": rule.path}
    return {
        "_op_type": "index",
        "_index": place.opt_outs,
        "_id": _digest(repr(sorted(fields.items()))),
        **fields,
    }


def delete(index: str, number: str) -> Action:
    """Delete a content or a document; one that is gone already is no error."""
    return {"_op_type": "delete", "_index": index, "_id": number}


def query_of(rule: OptOut) -> dict[str, Any]:
    """A query for at least what the rule covers; `OptOut.covers` sorts out the rest."""
    if rule.repository:
        return {"term": {"repository_folded": rule.repository.casefold()}}
    if rule.owner:
        return {"term": {"owner_folded": rule.owner.casefold()}}
    return {"match_all": {}}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
