"""The question itself: which indexed files hold (parts of) this text?

A straight line: tokens -> fingerprints -> candidates -> alignments -> matches -> groups of copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from attribution.errors import AttributionError
from attribution.match.align import Alignment, align
from attribution.match.lexed import Lexed
from attribution.source import ALL_KINDS, Match, MatchKind, Span, span_in
from attribution.store.contract import Content, Index
from attribution.tokens.fingerprint import Channel, all_fingerprints, winnow
from attribution.tokens.lexer import U64, Tokens, lex

# A long query is asked about in windows, so that a short copy in it is not outvoted by a long one.
WINDOW_TOKENS = 512
WINDOW_OVERLAP_TOKENS = 64
# Two matches with this much of the query in common (intersection by union) are copies of one another.
SAME_PLACE = 0.8


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How to search. `thorough` asks for all k-grams: also copies below the guaranteed length are found.

    `verified` candidates of each window are compared token by token; `limit` groups are reported.
    """

    min_tokens: int = 32
    kinds: frozenset[MatchKind] = ALL_KINDS
    limit: int = 20
    verified: int = 10
    thorough: bool = True

    def __post_init__(self) -> None:
        if self.min_tokens < 12:
            raise AttributionError(
                f"min_tokens {self.min_tokens}: fewer than 12 tokens say nothing; give more"
            )
        if self.limit < 1 or self.verified < 1:
            raise AttributionError(f"limit {self.limit} and verified {self.verified} must be at least 1")


AUTOMATIC = SearchOptions(thorough=False)


def attribute(
    text: bytes, index: Index, options: SearchOptions | None = None, lexed: Lexed | None = None
) -> list[Match]:
    """Find what of `text` stands in the index; the longest copies first.

    Every store gives the same answer for the same content. A caller that asks often keeps one `lexed`
    for all its calls; it serves any index. Raises the index's errors.
    """
    options = options or SearchOptions()
    tokens = lex(text)
    if len(tokens) < options.min_tokens:
        return []
    contents = index.contents(_candidates(tokens, index, options))
    candidates = (Lexed() if lexed is None else lexed).of(contents.values())
    return _matches(text, tokens, candidates, options, by_shape=Channel.SHAPE in index.channels)


def _candidates(tokens: Tokens, index: Index, options: SearchOptions) -> list[bytes]:
    """Keys of the contents to compare, each once, the best of each window."""
    found: dict[bytes, None] = {}
    for channel in index.channels:
        if channel is Channel.SHAPE and MatchKind.RENAMED not in options.kinds:
            continue
        for fingerprints in _windows(tokens, channel, thorough=options.thorough):
            if len(fingerprints):
                ranked = index.candidates(fingerprints, channel, limit=options.verified)
                found.update(dict.fromkeys(candidate.key for candidate in ranked))
    return list(found)


def _windows(tokens: Tokens, channel: Channel, *, thorough: bool) -> Iterator[U64]:
    step = WINDOW_TOKENS - WINDOW_OVERLAP_TOKENS
    for start in range(0, max(len(tokens) - WINDOW_OVERLAP_TOKENS, 1), step):
        part = tokens.part(start, start + WINDOW_TOKENS)
        yield all_fingerprints(part, channel) if thorough else winnow(part, channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An alignment and the content it was found in."""

    alignment: Alignment
    content: Content
    tokens: Tokens  # of the content

    def rank(self) -> tuple[object, ...]:
        """The longest first, then the most equal; the rest makes the order a fixed one."""
        a, source = self.alignment, self.content.source
        return (-a.tokens, -a.similarity, source.sort_key, a.query_start, a.source_start)


def _matches(
    text: bytes,
    tokens: Tokens,
    candidates: Iterable[tuple[Content, Tokens]],
    options: SearchOptions,
    *,
    by_shape: bool,
) -> list[Match]:
    found = [
        _Found(alignment=alignment, content=content, tokens=theirs)
        for content, theirs in candidates
        for alignment in align(
            tokens, theirs, min_tokens=options.min_tokens, kinds=options.kinds, by_shape=by_shape
        )
    ]
    groups = _groups(sorted(found, key=_Found.rank))
    matches = (_match(text, tokens, group) for group in groups)
    return [match for match in matches if match.kind in options.kinds][: options.limit]


def _groups(found: Sequence[_Found]) -> list[list[_Found]]:
    """Matches that cover the same part of the query, each content once, the best first."""
    groups: list[list[_Found]] = []
    for one in found:
        same = next((group for group in groups if _same_place(group[0].alignment, one.alignment)), None)
        if same is None:
            groups.append([one])
        elif all(other.content.key != one.content.key for other in same):
            same.append(one)
    return groups


def _same_place(one: Alignment, other: Alignment) -> bool:
    shared = min(one.query_end, other.query_end) - max(one.query_start, other.query_start)
    union = max(one.query_end, other.query_end) - min(one.query_start, other.query_start)
    return shared >= SAME_PLACE * union


def _match(text: bytes, tokens: Tokens, group: Sequence[_Found]) -> Match:
    best = group[0]
    alignment, content = best.alignment, best.content
    query = _span(text, tokens, alignment.query_start, alignment.query_end)
    source = _span(content.text, best.tokens, alignment.source_start, alignment.source_end)
    match = Match(
        kind=alignment.kind,
        tokens=alignment.tokens,
        similarity=round(alignment.similarity, 4),
        query=query,
        source=content.source,
        source_span=source,
        key=content.key,
        also_in=sum(one.content.documents for one in group) - 1,
    )
    if match.kind is MatchKind.EXACT and _lines(text, query) != _lines(content.text, source):
        return replace(match, kind=MatchKind.REFORMATTED)
    return match


def _span(text: bytes, tokens: Tokens, start: int, end: int) -> Span:
    return span_in(text, int(tokens.starts[start]), int(tokens.ends[end - 1]))


def _lines(text: bytes, span: Span) -> bytes:
    """A span's bytes with one kind of line end: an editor may use another than the file."""
    return text[span.start_byte : span.end_byte].replace(b"\r\n", b"\n")
