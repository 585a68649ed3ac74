"""Questions, ours among those who answer them, and how answers are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from attribution.indexing.build import build
from attribution.match.attribute import SearchOptions, attribute
from attribution.source import SourceDocument
from attribution.store.open import open_index, open_writer
from benchmarks.attribution.copies.disguises import Function
from benchmarks.attribution.copies.packages import COPYING, Code
from benchmarks.attribution.judge import tokens_of
from benchmarks.attribution.measure import stopwatch

# Of the original's names: what a disguise leaves of them in the file that is named.
_HELD_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Question:
    """A file to be asked about; of a planted copy, the function that it was."""

    text: str
    function: Function | None = None
    source: SourceDocument | None = None
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A file that is said to hold a copy, and where the claim is seen."""

    document: SourceDocument
    what: str = ""


class Finder(Protocol):
    """A way of finding copies."""

    def ask(self, question: Question) -> list[Claim]:
        """All that it claims."""


@dataclass(kw_only=True)
class Trial:
    """One set of questions, and what came of it."""

    planted: bool
    asked: int = 0
    found: int = 0
    flagged: int = 0
    claims: int = 0
    false: int = 0
    seconds: float = 0.0

    def found_of(self) -> str:
        """Recall, as counts."""
        return f"{self.found} of {self.asked}"

    def flagged_of(self) -> str:
        """Files with any claim, as counts."""
        return f"{self.flagged} of {self.asked}"


class Ours:
    """An index in a folder, asked as `check` does."""

    def __init__(
        self, code: Code, folder: Path, options: SearchOptions | None = None, *, renamed: bool = False
    ) -> None:
        with open_writer(folder, renamed=renamed) as writer:
            build(code.indexed, writer)
        self._index = open_index(folder)
        self._documents = {one.key: one for one in code.indexed}
        self._options = options or SearchOptions(limit=None)

    def ask(self, question: Question) -> list[Claim]:
        """The matches."""
        text = question.text.encode()
        return [
            Claim(
                document=self._documents[match.key],
                what=f"{match.kind} {match.tokens}: "
                + text[match.query.start_byte : match.query.end_byte].decode(errors="replace"),
            )
            for match in attribute(text, self._index, self._options)
        ]

    def close(self) -> None:
        """Close the index."""
        self._index.close()


def judge(finder: Finder, questions: Sequence[Question], log: list[str] | None = None) -> Trial:
    """Ask all. Found: a claim names a file with the original. False: one that names another file.

    A file with the original is one whose text holds all but a few of its lines.
    """
    trial = Trial(planted=questions[0].function is not None)
    for question in questions:
        with stopwatch() as watch:
            claims = finder.ask(question)
        trial.seconds += watch.cpu_s
        right = [claim for claim in claims if _is_right(claim.document, question)]
        trial.asked += 1
        trial.found += bool(right)
        trial.flagged += bool(claims)
        trial.claims += len(claims)
        trial.false += len(claims) - len(right)
        if log is not None:
            log += [
                f"FALSE {claim.document.source.path} {claim.what}" for claim in claims if claim not in right
            ]
            if question.function is not None and not right:
                log.append(f"MISSED {question.function.document.source.path}\n{question.text}")
    return trial


def _is_right(document: SourceDocument, question: Question) -> bool:
    if question.source is None:
        return _holds(document, question.function)
    names = question.source.source.repository, document.source.repository
    return any(copy in names[0] and original in names[1] for copy, original in COPYING)


def _holds(document: SourceDocument, function: Function | None) -> bool:
    if function is None:
        return False
    if document.source.repository == function.document.source.repository:
        return True  # a package holds many copies of its own code
    wanted = {line.strip() for line in function.text.splitlines()}
    there = {line.strip() for line in document.text.decode(errors="replace").splitlines()}
    return len(wanted & there) >= _HELD_SHARE * len(wanted) and bool(tokens_of(function.text.encode()))
