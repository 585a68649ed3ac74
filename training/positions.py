"""Longer contexts in the middle of a run: starting values for positions that were never trained."""

from __future__ import annotations

import torch

from model.transformer import GPTBigCode


@torch.no_grad()
def extend_positions(model: GPTBigCode, *, trained: int, wanted: int) -> None:
    """Fill rows [trained, wanted) of the learned positions with the later half of the trained ones, in turn.

    The first half is left out: its rows know that little precedes them, the later ones that much does.
    """
    rows = model.transformer.wpe.weight  # [n_positions, D]
    if wanted <= trained or trained < 2:
        return
    half = trained // 2
    source = half + torch.arange(wanted - trained, device=rows.device) % (trained - half)
    rows[trained:wanted] = rows[source]
