"""What `check` says, to people (text) and to programs (JSON, SARIF 2.1.0)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from attribution.match.seen import KIND as SEEN
from attribution.match.seen import SeenFile
from attribution.source import Match, MatchKind, Span

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_RULES = {
    MatchKind.EXACT: "Code that stands byte for byte in an indexed file.",
    MatchKind.REFORMATTED: "Code that stands in an indexed file with other white space.",
    MatchKind.NEAR: "Code that stands in an indexed file with small changes.",
    MatchKind.RENAMED: "Code that stands in an indexed file under other names.",
    SEEN: "Code that the training set of the model in use has too; where is not known.",
}


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file's answer: where was searched, and what was found."""

    file: str
    index: str
    documents: int
    matches: Sequence[Match]


FileAnswer = CheckedFile | SeenFile


def to_json(checked: Sequence[FileAnswer]) -> str:
    """A list of objects, one a file."""
    return json.dumps([_file(one) for one in checked], indent=2, ensure_ascii=False)


def _file(one: FileAnswer) -> dict[str, Any]:
    if isinstance(one, SeenFile):
        return {"file": one.file, "searched": one.searched, "matches": one.matches()}
    return {
        "file": one.file,
        "searched": {"index": one.index, "documents": one.documents},
        "matches": [match_to_dict(match) for match in one.matches],
    }


def match_to_dict(match: Match) -> dict[str, Any]:
    """One match in the JSON's shape; lines from 1, bytes half-open."""
    source = match.source
    return {
        "kind": match.kind.value,
        "tokens": match.tokens,
        "similarity": match.similarity,
        "query": {
            "start_line": match.query.start_line,
            "end_line": match.query.end_line,
            "start_byte": match.query.start_byte,
            "end_byte": match.query.end_byte,
        },
        "source": {
            "repository": source.repository,
            "path": source.path,
            "revision": source.revision,
            "license": source.license,
            "url": link(match),
            "start_line": match.source_span.start_line,
            "end_line": match.source_span.end_line,
        },
        "also_in": match.also_in,
    }


def link(match: Match) -> str | None:
    """The source's address, with its lines where the address is a file's."""
    url = match.source.url
    if url is None or "/blob/" not in url:
        return url
    return f"{url}#L{match.source_span.start_line}-L{match.source_span.end_line}"


def to_text(checked: Sequence[FileAnswer]) -> str:
    """Lines for a terminal."""
    lines = []
    for one in checked:
        if isinstance(one, SeenFile):
            lines += one.lines()
            continue
        lines += [_text(one.file, match) for match in one.matches]
        if not one.matches:
            lines.append(f"{one.file}: no match in {one.documents:,} indexed documents")
    return "\n".join(lines)


def _text(file: str, match: Match) -> str:
    source = match.source
    also = f", and {match.also_in} more files" if match.also_in else ""
    common = " (common code)" if match.common else ""
    similarity = f", {match.similarity:.0%} the same" if match.similarity < 1 else ""
    return (
        f"{file}:{_lines(match.query)}: {match.kind}, {match.tokens} tokens{similarity}{common}\n"
        f"    {source.repository}: {source.path}:{_lines(match.source_span)}{also}\n"
        f"    licence: {source.license or 'unknown'}" + (f"   {where}" if (where := link(match)) else "")
    )


def _lines(span: Span) -> str:
    return str(span.start_line) if span.start_line == span.end_line else f"{span.start_line}-{span.end_line}"


def to_sarif(
    checked: Sequence[FileAnswer], *, version: str, failing: Sequence[Match] = (), seen_fails: bool = False
) -> str:
    """A SARIF 2.1.0 log: matches in `failing` are errors, others notes.

    What was seen is an error if `seen_fails`.
    """
    rules = [
        {"id": f"attribution/{kind}", "shortDescription": {"text": text}} for kind, text in _RULES.items()
    ]
    driver = {"name": "starcoder-lsp", "version": version, "rules": rules}
    results = [
        result
        for one in checked
        for result in (
            one.results(_uri(one.file), failing=seen_fails)
            if isinstance(one, SeenFile)
            else [_result(one.file, match, match in failing) for match in one.matches]
        )
    ]
    artifacts = [{"location": {"uri": _uri(one.file)}} for one in checked]
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "artifacts": artifacts,
        "results": results,
    }
    return json.dumps(
        {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False
    )


def _result(file: str, match: Match, failing: bool) -> dict[str, Any]:
    details = match_to_dict(match)
    source = match.source
    return {
        "ruleId": f"attribution/{match.kind}",
        "level": "error" if failing else "note",
        "message": {
            "text": f"{match.tokens} tokens as in {source.path} of {source.repository} "
            f"(licence: {source.license or 'unknown'})"
        },
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(file)},
                    "region": {
                        "startLine": match.query.start_line,
                        "endLine": match.query.end_line,
                        "byteOffset": match.query.start_byte,
                        "byteLength": match.query.end_byte - match.query.start_byte,
                    },
                }
            }
        ],
        "partialFingerprints": {
            "source/v1": f"{source.repository}:{source.path}:{match.source_span.start_line}"
        },
        "properties": {key: details[key] for key in ("kind", "tokens", "similarity", "source", "also_in")},
    }


def _uri(file: str) -> str:
    return "stdin" if file == "-" else quote(PurePath(file).as_posix())
