"""What torchrun tells its processes in the environment. Loads no torch."""

from __future__ import annotations

import os


def under_torchrun() -> bool:
    """Whether torchrun (or the like) started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first_process() -> bool:
    """Whether this one writes what all read: of torchrun's processes only one does."""
    return not under_torchrun() or os.environ["RANK"] == "0"


def processes_or(alone: int) -> int:
    """How many processes torchrun started; `alone` where it did not."""
    return int(os.environ["WORLD_SIZE"]) if under_torchrun() else alone
