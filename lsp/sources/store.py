"""Where attribution is looked up: the index that is set, the default one, or the model's portrait.

Calls block and must come from one thread: the language server makes them in a `Worker`. The first question
imports numpy, SQLite and the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attribution.errors import AttributionError, IndexMissingError, IndexUnavailableError
from model.catalogue.here import settled
from model.catalogue.published import STARTER
from model.extras import install_command
from model.local.redaction import without_credentials

if TYPE_CHECKING:
    from attribution.match.lexed import Lexed
    from attribution.match.portrait import Portrait
    from attribution.policy.policy import LicenceVerdict
    from attribution.source import Match, Source
    from attribution.sources.own import OwnProjects
    from attribution.store.contract import Index
    from lsp.settings.settings import Settings

BUILD = "starcoder-lsp index build"
VERIFY = "`starcoder-lsp index verify` says what is damaged"
# Values of `attribution.onMatch` with which copies, and what could not be checked, are withheld.
WITHHOLDING = frozenset({"policy", "block"})
# The kind of a portrait's findings.
SEEN = "seen"
# A server that could not be reached is not asked again for every completion.
_RETRY_S = 30.0
_MIN_TOKENS = 12
# Tokens kept of the files that were compared lately: 25 MB, for about five of source.
_KEPT_TOKENS = 1_000_000
_EXTRA = frozenset({"rapidfuzz", "zstandard", "license_expression"})

Searched = Literal["index", "portrait", "none"]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where to search: the index that is set, and the local model (None: a server's)."""

    index: str | None = None
    model: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Where:
        """As the settings say."""
        local = settings.engine.url is None
        return cls(index=settings.attribution.index, model=settled(settings.model) if local else None)


@dataclass(frozen=True, kw_only=True)
class FoundCopy:
    """Bytes [start_byte, end_byte) of a text that also stand elsewhere. A portrait does not know where.

    `holder` is the one of the match's holders whose licence allows least. `verdict` is the policy's, None
    where there is none.
    """

    kind: str
    tokens: int
    similarity: float
    start_byte: int
    end_byte: int
    match: Match | None = None
    holder: Source | None = None
    verdict: LicenceVerdict | None = None

    def is_withheld(self, on_match: str) -> bool:
        """Whether it must not be shown: with `block` no copy, with `policy` what no policy lets pass."""
        if on_match not in WITHHOLDING:
            return False
        if self.match is not None and (self.match.is_own or self.match.boilerplate is not None):
            return False
        if on_match == "block" or self.verdict is None:
            return True
        return self.verdict.outcome in {"denied", "review"}


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """What was searched and found. `lack` says why there is no more, and the remedy.

    The text has `tokens` tokens; `share` (0 to 1) of its fingerprints are in the portrait.
    """

    kind: Searched
    index: str | None = None
    documents: int = 0
    findings: tuple[FoundCopy, ...] = ()
    tokens: int = 0
    share: float = 0.0
    lack: str = ""
    caveat: str = ""
    """What an index does not say, for the user."""


