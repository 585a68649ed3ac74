"""Memory that the system gets back: pages behind a cache's slots, and what the C library's allocator holds.

Linux alone lets a program do this without risk; elsewhere nothing happens. Knows nothing of what lay there.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def release_slots(cache: NDArray[Any], slots: NDArray[np.int64]) -> None:
    """Let the system have the pages of slots that hold nothing, given in order. cache [layers, slots, …]"""
    layer_bytes, slot_bytes = cache.strides[:2]
    ends = np.flatnonzero(np.diff(slots) != 1)
    firsts, lasts = slots[[0, *(ends + 1)]], slots[[*ends, -1]]
    for layer in range(len(cache)):
        start = cache.ctypes.data + layer * layer_bytes
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            _release_pages(start + first * slot_bytes, (last + 1 - first) * slot_bytes)


def _release_pages(address: int, n_bytes: int) -> None:
    """Let the system have the whole pages of a private array's bytes; they are zeros when read again."""
    if (library := _c_library()) is None:
        return
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (address + n_bytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if length > 0:
        # What it answers does not matter: pages that stay are no fault.
        library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def trim_heap() -> None:
    """Let the system have what was freed and is kept for the next allocation."""
    trim = getattr(_c_library(), "malloc_trim", None)  # glibc's; musl has none
    if trim is not None:
        trim(ctypes.c_size_t(0))


@functools.cache
def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
