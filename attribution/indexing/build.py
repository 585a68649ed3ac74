"""Drives a build: documents from a reader through `prepare`, on all cores, into a writer."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process

from attribution.source import SourceDocument
from attribution.store.contract import AddCounts, Writer
from attribution.store.prepare import PreparedBatch, batches, prepare


@dataclass(kw_only=True)
class BuildProgress:
    """How far a build is: what was read so far (not all of it is committed yet)."""

    documents: int = 0
    source_bytes: int = 0


def build(
    documents: Iterable[SourceDocument],
    writer: Writer,
    *,
    processes: int = 1,
    on_progress: Callable[[BuildProgress], None] | None = None,
) -> AddCounts:
    """Add documents to an index; commits at the end, and whenever the writer sees fit.

    A document that is there already costs little, so a killed build is resumed by running it again.
    `processes` 0 means one a core.
    """
    new = _registered(documents, writer, BuildProgress(), on_progress)
    work = partial(prepare, channels=writer.channels, block_bytes=writer.block_bytes)
    for batch in _prepared(new, work, processes or os.cpu_count() or 1):
        writer.add(batch)
    writer.commit()
    return writer.counts


def _registered(
    documents: Iterable[SourceDocument],
    writer: Writer,
    progress: BuildProgress,
    on_progress: Callable[[BuildProgress], None] | None,
) -> Iterator[list[SourceDocument]]:
    """Batches of the documents that are new to the writer."""
    for group in batches(documents):
        new = writer.register(group)
        progress.documents += len(group)
        progress.source_bytes += sum(len(document.text) for document in group)
        if on_progress is not None:
            on_progress(progress)
        if new:
            yield new


def _prepared(
    groups: Iterable[list[SourceDocument]],
    work: Callable[[list[SourceDocument]], PreparedBatch],
    processes: int,
) -> Iterator[PreparedBatch]:
    """The work on every group, in order; with several processes, a bounded number is under way."""
    if processes == 1:
        yield from map(work, groups)
        return
    # A forked child would lose its parent's threads; `spawn` works on every system.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_end_with_parent
    ) as pool:
        waiting: deque[Future[PreparedBatch]] = deque()
        try:
            for group in groups:
                waiting.append(pool.submit(work, group))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _end_with_parent() -> None:
    """In a worker: Ctrl+C is the parent's to handle, and a killed parent leaves no workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_exit, args=(parent.sentinel,), daemon=True).start()


def _wait_and_exit(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
