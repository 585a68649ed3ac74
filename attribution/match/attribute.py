"""The question itself: which indexed files hold (parts of) this text?

A straight line: tokens -> fingerprints -> candidates -> alignments -> matches -> groups of copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from attribution.errors import AttributionError
from attribution.match.align import AlignedQuery, Alignment, align
from attribution.match.boilerplate import boilerplate_of
from attribution.match.lexed import Lexed
from attribution.source import ALL_KINDS, Match, MatchKind, Source, Span, span_in
from attribution.store.contract import Content, Index
from attribution.tokens.fingerprint import WINNOWING, Channel, all_fingerprints, winnow
from attribution.tokens.lexer import U64, Tokens, lex

Bools = npt.NDArray[np.bool_]

# A long query is asked about in windows, so that a short copy in it is not outvoted by a long one.
WINDOW_TOKENS = 512
WINDOW_OVERLAP_TOKENS = 64
# Two matches with this much of the query in common (intersection by union) are copies of one another.
SAME_PLACE = 0.8


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How to search. `thorough` asks for all k-grams: also copies below the guaranteed length are found.

    Of the `considered` best candidates of each window, `verified` of each licence are compared token by
    token: what many files of one licence hold does not hide the one of another. `limit` groups are reported
    (None: all), those that are only boilerplate if `boilerplate` says so.
    """

    min_tokens: int = 32
    kinds: frozenset[MatchKind] = ALL_KINDS
    limit: int | None = 20
    considered: int = 200
    verified: int = 10
    thorough: bool = True
    boilerplate: bool = False

    def __post_init__(self) -> None:
        if self.min_tokens < 12:
            raise AttributionError(
                f"min_tokens {self.min_tokens}: fewer than 12 tokens say nothing; give more"
            )
        if (self.limit is not None and self.limit < 1) or self.verified < 1:
            raise AttributionError(f"limit {self.limit} and verified {self.verified} must be at least 1")


AUTOMATIC = SearchOptions(thorough=False)
# For a verdict: every match, and every licence among the candidates.
EXHAUSTIVE = SearchOptions(limit=None, considered=10_000)


def attribute(
    text: bytes,
    index: Index,
    options: SearchOptions | None = None,
    lexed: Lexed | None = None,
    *,
    own: Callable[[Source], bool] | None = None,
) -> list[Match]:
    """Find what of `text` stands in the index; the longest copies first.

    What only sources that are the user's `own` hold comes last; elsewhere those are left out.
    Every store gives the same answer for the same content. A caller that asks often keeps one `lexed`
    for all its calls; it serves any index. Raises the index's errors.
    """
    options = options or SearchOptions()
    tokens = lex(text)
    if len(tokens) < options.min_tokens:
        return []
    query = AlignedQuery(tokens, options.min_tokens)
    lexed = Lexed() if lexed is None else lexed
    found: list[_Found] = []
    for channel in _channels(index, options):
        windows = _windows(tokens, channel, thorough=options.thorough, covered=_covered(tokens, found))
        contents = index.contents(_candidates(windows, channel, index, options))
        by_shape = channel is Channel.SHAPE
        found += _aligned(query, lexed.of(contents.values()), options.kinds, by_shape=by_shape)
    ask = partial(_matches, text, tokens, index, options)
    if own is None:
        return ask(found)
    of_others = list(_of_others(found, own))
    known = {one.content.key for one in of_others}
    ours = ask([one for one in found if one.content.key not in known])
    return [*ask(of_others), *(replace(match, is_own=True) for match in ours)][: options.limit]


def _channels(index: Index, options: SearchOptions) -> tuple[Channel, ...]:
    """TEXT first: what it explains is not asked of the other."""
    return index.channels if MatchKind.RENAMED in options.kinds else (Channel.TEXT,)


def _covered(tokens: Tokens, found: Sequence[_Found]) -> Bools:
    """[N] which tokens lie in a copy."""
    covered = np.zeros(len(tokens), dtype=bool)
    for one in found:
        covered[one.alignment.query_start : one.alignment.query_end] = True
    return covered


def _candidates(
    windows: Iterable[U64], channel: Channel, index: Index, options: SearchOptions
) -> list[bytes]:
    """Keys of the contents to compare, each once, the best of each window."""
    found: dict[bytes, None] = {}
    others: list[list[bytes]] = []
    for fingerprints in windows:
        if len(fingerprints):
            ranked = index.candidates(fingerprints, channel, limit=options.considered)
            keys = [candidate.key for candidate in ranked]
            found.update(dict.fromkeys(keys[: options.verified]))
            if len(keys) > options.verified:
                others.append(keys)
    return [*found, *_of_each_licence(others, index, options.verified, known=found)]


