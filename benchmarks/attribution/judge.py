"""Whether an answer is right, by means of its own: regular expressions, sets, and the textbook's alignment.

Nothing of `attribution` but its types is used, and every method of finding is judged by the same.
"""

from __future__ import annotations

import re

from attribution.source import Match, MatchKind

_TOKEN = re.compile(rb"[\w\x80-\xff]+|[^\w\s]")
_GRAM = 8
# Of the excerpt's 8-grams; one word in 20 edited leaves far more than this.
_HELD_SHARE = 0.5
# The shortest copy that counts for one.
_COPY_TOKENS = 32
# What docs/attribution.md promises of a near match.
_NEAR_SIMILARITY = 0.8


def tokens_of(text: bytes) -> list[bytes]:
    """Words and marks; white space is not seen."""
    return _TOKEN.findall(text)


def holds(document: bytes, excerpt: bytes) -> bool:
    """Whether a document holds most of an excerpt."""
    wanted = _grams(tokens_of(excerpt), _GRAM)
    return len(wanted & _grams(tokens_of(document), _GRAM)) >= _HELD_SHARE * len(wanted)


def shares_copy(document: bytes, excerpt: bytes) -> bool:
    """Whether a document holds most of an excerpt, or 32 tokens in a row of it."""
    ours, theirs = tokens_of(excerpt), tokens_of(document)
    long = _grams(ours, _COPY_TOKENS)
    return not long.isdisjoint(_grams(theirs, _COPY_TOKENS)) or holds(document, excerpt)


def is_true(match: Match, query: bytes, source: bytes) -> bool:
    """Whether what a match says of two texts is so."""
    ours = query[match.query.start_byte : match.query.end_byte]
    theirs = source[match.source_span.start_byte : match.source_span.end_byte]
    mine, other = tokens_of(ours), tokens_of(theirs)
    if match.kind is MatchKind.EXACT:
        return ours == theirs
    if match.kind is MatchKind.REFORMATTED:
        return mine == other
    if match.kind is MatchKind.NEAR:
        return 2 * _common(mine, other) >= _NEAR_SIMILARITY * (len(mine) + len(other))
    # Names map one to one, but for a few that an edit broke.
    return len(mine) == len(other) and len(set(zip(mine, other, strict=True))) <= 1.2 * len(set(mine))


def _grams(tokens: list[bytes], size: int) -> set[bytes]:
    return {b"\0".join(tokens[at : at + size]) for at in range(len(tokens) - size + 1)}


def _common(ours: list[bytes], theirs: list[bytes]) -> int:
    """The length of the longest common subsequence (Wagner and Fischer 1974)."""
    before = [0] * (len(theirs) + 1)
    for token in ours:
        row = [0]
        for at, other in enumerate(theirs):
            row.append(before[at] + 1 if token == other else max(before[at + 1], row[-1]))
        before = row
    return before[-1]
