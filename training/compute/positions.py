"""Longer contexts in the middle of a run: starting values for positions that were never trained."""

from __future__ import annotations

import torch
from torch import Tensor


def extended_positions(rows: Tensor, *, trained: int, wanted: int) -> Tensor:
    """rows [n_positions, D] -> a copy with rows [trained, wanted) filled by the later half of the trained
    ones, in turn.

    The first half is left out: its rows know that little precedes them, the later ones that much does.
    """
    rows = rows.clone()
    if wanted <= trained or trained < 2:
        return rows
    half = trained // 2
    source = half + torch.arange(wanted - trained, device=rows.device) % (trained - half)
    rows[trained:wanted] = rows[source]
    return rows
