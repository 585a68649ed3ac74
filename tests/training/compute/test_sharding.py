"""Many processes that share one model (FSDP2), on gloo: under torchrun, killed, resumed, exported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.tiny import recipe, run_paths
from training.loop.checkpointing import checkpoints, load_checkpoint
from training.loop.pretrain import RunPaths, pretrain
from training.loop.run_log import read_log
from training.loop.sharded_checkpoint import is_sharded

STEPS = 8
N_EMBD, HEAD_DIM = 32, 16  # of `tests.training.tiny.recipe`
# Rank 1 dies of SIGKILL in the sixth step, two after the last checkpoint; torchrun then ends the other.
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from tests.training.tiny import recipe
from training.loop.pretrain import RunPaths, Trainer, pretrain

advance, save = Trainer._advance, Trainer._save
def die(self, stage):
    advance(self, stage)
    if self._state.step == 6 and self._group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
Trainer._advance = die
Trainer._save = lambda self: save(self) if self._state.step == 4 else None
run, train, held_out = map(Path, sys.argv[1:])
paths = RunPaths(run=run, packed_train=train, packed_held_out=held_out, tokenizer=None)
pretrain(recipe(8, **SHARDED), paths)
"""
COMPUTE = {"device": "cpu", "bf16": False}
FSDP = {**COMPUTE, "sharding": "fsdp", "activation_checkpointing": True}
SHARDED = {
    "compute": FSDP,
    "optim": {"kind": "adamw", "adamw_lr": 1e-2},
    "stages": [
        {"seq_len": 32, "micro_batch": 2, "batch": 8},
        {"start": 0.5, "seq_len": 64, "micro_batch": 2, "batch": 8},
    ],
    "upkeep": {"checkpoint_minutes": 0, "held_out_tokens": 512},
}
# The same in two processes that are started here, and in one, without waiting for the disk at every step.
TWO, ONE = (
    {**SHARDED, "compute": compute, "upkeep": {"checkpoint_minutes": 60, "held_out_tokens": 512}}
    for compute in ({**FSDP, "processes": 2}, COMPUTE)
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def torchrun(folder: Path, script: str, paths: RunPaths) -> int:
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(file), str(paths.run), str(paths.packed_train), str(paths.packed_held_out)]
    environment = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    print(done.stderr.decode())  # pytest shows it when the test fails
    return done.returncode


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in read_log(run / "log.jsonl") if record["kind"] == "step"]


def held_out(run: Path) -> dict[str, float]:
    records = [record for record in read_log(run / "log.jsonl") if record["kind"] == "held_out"]
    nats: dict[str, float] = records[-1]["nats_per_token"]
    return nats


def is_learned(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Which numbers of a parameter have a gradient: all but the keys' biases.

    A key's bias adds the same to all logits of a query, which softmax takes out again. What is computed
    for its gradient is rounding alone, and Adam, which divides it by its own size, makes whole steps of it.
    """
    learned = torch.ones_like(tensor, dtype=torch.bool)
    if name.endswith("attn.c_attn.bias"):  # [D queries, C keys, C values]
        learned[N_EMBD : N_EMBD + HEAD_DIM] = False
    return learned


@pytest.mark.slow
@pytest.mark.timeout(900)  # ten processes start, each with PyTorch, on whatever else the machine does
def test_two_sharded_processes_learn_as_one_and_resume_to_the_bit(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    names = ("whole", "killed", "alone", "one")
    of = {name: RunPaths(**{**vars(paths), "run": tmp_path / name}) for name in names}
    assert torchrun(tmp_path, f"SHARDED = {SHARDED!r}\n{KILLED_RUN}", of["killed"]) != 0
    assert 5 <= len(losses(of["killed"].run)) < STEPS
    shutil.copytree(of["killed"].run, of["one"].run)
    for name in ("killed", "whole"):
        pretrain(recipe(STEPS, **TWO), of[name])
    assert losses(of["killed"].run) == losses(of["whole"].run)
    newest = {name: checkpoints(of[name].run / "checkpoints")[-1] for name in ("killed", "whole")}
    assert is_sharded(newest["whole"])
    assert len(list(newest["whole"].glob("*.safetensors"))) == 2
    resumed, whole = (load_checkpoint(path) for path in newest.values())  # one process reads what two wrote
    assert whole.state.finished
    assert all(torch.equal(resumed.model[name], tensor) for name, tensor in whole.model.items())
    assert all(torch.equal(resumed.optimizer[name], tensor) for name, tensor in whole.optimizer.items())

    pretrain(recipe(STEPS, **ONE), of["alone"])
    assert losses(of["whole"].run) == pytest.approx(losses(of["alone"].run), rel=1e-5)
    assert held_out(of["whole"].run) == pytest.approx(held_out(of["alone"].run), rel=1e-4)
    unsharded = load_checkpoint(checkpoints(of["alone"].run / "checkpoints")[-1])
    assert whole.model.keys() == unsharded.model.keys()
    assert whole.optimizer.keys() == unsharded.optimizer.keys()
    for name, tensor in unsharded.model.items():
        where = is_learned(name, tensor)
        # Sums in another order. A hundredth of the learning rate, of which each step moved every number.
        assert torch.allclose(whole.model[name][where], tensor[where], rtol=0, atol=1e-4), name

    pretrain(recipe(STEPS, **ONE), of["one"])  # one process goes on with two's
    assert losses(of["one"].run) == pytest.approx(losses(of["alone"].run), rel=1e-5)
