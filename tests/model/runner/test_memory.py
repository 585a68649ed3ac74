"""The memory behind a cache's slots goes back to the system, and nobody else's."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from model.runner.memory import release_slots


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(sys.platform != "linux", reason="memory is given back on Linux alone")
def test_pages_of_free_slots_go_back() -> None:
    slot_bytes, n_slots = 512, 20_000
    cache = np.zeros((4, n_slots, 2, slot_bytes // 4), np.uint16)
    cache[:] = np.arange(n_slots, dtype=np.uint16)[None, :, None, None]
    free = np.array([n for n in range(n_slots) if n % 1_000 < 900], np.int64)
    before = resident_bytes()
    release_slots(cache, free)
    # Of each run a page at either end may stay.
    assert before - resident_bytes() > 0.8 * cache.nbytes
    held = np.setdiff1d(np.arange(n_slots), free)
    assert (cache[:, held] == held[None, :, None, None]).all()
    cache[:, free] = 7
    assert (cache[:, free] == 7).all()
