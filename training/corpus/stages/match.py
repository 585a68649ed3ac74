"""Stages MATCH and CLUSTER: signatures to pairs of duplicates, pairs to what becomes of documents.

A MATCH task finds the pairs of one LSH band, the last task those of equal texts. Documents are
numbered in the order of tasks; a number's signature is read from its task's file when needed, so
that memory holds one band's keys at most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO
from types import TracebackType

import numpy as np
import numpy.typing as npt

from attribution.tokens.lexer import U64
from training.corpus.filters.minhash import PERMUTATIONS
from training.corpus.filters.near_duplicates import BANDS, I64, components, equal_pairs, pairs_of_band
from training.corpus.stages.filter import BANDS_FILE, SIGNATURES_FILE
from training.corpus.stages.workspace import Fate, Stage, TaskProgress, Workspace

_SIGNATURE_BYTES = PERMUTATIONS * 4
_CHUNK_DOCUMENTS = 1 << 16
_OPEN_FILES = 200


def match_task(workspace: Workspace, band: int, progress: TaskProgress) -> None:
    """Write the pairs [p, 2] of one band, or of equal texts."""
    starts = first_documents(workspace)
    with workspace.replacing(workspace.pairs(band)) as scratch:
        if band == BANDS:
            found = equal_pairs(lambda: _digests(workspace, starts), int(starts[-1]))
            pairs = _joined(found)
        else:
            with SignatureFiles(workspace, starts) as files:
                keys = lambda: _keys(workspace, starts, band)  # noqa: E731 (a pass over the keys)
                pairs = _joined(pairs_of_band(keys, int(starts[-1]), files.read))
        with scratch.open("wb") as stream:
            np.save(stream, pairs)
    progress(1)


def cluster_task(workspace: Workspace, rank: int, progress: TaskProgress) -> None:
    """Decide each document's fate from all pairs, and from the weights of languages."""
    starts = first_documents(workspace)
    facts = np.concatenate([workspace.facts(task) for task in range(workspace.tasks(Stage.FILTER))])
    labels = _labels(facts["is_held_out"])
    equal = components(len(facts), [labels[np.load(workspace.pairs(BANDS))]])
    smallest = components(
        len(facts), (labels[np.load(workspace.pairs(band))] for band in reversed(range(BANDS + 1)))
    )
    own = np.arange(len(facts))
    fates_of_labels = np.where(
        smallest == own, Fate.KEPT, np.where(equal == own, Fate.NEAR_DUPLICATE, Fate.DUPLICATE)
    ).astype(np.uint8)
    fates = fates_of_labels[labels]
    _apply_weights(workspace, facts, fates)
    for task in range(workspace.tasks(Stage.FILTER)):
        with workspace.replacing(workspace.fates(task)) as scratch, scratch.open("wb") as stream:
            np.save(stream, fates[starts[task] : starts[task + 1]])
    sizes = Counter(np.unique(smallest, return_counts=True)[1].tolist())
    with workspace.replacing(workspace.clusters) as scratch:
        scratch.write_text(json.dumps({str(size): n for size, n in sorted(sizes.items()) if size > 1}))
    progress(1)


def first_documents(workspace: Workspace) -> I64:
    """The number of each filter task's first document, and one past the last: [tasks + 1]."""
    counts = [len(workspace.facts(task)) for task in range(workspace.tasks(Stage.FILTER))]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


class SignatureFiles:
    """Reads signatures by document number; keeps some files open."""

    def __init__(self, workspace: Workspace, starts: I64) -> None:
        self._workspace, self._starts = workspace, starts
        self._open: dict[int, FileIO] = {}
        self._closing = ExitStack()

    def __enter__(self) -> SignatureFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._closing.close()

    def read(self, numbers: I64) -> npt.NDArray[np.uint32]:
        """Document numbers [n] -> signatures [n, S]."""
        tasks = np.searchsorted(self._starts, numbers, side="right") - 1
        rows = numbers - self._starts[tasks]
        parts = [self._row(task, row) for task, row in zip(tasks.tolist(), rows.tolist(), strict=True)]
        return np.frombuffer(b"".join(parts), dtype="<u4").reshape(-1, PERMUTATIONS)

    def _row(self, task: int, row: int) -> bytes:
        if task not in self._open:
            if len(self._open) == _OPEN_FILES:
                self._closing.close()
                self._open.clear()
            path = self._workspace.filtered(task) / SIGNATURES_FILE
            self._open[task] = self._closing.enter_context(path.open("rb", buffering=0))
        self._open[task].seek(row * _SIGNATURE_BYTES)
        return self._open[task].read(_SIGNATURE_BYTES)


def _keys(workspace: Workspace, starts: I64, band: int) -> Iterator[tuple[I64, U64]]:
    """(document numbers, keys in this band) of the documents that are compared, chunk by chunk."""
    for task in range(workspace.tasks(Stage.FILTER)):
        compared = workspace.facts(task)["is_compared"]
        path = workspace.filtered(task) / BANDS_FILE
        for first in range(0, len(compared), _CHUNK_DOCUMENTS):
            rows = np.fromfile(
                path, dtype="<u8", count=_CHUNK_DOCUMENTS * BANDS, offset=first * BANDS * 8
            ).reshape(-1, BANDS)
            chosen = np.flatnonzero(compared[first : first + _CHUNK_DOCUMENTS])
            yield chosen + first + starts[task], rows[chosen, band].copy()


def _digests(workspace: Workspace, starts: I64) -> Iterator[tuple[I64, U64]]:
    """(document numbers, 64 bits of their digests): of 10**9 documents two collide with p = .03."""
    for task in range(workspace.tasks(Stage.FILTER)):
        yield np.arange(starts[task], starts[task + 1]), workspace.facts(task)["digest"][:, 0].copy()


def _labels(is_held_out: npt.NDArray[np.bool_]) -> I64:
    """Held-out documents come first, so that of copies in both splits training loses its own: [D]."""
    order = np.argsort(~is_held_out, kind="stable")
    labels = np.empty(len(order), dtype=np.int64)
    labels[order] = np.arange(len(order))
    return labels


def _joined(parts: Iterator[I64]) -> I64:
    found = [part for part in parts if part.size]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _apply_weights(workspace: Workspace, facts: npt.NDArray[np.void], fates: npt.NDArray[np.uint8]) -> None:
    """Thin out what a language has over its weight, by the documents' own digests."""
    is_training = (fates == Fate.KEPT) & ~facts["is_held_out"]
    for language, most in workspace.plan.options.weights.items():
        if language not in workspace.languages:
            continue
        chosen = is_training & (facts["language"] == workspace.languages.index(language))
        size = int(facts["bytes"][chosen].sum(dtype=np.int64))
        if size > most:
            chance = facts["digest"][:, 1] / 2.0**64
            fates[chosen & (chance >= most / size)] = Fate.OVER_WEIGHT
