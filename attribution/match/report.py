"""What `check` says, to people (text) and to programs (JSON). `attribution.match.sarif` has SARIF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from attribution.match.seen import SeenFile
from attribution.policy.policy import LicenceOutcome, strictest_first
from attribution.source import LicenceEvidence, Match, Source, Span

if TYPE_CHECKING:
    # Needs rapidfuzz, which an answer from a portrait does without.
    from attribution.match.checking import CheckedFile, JudgedMatch

FileAnswer: TypeAlias = "CheckedFile | SeenFile"


def to_json(checked: Sequence[FileAnswer], failures: Sequence[tuple[str, str]] = ()) -> str:
    """A list of objects, one a file; what could not be checked has an `error` and no matches."""
    failed = {file for file, _ in failures}
    answers = [_file(one) for one in checked if one.file not in failed]
    answers += [{"file": file, "error": reason} for file, reason in failures]
    return json.dumps(answers, indent=2)


def _file(one: FileAnswer) -> dict[str, Any]:
    if isinstance(one, SeenFile):
        return {"file": one.file, "searched": one.searched, "matches": one.matches()}
    return {
        "file": one.file,
        "searched": {"index": one.index, "documents": one.documents},
        "matches": [judged_to_dict(judged) for judged in one.matches],
    }


def judged_to_dict(judged: JudgedMatch) -> dict[str, Any]:
    """A match and its verdict; `holders` are all who have it, the strictest licence first."""
    verdict, match = judged.verdict, judged.match
    return {
        **match_to_dict(match),
        "cell": judged.cell,
        "holders": [_source(holder) for holder in strictest_first(match.holders)],
        "verdict": {"outcome": verdict.outcome.value, "reason": verdict.reason},
        "fingerprint": judged.fingerprint,
    }


def match_to_dict(match: Match) -> dict[str, Any]:
    """One match in the JSON's shape; lines from 1, bytes half-open."""
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
            **_source(match.source),
            "url": link(match),
            "start_line": match.source_span.start_line,
            "end_line": match.source_span.end_line,
        },
        "also_in": match.also_in,
        "files": match.files,
        "common": match.common,
        "boilerplate": None if match.boilerplate is None else match.boilerplate.value,
        "own": match.is_own,
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "repository": source.repository,
        "path": source.path,
        "revision": source.revision,
        "license": source.license,
        "url": source.url,
        **({} if source.evidence is None else {"licence_evidence": asdict(source.evidence)}),
    }


def link(match: Match) -> str | None:
    """The source's address, with its lines where the address is a file's."""
    url = match.source.url
    if url is None or "/blob/" not in url:
        return url
    return f"{url}#L{match.source_span.start_line}-L{match.source_span.end_line}"


def to_text(checked: Sequence[FileAnswer], *, limit: int | None = None) -> str:
    """Lines for a terminal; of a file's matches at most `limit`, the gravest first, and how many more."""
    lines = []
    for one in checked:
        if isinstance(one, SeenFile):
            lines += one.lines()
        elif one.failure is None:
            lines += _file_lines(one, limit)
    return "\n".join(lines)


def _file_lines(one: CheckedFile, limit: int | None) -> list[str]:
    if not one.matches:
        return [f"{one.file}: no match in {one.documents:,} indexed documents"]
    order = list(LicenceOutcome)
    gravest_first = sorted(one.matches, key=lambda judged: order.index(judged.verdict.outcome))
    lines = [_text(one.file, judged) for judged in gravest_first[:limit]]
    if limit is not None and len(gravest_first) > limit:
        lines.append(
            f"{one.file}: {len(gravest_first) - limit:,} more matches are not shown; the verdict counts them"
        )
    return lines


def _text(file: str, judged: JudgedMatch) -> str:
    match, verdict = judged.match, judged.verdict
    source = match.source
    notes = " (common code)" if match.common else ""
    notes += "" if match.boilerplate is None else f" (boilerplate: {match.boilerplate})"
    whose = "this repository" if match.is_own else source.repository
    similarity = f", {match.similarity:.0%} the same" if match.similarity < 1 else ""
    cell = "" if judged.cell is None else f"cell {judged.cell}:"
    where = f"   {link(match)}" if link(match) else ""
    lines = [
        f"{file}:{cell}{_lines(match.query)}: {match.kind}, {match.tokens} tokens{similarity}{notes}",
        f"    {whose}: {source.path}:{_lines(match.source_span)}{where}",
        f"    licence: {_licences(match)}",
        *_evidence(verdict.holder or source),
    ]
    if verdict.outcome is not LicenceOutcome.PASSED:
        lines.append(f"    {verdict.outcome}: {verdict.reason}")
    return "\n".join(lines)


def _evidence(source: Source) -> list[str]:
    """What the licence is known by, where that is known."""
    said = source.evidence or LicenceEvidence()
    parts = [
        f"declared as {said.declared!r} in {said.declared_in}" if said.declared else "",
        f"{said.detected or 'not recognised'} detected in {said.detected_in}" if said.detected_in else "",
    ]
    told = "; ".join(filter(None, parts))
    return [f"    known by: {told}"] if told else []


def _licences(match: Match) -> str:
    """The holders by licence, the strictest first; where there are several, how many, and one of each."""
    if not match.also_in:
        return match.source.license or "unknown"
    groups = groupby(strictest_first(match.holders), key=lambda holder: holder.license)
    return "; ".join(_holders(licence, list(holders)) for licence, holders in groups)


def _holders(licence: str | None, holders: Sequence[Source]) -> str:
    number = f"{len(holders):,} files, as" if len(holders) > 1 else "1 file,"
    return f"{licence or 'unknown'} ({number} {holders[0].repository}: {holders[0].path})"


def _lines(span: Span) -> str:
    return str(span.start_line) if span.start_line == span.end_line else f"{span.start_line}-{span.end_line}"