class AttributionStore:
    """Answers questions. Opens the index for that, and opens it again when it was built anew."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self._index: Index | None = None
        self._stamp: object = None
        self._lexed: Lexed | None = None
        self._projects: OwnProjects | None = None
        self._portraits: dict[Path, tuple[Portrait, int]] = {}
        self._failed: tuple[float, AttributionError] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the answers come over a network."""
        from attribution.store.open import is_remote

        return self.where.index is not None and is_remote(self.where.index)

    def search(self, text: bytes, *, by_hand: bool, file: Path | None = None) -> SearchAnswer:
        """Look a text up. `by_hand`: by all k-grams, not only winnowed ones, and a server is always tried.

        The policy nearest above `file` judges what is found. A short text that is looked up by hand counts if
        all of it was copied. Failures of an index, a portrait or a policy are not raised; they are
        the answer's `lack`.
        """
        try:
            return self._found(text, by_hand=by_hand, file=file)
        except AttributionError as error:
            lack = str(error)
        except Exception as error:  # a damaged index may fail in any way, and a completion must not
            lack = f"the attribution index at {self.shown_index()} cannot be read: {error}; {VERIFY}"
        if not self.is_remote:
            self._close_index()  # a file may be gone, or was put right: the next question opens it anew
        return SearchAnswer(kind="none", index=self.shown_index(), lack=lack)

    def describe(self) -> SearchAnswer:
        """What would be searched, and how many documents it has."""
        return self.search(b"", by_hand=True)

    def text_of(self, match: Match) -> bytes | None:
        """The whole text of a match's source; None if the index does not have it any more."""
        try:
            content = self._opened(try_again=True).contents([match.key]).get(match.key)
        except Exception:  # as in `search`
            return None
        return None if content is None else content.text

    def close(self) -> None:
        """Let go of files, connections and portraits."""
        self._close_index()
        self._portraits.clear()

    def _close_index(self) -> None:
        if self._index is not None:
            self._index.close()
        self._index = self._stamp = self._lexed = None

    def shown_index(self) -> str:
        """Where the index is or should be, without a password."""
        return without_credentials(self._url())

    def _url(self) -> str:
        if self.where.index is not None:
            return str(self.where.index)
        from attribution.store.open import default_index_folder

        return str(default_index_folder())

    def _found(self, text: bytes, *, by_hand: bool, file: Path | None) -> SearchAnswer:
        try:
            index = self._opened(try_again=by_hand)
        except IndexMissingError:
            return self._from_portrait(text)
        answer = self._from_index(index, text, by_hand=by_hand, file=file)
        return replace(answer, findings=tuple(_judged(answer.findings, file)))

    # The index

    def _opened(self, *, try_again: bool) -> Index:
        """The index, opened or opened anew. Raises `AttributionError`."""
        if self.is_remote:
            return self._index or self._open_remote(try_again=try_again)
        from attribution.store.contract import missing
        from attribution.store.open import index_stamp

        url = self._url()
        stamp = index_stamp(url)
        if stamp is None or stamp != self._stamp:
            self._close_index()
        if stamp is None:
            raise missing(url)
        if self._index is None:
            self._index, self._stamp = _open(url), stamp
        return self._index

    def _open_remote(self, *, try_again: bool) -> Index:
        if self._failed is not None and not try_again and time.monotonic() < self._failed[0] + _RETRY_S:
            raise self._failed[1]
        try:
            self._index = _open(self._url())
        except AttributionError as error:
            self._failed = (time.monotonic(), error)
            raise
        return self._index

    def _from_index(self, index: Index, text: bytes, *, by_hand: bool, file: Path | None) -> SearchAnswer:
        from attribution.match.attribute import AUTOMATIC, SearchOptions, attribute
        from attribution.match.lexed import Lexed
        from attribution.sources.own import OwnProjects
        from attribution.tokens.lexer import lex

        self._lexed = self._lexed or Lexed(max_tokens=_KEPT_TOKENS)
        n_tokens = len(lex(text))
        options = AUTOMATIC
        if by_hand:
            fewest = max(min(n_tokens, SearchOptions().min_tokens), _MIN_TOKENS)
            options = SearchOptions(min_tokens=fewest, boilerplate=True)
        self._projects = self._projects or OwnProjects()
        project = None if file is None else self._projects.of(file)
        own = None if project is None else project.holds
        matches = attribute(text, index, options, self._lexed, own=own) if text else []
        if not by_hand:
            matches = [match for match in matches if not match.is_own]
        return SearchAnswer(
            kind="index",
            index=index.url,
            documents=index.document_count(),
            findings=tuple(_finding(match) for match in matches),
            tokens=n_tokens,
            caveat=self._caveat(),
        )

    def _caveat(self) -> str:
        """That an index is not what a model was trained on, where nothing here says what that was."""
        if portrait_of(self.where.model) is not None:
            return ""
        model = self.where.model or "this model"
        return f"the index is not the training set of {model}, which is not known here"

    # The portrait

    def _from_portrait(self, text: bytes) -> SearchAnswer:
        lack = self._missing(build_command(self.where.model))
        path = portrait_of(self.where.model)
        if path is None:
            return SearchAnswer(kind="none", index=self.shown_index(), lack=lack)
        from attribution.tokens.lexer import lex

        portrait, documents = self._portrait(path)
        seen = portrait.check(text)
        answer = SearchAnswer(
            kind="portrait", documents=documents, tokens=len(lex(text)), share=seen.share, lack=lack
        )
        findings = (
            FoundCopy(
                kind=SEEN,
                tokens=tokens,
                similarity=round(seen.share, 4),
                start_byte=span.start_byte,
                end_byte=span.end_byte,
            )
            for span, tokens in seen.copies
        )
        return replace(answer, findings=tuple(findings))

    def _missing(self, command: str) -> str:
        into = "" if self.where.index is None else f" --into {self.shown_index()}"
        return f"there is no attribution index at {self.shown_index()}; to build one: {command}{into}"

    def _portrait(self, path: Path) -> tuple[Portrait, int]:
        from attribution.match.portrait import Portrait, trained_documents

        if path not in self._portraits:
            self._portraits[path] = Portrait.load(path), trained_documents(path.parent)
        return self._portraits[path]


def portrait_of(model: str | None) -> Path | None:
    """The portrait in a local model's folder; None if it has none."""
    from attribution.match.portrait import PORTRAIT
    from model.weights.hub import bundled_folder

    if model is None:
        return None
    path = (bundled_folder() if model == STARTER else Path(model).expanduser()) / PORTRAIT
    return path if path.is_file() else None


def build_command(model: str | None) -> str:
    """The command that builds an index; for the bundled model, of exactly its training set."""
    return f"{BUILD} {'--starter' if model == STARTER else 'SOURCES…'}"


def _open(url: str) -> Index:
    try:
        # For verdicts; found out now, and not at the first match.
        from attribution.sources.spdx import parse
        from attribution.store.open import open_index

        parse("MIT")
        return open_index(url)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise IndexUnavailableError(
            f"the attribution index needs {error.name}: `{install_command('attribution')}`"
        ) from error


def _judged(findings: Sequence[FoundCopy], file: Path | None) -> Iterator[FoundCopy]:
    """The findings with their strictest holders and the verdicts of a policy. Raises `PolicyError`."""
    from attribution.policy.policy import Policies, strictest_first

    # Read for every answer: a policy that was changed counts at once.
    policy = Policies().of(file) if file is not None and findings else None
    for finding in findings:
        holders = () if finding.match is None else finding.match.holders
        is_own = finding.match is not None and finding.match.is_own
        verdict = None if policy is None or is_own else policy.verdict(holders, file)
        yield replace(finding, holder=next(iter(strictest_first(holders)), None), verdict=verdict)


def _finding(match: Match) -> FoundCopy:
    return FoundCopy(
        kind=match.kind.value,
        tokens=match.tokens,
        similarity=match.similarity,
        start_byte=match.query.start_byte,
        end_byte=match.query.end_byte,
        match=match,
    )
