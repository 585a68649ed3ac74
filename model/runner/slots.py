"""The memory behind a cache's slots. Knows nothing of what is cached."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.local.memory import release_pages


def release_slots(cache: NDArray[Any], slots: NDArray[np.int64]) -> None:
    """Let the system have the pages of slots that hold nothing, given in order. cache [layers, slots, …]"""
    layer_bytes, slot_bytes = cache.strides[:2]
    ends = np.flatnonzero(np.diff(slots) != 1)
    firsts, lasts = slots[[0, *(ends + 1)]], slots[[*ends, -1]]
    for layer in range(len(cache)):
        start = cache.ctypes.data + layer * layer_bytes
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            release_pages(start + first * slot_bytes, (last + 1 - first) * slot_bytes)
