"""Checkpoints of a run: written whole or not at all, found again after a crash.

A checkpoint is a folder `step-00001234` of `model.safetensors` (fp32, the model's own names),
`optimizer.safetensors` and `state.json` (position, clock, recipe); of a sharded run, of one
`shard-…safetensors` a process instead of the two (`training.loop.sharded_checkpoint`). It is written
beside its final name and renamed once its bytes are on disk, so `kill -9` at any moment leaves the older
one intact. Knows nothing of how a step is made. No pickle.
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

from training.compute.distributed import Group
from training.errors import ResumeError
from training.loop.sharded_checkpoint import is_sharded, read_whole, write_shards

_PREFIX = "step-"
MODEL_FILE, OPTIMIZER_FILE, STATE_FILE = "model.safetensors", "optimizer.safetensors", "state.json"
# What the tensors of a sharded checkpoint are called before their own names.
MODEL_PREFIX, OPTIMIZER_PREFIX = "model/", "optimizer/"


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
    """What a folder holds. `model`: all that is trained, so of a run with adapters only those."""

    state: RunState
    recipe: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `folder/step-NNNNNNNN` and drop all but the newest `keep`. Returns the new path."""
    scratch = _scratch(folder, checkpoint.state.step)
    save_file(_contiguous(checkpoint.model), scratch / MODEL_FILE)
    save_file(_contiguous(checkpoint.optimizer), scratch / OPTIMIZER_FILE)
    return _complete(folder, scratch, checkpoint, keep)


def save_sharded_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int, group: Group) -> None:
    """The same for tensors that are spread over the processes: all call, each writes its own rows."""
    if group.is_first:
        scratch = _scratch(folder, checkpoint.state.step)
    else:
        scratch = _scratch_path(folder, checkpoint.state.step)
    group.wait()
    tensors = {MODEL_PREFIX + name: tensor for name, tensor in checkpoint.model.items()}
    tensors |= {OPTIMIZER_PREFIX + name: tensor for name, tensor in checkpoint.optimizer.items()}
    write_shards(scratch, tensors)
    group.wait()
    if group.is_first:
        _complete(folder, scratch, checkpoint, keep)
    group.wait()


def _scratch_path(folder: Path, step: int) -> Path:
    return folder / f".{_PREFIX}{step:08d}.partial"


def _scratch(folder: Path, step: int) -> Path:
    """An empty folder to write a checkpoint in."""
    scratch = _scratch_path(folder, step)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch


def _complete(folder: Path, scratch: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Give a written checkpoint its state and its name."""
    target = folder / f"{_PREFIX}{checkpoint.state.step:08d}"
    state = {"state": asdict(checkpoint.state), "recipe": checkpoint.recipe}
    (scratch / STATE_FILE).write_text(json.dumps(state, indent=1, default=str) + "\n", encoding="utf-8")
    for path in (*scratch.iterdir(), scratch):
        _sync(path)
    if target in checkpoints(folder):  # the same step again, after a resume: nothing newer to tell
        shutil.rmtree(target)
    os.replace(scratch, target)
    _sync(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    named = [path for path in folder.glob(_PREFIX + "[0-9]" * 8) if not path.is_symlink()]
    return sorted(path for path in named if (path / STATE_FILE).is_file())


def read_state(path: Path) -> tuple[RunState, Mapping[str, Any]]:
    """Position and recipe of one checkpoint folder. Raises ResumeError when it is missing or broken."""
    try:
        raw = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        state = dict(raw["state"], stage_samples=tuple(raw["state"]["stage_samples"]))
        return RunState(**state), raw["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint folder, of any number of processes, whole. Raises ResumeError as `read_state`."""
    state, recipe = read_state(path)
    try:
        if is_sharded(path):
            tensors = read_whole(path)
            model, optimizer = (_named(tensors, prefix) for prefix in (MODEL_PREFIX, OPTIMIZER_PREFIX))
        else:
            model, optimizer = load_file(path / MODEL_FILE), load_file(path / OPTIMIZER_FILE)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error
    return Checkpoint(state=state, recipe=recipe, model=model, optimizer=optimizer)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _unreadable(path: Path, error: Exception) -> ResumeError:
    return ResumeError(f"{path} is not a readable checkpoint ({error}): delete it to use an older one")


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
