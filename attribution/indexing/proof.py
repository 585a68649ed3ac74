"""Proof that an index holds what its sources have: they are read again, and each document is looked up.

Knows no store but by its contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attribution.source import Source
from attribution.sources.ingest import Sources
from attribution.store.contract import Index
from attribution.store.opt_outs import OptOut, OptOuts
from attribution.store.prepare import batches


def lacking(sources: Sources, index: Index) -> Iterator[Source]:
    """The documents that the index does not hold with their text, and that no opt-out covers."""
    opt_outs = OptOuts(map(OptOut.from_line, index.opt_outs()))
    for group in batches(sources.documents(Counter())):
        for document in index.lacking(group):
            if not opt_outs.cover(document.source):
                yield document.source