def _of_each_licence(
    ranked: Sequence[Sequence[bytes]], index: Index, number: int, *, known: Collection[bytes]
) -> Iterator[bytes]:
    """The first keys of each licence in each ranking, but those that are known."""
    licences = index.licences(list({key for keys in ranked for key in keys}))
    given = set(known)
    for keys in ranked:
        seen: Counter[str | None] = Counter()
        for key in keys:
            here = licences.get(key, frozenset())
            wanted = any(seen[licence] < number for licence in here)
            seen.update(here)
            if wanted and key not in given:
                given.add(key)
                yield key


def _windows(tokens: Tokens, channel: Channel, *, thorough: bool, covered: Bools) -> Iterator[U64]:
    """The fingerprints of each window that is not all but covered."""
    step = WINDOW_TOKENS - WINDOW_OVERLAP_TOKENS
    for start in range(0, max(len(tokens) - WINDOW_OVERLAP_TOKENS, 1), step):
        part = tokens.part(start, start + WINDOW_TOKENS)
        if covered[start : start + WINDOW_TOKENS].sum() <= len(part) - WINNOWING[channel].k:
            yield all_fingerprints(part, channel) if thorough else winnow(part, channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An alignment and the content it was found in."""

    alignment: Alignment
    content: Content
    tokens: Tokens  # of the content

    def rank(self) -> tuple[object, ...]:
        """The longest first, then the most equal; the rest makes the order a fixed one."""
        a, source = self.alignment, self.content.sources[0]
        return (-a.tokens, -a.similarity, source.sort_key, a.query_start, a.source_start)


def _aligned(
    query: AlignedQuery,
    candidates: Iterable[tuple[Content, Tokens]],
    kinds: frozenset[MatchKind],
    *,
    by_shape: bool,
) -> Iterator[_Found]:
    for content, theirs in candidates:
        for alignment in align(query, theirs, kinds=kinds, by_shape=by_shape):
            yield _Found(alignment=alignment, content=content, tokens=theirs)


def _of_others(found: Iterable[_Found], own: Callable[[Source], bool]) -> Iterator[_Found]:
    """What somebody else has too, as theirs."""
    for one in found:
        if others := tuple(source for source in one.content.sources if not own(source)):
            yield replace(one, content=replace(one.content, sources=others))


def _matches(
    text: bytes, tokens: Tokens, index: Index, options: SearchOptions, found: Iterable[_Found]
) -> list[Match]:
    groups = _groups(sorted(found, key=_Found.rank))
    matches = ((_match(text, tokens, group), group[0]) for group in groups)
    wanted = (
        (match, best)
        for match, best in matches
        if match.kind in options.kinds and (match.boilerplate is None or options.boilerplate)
    )
    return _with_files(list(islice(wanted, options.limit)), index)


def _with_files(found: Sequence[tuple[Match, _Found]], index: Index) -> list[Match]:
    """The matches with how many files hold them: three in four of their fingerprints are in as many."""
    if not found:
        return []
    parts = [
        winnow(best.tokens.part(best.alignment.source_start, best.alignment.source_end), Channel.TEXT)
        for _, best in found
    ]
    counts = index.frequencies(np.concatenate(parts), Channel.TEXT)
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    return [
        replace(match, files=max(int(np.quantile(some, 0.25, method="lower")), 1)) if len(some) else match
        for (match, _), some in zip(found, np.split(counts, cuts), strict=True)
    ]


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
        source=content.sources[0],
        source_span=source,
        key=content.key,
        holders=tuple(holder for one in group for holder in one.content.sources),
        boilerplate=boilerplate_of(
            content.text,
            best.tokens.part(alignment.source_start, alignment.source_end),
            source,
            content.sources[0].path,
            is_same=alignment.kind is MatchKind.EXACT,
        ),
    )
    if match.kind is MatchKind.EXACT and _lines(text, query) != _lines(content.text, source):
        return replace(match, kind=MatchKind.REFORMATTED)
    return match


def _span(text: bytes, tokens: Tokens, start: int, end: int) -> Span:
    return span_in(text, int(tokens.starts[start]), int(tokens.ends[end - 1]))


def _lines(text: bytes, span: Span) -> bytes:
    """A span's bytes with one kind of line end: an editor may use another than the file."""
    return text[span.start_byte : span.end_byte].replace(b"\r\n", b"\n")
