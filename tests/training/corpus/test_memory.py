"""A corpus is never in memory: nearly the same peak for seven times the text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.corpus.memory import peak_of_build, write_synthetic

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MEGABYTE = 1_000_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """The figures of docs/corpus.md for 10 GB are made by `python -m benchmarks.corpus memory`."""
    sizes = (3 * MEGABYTE, 21 * MEGABYTE)
    peaks = []
    for size in sizes:
        source, corpus = tmp_path / f"source-{size}", tmp_path / f"corpus-{size}"
        documents = write_synthetic(source, size)
        peaks.append(peak_of_build(source, corpus, 1))
        report = json.loads((corpus / "report.json").read_text())
        dropped = report["dropped"]
        assert report["read"]["files"] == documents
        # One in ten equals the document before it, one in ten resembles it.
        assert dropped["exact duplicate"]["files"] == pytest.approx(documents / 10, rel=0.01, abs=1)
        assert dropped["near duplicate"]["files"] == pytest.approx(documents / 10, rel=0.02, abs=1)
    growth = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    assert growth < 0.3, f"peaks of {peaks} bytes for {sizes}"
    assert max(peaks) < 700 * MEGABYTE
