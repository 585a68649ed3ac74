"""A gate's question about many files: every match of each, and the verdict on all who hold it.

Knows no command line, and not how an answer is shown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

from attribution.errors import InputError
from attribution.match.attribute import SearchOptions, attribute
from attribution.match.lexed import Lexed
from attribution.policy.policy import PASSED, LicenceOutcome, LicenceVerdict, Policy
from attribution.source import Match, Span
from attribution.sources.decoding import DecodedText, pieces_of
from attribution.sources.inputs import Input
from attribution.sources.own import OwnProjects
from attribution.store.contract import Index
from attribution.store.open import open_index

# Tokens kept of the files that were compared lately.
_KEPT_TOKENS = 4_000_000
_BINARY_HEAD_BYTES = 8192
_JOBS_CHUNK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMatch:
    """A match with its verdict; its lines are a notebook cell's if `cell` is given, its bytes the file's.

    `fingerprint` stays the same when the code moves or the file is formatted anew.
    """

    match: Match
    fingerprint: str
    cell: int | None = None
    verdict: LicenceVerdict = PASSED


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file's answer: where was searched, and what was found. `failure` says why it was not checked."""

    file: str
    index: str
    documents: int
    matches: Sequence[JudgedMatch] = ()
    failure: str | None = None
    is_binary: bool = False

    @property
    def is_denied(self) -> bool:
        """Whether a match fails the gate."""
        return any(one.verdict.outcome is LicenceOutcome.DENIED for one in self.matches)


def check_inputs(
    inputs: Sequence[Input],
    url: str,
    options: SearchOptions,
    policy_of: Callable[[Input], Policy | None],
    *,
    jobs: int = 1,
) -> Iterator[CheckedFile]:
    """The answers in the order of the inputs. Raises the index's errors and those of `policy_of`."""
    # Before anything is searched: a policy that cannot be read must not come out after an hour.
    policies = [policy_of(one) for one in inputs]
    for one, policy, checked in zip(inputs, policies, _checked(inputs, url, options, jobs), strict=True):
        yield checked if policy is None else _judged(checked, policy, one)


def _judged(checked: CheckedFile, policy: Policy, one: Input) -> CheckedFile:
    matches = [
        found if found.match.is_own else replace(found, verdict=policy.verdict(found.match.holders, one.path))
        for found in checked.matches
    ]
    return replace(checked, matches=matches)


def _checked(inputs: Sequence[Input], url: str, options: SearchOptions, jobs: int) -> Iterator[CheckedFile]:
    if jobs == 1 or len(inputs) < 2 * jobs:
        index = open_index(url)
        try:
            yield from map(_checker(index, options), inputs)
        finally:
            index.close()
        return
    # A forked child would lose its parent's threads; `spawn` works on every system.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_open_in_worker, initargs=(url, options)
    ) as pool:
        yield from pool.map(_check_in_worker, inputs, chunksize=_JOBS_CHUNK)


def _checker(index: Index, options: SearchOptions) -> Callable[[Input], CheckedFile]:
    lexed = Lexed(max_tokens=_KEPT_TOKENS)
    return partial(_check_one, index=index, options=options, lexed=lexed, projects=OwnProjects())


_worker: list[Callable[[Input], CheckedFile]] = []


def _open_in_worker(url: str, options: SearchOptions) -> None:
    _worker.append(_checker(open_index(url), options))


def _check_in_worker(one: Input) -> CheckedFile:
    return _worker[0](one)


def _check_one(
    one: Input, *, index: Index, options: SearchOptions, lexed: Lexed, projects: OwnProjects
) -> CheckedFile:
    answer = CheckedFile(file=one.name, index=index.url, documents=index.document_count())
    try:
        pieces = list(pieces_of(one.name, one.read()))
    except InputError as error:
        return replace(answer, failure=str(error))
    if not one.is_named and any(b"\0" in piece.text[:_BINARY_HEAD_BYTES] for piece in pieces):
        return replace(answer, is_binary=True)
    project = projects.of(one.path)
    own = None if project is None else project.holds
    found = [
        (piece, match)
        for piece in pieces
        for match in attribute(piece.text, index, options, lexed, own=own)
        if piece.cell is not None or one.counts(match.query.start_line, match.query.end_line)
    ]
    return replace(answer, matches=tuple(_identified(found)))


def _identified(found: Sequence[tuple[DecodedText, Match]]) -> Iterator[JudgedMatch]:
    """The matches with places in the file and fingerprints, the same copy twice told apart by its number."""
    seen: Counter[bytes] = Counter()
    for piece, match in found:
        span, source = match.query, match.source
        words = b" ".join(piece.text[span.start_byte : span.end_byte].split())
        named = f"{source.repository}\0{source.path}\0".encode("utf-8", "surrogatepass") + words
        seen[named] += 1
        digest = hashlib.sha256(named + b"\0%d" % seen[named]).hexdigest()[:32]
        yield JudgedMatch(
            match=replace(match, query=_in_file(piece, span)), fingerprint=digest, cell=piece.cell
        )


def _in_file(piece: DecodedText, span: Span) -> Span:
    start, end = piece.file_byte(span.start_byte), piece.file_byte(span.end_byte)
    return replace(span, start_byte=start, end_byte=end)
