"""The texts of attribution: an answer in one line, a match, its licence, a comment about it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attribution.match.report import link
from lsp.sources.store import FoundCopy, SearchAnswer

if TYPE_CHECKING:
    from attribution.source import Match

# Below this, texts of all kinds agree by chance.
MIN_TOKENS = 12
_LICENSE_ID = re.compile(r"[A-Za-z0-9][\w.+-]*")
_OPERATORS = frozenset({"AND", "OR", "WITH"})
_SPDX_PAGE = "https://spdx.org/licenses/{}.html"


def summary(answer: SearchAnswer, model: str) -> str:
    """The answer in one line: what was found and where, or why nothing is known."""
    if answer.kind == "none":
        return answer.lack
    if answer.tokens < MIN_TOKENS:
        return f"{answer.tokens} words and marks are too few to say where they come from; select more"
    if answer.kind == "portrait":
        return _seen(answer, model)
    where = f"{answer.documents:,} files of {answer.index}"
    caveat = f" ({answer.caveat})" if answer.caveat else ""
    if not answer.findings:
        return f"not found in {where}{caveat}"
    first, *others = answer.findings
    more = f"; {len(others)} more match{'es' if len(others) > 1 else ''}" if others else ""
    return f"found in {where}: {match_line(first, model)}{more}{caveat}"


def _seen(answer: SearchAnswer, model: str) -> str:
    files = f" ({answer.documents:,} files)" if answer.documents else ""
    if not answer.findings:
        return f"not seen in the training set of {model}{files}; {answer.lack}"
    command = answer.lack.rpartition(": ")[2]
    return (
        f"seen in the training set of {model}{files}, {answer.share:.0%}; "
        f"build the full index to see where: {command}"
    )


def match_line(finding: FoundCopy, model: str) -> str:
    """One match in a line."""
    match = finding.match
    if match is None:
        return f"{finding.tokens} tokens seen in the training set of {model}"
    common = ", common code" if match.common else ""
    little = "" if match.boilerplate is None else f", boilerplate ({match.boilerplate})"
    also = f", and {match.also_in:,} more files" if match.also_in else ""
    verdict = finding.verdict
    judged = "" if verdict is None or not verdict.reason else f" ({verdict.outcome}: {verdict.reason})"
    who = f"{origin(match)}: {license_names(match)}{also}{common}{little}"
    return f"{finding.tokens} tokens {_as(finding)} {who}{judged}"


def _as(finding: FoundCopy) -> str:
    return {
        "exact": "as in",
        "reformatted": "as in, with other white space,",
        "near": f"{finding.similarity:.0%} as in",
        "renamed": "as in, with other names,",
    }[finding.kind]


def origin(match: Match) -> str:
    """Repository, path and lines."""
    span, source = match.source_span, match.source
    lines = str(span.start_line) if span.start_line == span.end_line else f"{span.start_line}-{span.end_line}"
    return f"{'this repository' if match.is_own else source.repository}, {source.path}:{lines}"


def license_names(match: Match) -> str:
    """The licences of all who hold it, the strictest first."""
    from attribution.policy.policy import strictest_first

    licences = [holder.license or "licence unknown" for holder in strictest_first(match.holders)]
    return ", ".join(dict.fromkeys(licences))


def license_text(match: Match) -> str:
    """The licence, the address of its text, and of which file the index says so."""
    source = match.source
    revision = f" at {source.revision}" if source.revision else ""
    whose = f"{source.repository}: {source.path}{revision}"
    if source.license is None:
        where = f" at {source.url}" if source.url else ""
        return f"The index knows no licence of {whose}; look it up{where}."
    pages = ", ".join(map(_SPDX_PAGE.format, license_ids(source.license)))
    found = f" Source: {link(match)}" if source.url else ""
    return f"{source.license} is the licence that the index has of {whose}. Its text: {pages}.{found}"


def license_ids(expression: str) -> list[str]:
    """The identifiers of an SPDX expression that have a page of their own, each once."""
    words = _LICENSE_ID.findall(re.sub(r"\bWITH\s+\S+", "", expression))
    return list(dict.fromkeys(word.rstrip("+") for word in words if word not in _OPERATORS))


def comment_text(match: Match) -> str:
    """What an attribution comment says: repository, path, revision, licence, address."""
    source = match.source
    revision = f" (revision {source.revision})" if source.revision else ""
    address = f", {link(match)}" if source.url else ""
    return f"Source: {origin(match)}{revision}, license: {source.license or 'unknown'}{address}"
