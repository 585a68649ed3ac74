"""Device, number format and arithmetic rate of a run."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from model.families.config import ModelConfig
from training.errors import RecipeError

# Dense bf16 peaks from the vendors' data sheets, FLOP/s.
_PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
_PROBE_SIDE = 1_536


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Where tensors live and whether matrix products are taken in bfloat16 (weights stay fp32)."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which the forward pass runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one: the current one, which a process of a group has chosen for itself.

    Raises RecipeError for a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError("compute.device = 'cuda', but PyTorch sees no GPU here: use 'cpu' or 'auto'")
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def flops_per_token(config: ModelConfig, seq_len: int) -> float:
    """Forward and backward: 6 for each weight that multiplies (positions do not), and causal attention."""
    attention = config.n_layer * config.n_head * config.head_dim * seq_len
    return 6 * config.n_multiplying + 6 * attention


def peak_flops(precision: Precision) -> float:
    """The device's rate by its data sheet; of an unknown GPU or a CPU, the best of some large products."""
    if precision.device.type == "cuda":
        name = torch.cuda.get_device_name(precision.device)
        for key, peak in _PEAK_BF16.items():
            if key in name:
                return peak
    return _measured_flops(precision)


def _measured_flops(precision: Precision) -> float:
    side = _PROBE_SIDE
    dtype = torch.bfloat16 if precision.bf16 else torch.float32
    a = torch.ones(side, side, dtype=dtype, device=precision.device)
    best_s = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        (a @ a)[0, 0].item()  # item waits for a GPU
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * side**3 / best_s
