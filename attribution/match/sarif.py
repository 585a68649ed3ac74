"""What `check` says to code scanning: SARIF 2.1.0 (OASIS, errata 01).

Addresses are relative to the root of the repository, so that a service finds the files in its own checkout.
Results keep their fingerprints when the code moves, so that it recognises them from run to run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from attribution.match.report import FileAnswer, judged_to_dict
from attribution.match.seen import KIND as SEEN
from attribution.match.seen import SeenFile
from attribution.policy.policy import LicenceOutcome, strictest_first
from attribution.source import MatchKind
from attribution.sources.inputs import STANDARD_INPUT
from attribution.sources.provenance import git_root

if TYPE_CHECKING:
    from attribution.match.checking import JudgedMatch

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"
_RULES = {
    MatchKind.EXACT: "Code that stands byte for byte in an indexed file.",
    MatchKind.REFORMATTED: "Code that stands in an indexed file with other white space.",
    MatchKind.NEAR: "Code that stands in an indexed file with small changes.",
    MatchKind.RENAMED: "Code that stands in an indexed file under other names.",
    SEEN: "Code that the training set of the model in use has too; where is not known.",
}
_LEVELS = {LicenceOutcome.DENIED: "error", LicenceOutcome.REVIEW: "warning"}


def to_sarif(
    checked: Sequence[FileAnswer],
    *,
    version: str,
    failures: Sequence[tuple[str, str]] = (),
    seen_fails: bool = False,
) -> str:
    """A SARIF log: what is denied is an error, what is to be reviewed a warning, the rest notes.

    `failures` are inputs that could not be checked. What was only seen is an error if `seen_fails`.
    """
    root = git_root(Path.cwd()) or Path.cwd()
    rules = [
        {"id": f"attribution/{kind}", "shortDescription": {"text": text}} for kind, text in _RULES.items()
    ]
    locations = {json.dumps(where): where for one in checked if (where := location(one.file, root))}
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "starcoder-lsp", "version": version, "rules": rules}},
        "originalUriBaseIds": {_ROOT: {"uri": f"{root.as_uri()}/"}},
        "columnKind": "utf16CodeUnits",
        "invocations": [_invocation(failures, root)],
        "artifacts": [{"location": where} for where in locations.values()],
        "results": [result for one in checked for result in _results(one, root, seen_fails)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def location(file: str, root: Path) -> dict[str, str]:
    """Where a file is, relative to the root if it lies there; `./a` and `a` are the same.

    Every byte of a name that a URI cannot hold is percent-encoded, a name's own `%` and `:` too.
    """
    if file == STANDARD_INPUT:
        return {"uri": "stdin"}
    path = Path(os.path.abspath(file))
    if not path.is_relative_to(root):
        return {"uri": path.as_uri()}
    return {"uri": quote_from_bytes(os.fsencode(path.relative_to(root).as_posix())), "uriBaseId": _ROOT}


def _invocation(failures: Sequence[tuple[str, str]], root: Path) -> dict[str, Any]:
    notes = [
        {
            "level": "error",
            "message": {"text": f"not checked: {reason}"},
            "locations": [{"physicalLocation": {"artifactLocation": location(file, root)}}],
        }
        for file, reason in failures
    ]
    return {"executionSuccessful": not failures, "toolExecutionNotifications": notes}


def _results(one: FileAnswer, root: Path, seen_fails: bool) -> list[dict[str, Any]]:
    where = location(one.file, root)
    if isinstance(one, SeenFile):
        return [dict(result) for result in one.results(where, failing=seen_fails)]
    return [_result(judged, where) for judged in one.matches]


def _result(judged: JudgedMatch, where: dict[str, str]) -> dict[str, Any]:
    match, verdict = judged.match, judged.verdict
    source, details = match.source, judged_to_dict(judged)
    strictest = strictest_first(match.holders)[0].license or "unknown"
    also = f", and in {match.also_in} more files" if match.also_in else ""
    reason = f"; {verdict.outcome}: {verdict.reason}" if verdict.reason else ""
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": where}}
    if judged.cell is None:
        place["physicalLocation"]["region"] = {
            "startLine": match.query.start_line,
            "endLine": match.query.end_line,
            "byteOffset": match.query.start_byte,
            "byteLength": match.query.end_byte - match.query.start_byte,
        }
    else:  # lines of a cell are none of the file's
        place["logicalLocations"] = [{"name": f"cell {judged.cell}", "kind": "member"}]
    return {
        "ruleId": f"attribution/{match.kind}",
        "level": _LEVELS.get(verdict.outcome, "note"),
        "message": {
            "text": f"{match.tokens} tokens as in {source.path} of {source.repository} "
            f"(licence: {strictest}{also}{reason})"
        },
        "locations": [place],
        "partialFingerprints": {"copy/v2": judged.fingerprint},
        "properties": {key: details[key] for key in details.keys() - {"query", "fingerprint"}},
    }
