"""Checkpoints of a run: written whole or not at all, found again after a crash.

A checkpoint is a folder `step-00001234` of `model.safetensors` (fp32, the model's own names),
`optimizer.safetensors` and `state.json` (position, clock, recipe). It is written beside its final
name and renamed once its bytes are on disk, so `kill -9` at any moment leaves the older one intact.
Knows nothing of how a step is made. No pickle.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from training.errors import ResumeError

_PREFIX = "step-"
MODEL_FILE, OPTIMIZER_FILE, STATE_FILE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands after `step` steps. `stage_samples`: samples used in each stage so far."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    stage_samples: tuple[int, ...] = ()
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a folder holds."""

    state: RunState
    recipe: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `folder/step-NNNNNNNN` and drop all but the newest `keep`. Returns the new path."""
    target = folder / f"{_PREFIX}{checkpoint.state.step:08d}"
    scratch = folder / f".{target.name}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    save_file(_contiguous(checkpoint.model), scratch / MODEL_FILE)
    save_file(_contiguous(checkpoint.optimizer), scratch / OPTIMIZER_FILE)
    state = {"state": asdict(checkpoint.state), "recipe": checkpoint.recipe}
    (scratch / STATE_FILE).write_text(json.dumps(state, indent=1, default=str) + "\n", encoding="utf-8")
    for path in (*scratch.iterdir(), scratch):
        _sync(path)
    if target.exists():  # the same step again, after a resume: nothing newer to tell
        shutil.rmtree(target)
    os.replace(scratch, target)
    _sync(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if (path / STATE_FILE).is_file())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint folder. Raises ResumeError when a file is missing or broken."""
    try:
        raw = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        state = dict(raw["state"], stage_samples=tuple(raw["state"]["stage_samples"]))
        return Checkpoint(
            state=RunState(**state),
            recipe=raw["recipe"],
            model=load_file(path / MODEL_FILE),
            optimizer=load_file(path / OPTIMIZER_FILE),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(
            f"{path} is not a readable checkpoint ({error}): delete it to use an older one"
        ) from error


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
