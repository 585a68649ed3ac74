from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny import UnsteadyClock, recipe, run_paths
from training.errors import DivergedError, ResumeError
from training.loop.checkpointing import checkpoints, load_checkpoint
from training.loop.pretrain import RunPaths, Trainer, pretrain
from training.loop.progress_journal import ProgressJournal
from training.loop.run_log import read_log

MODEL = {"vocab_size": 275, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
UPKEEP = {"checkpoint_minutes": 0.006, "held_out_tokens": 512}  # of the unsteady clock, a few steps
# A run that dies of SIGKILL in its twelfth step, with its last checkpoint four steps or more before.
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
import training.loop.pretrain
from tests.training.tiny import UnsteadyClock
from training.loop.pretrain import RunPaths, Trainer, pretrain
from training.recipe.recipe import recipe_from_dict

training.loop.pretrain.time = UnsteadyClock(1)
advance, save = Trainer._advance, Trainer._save
def die(self, stage):
    advance(self, stage)
    if self._state.step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
Trainer._advance = die
Trainer._save = lambda self: save(self) if self._state.step < 8 else None
run, train, held_out = map(Path, sys.argv[1:])
paths = RunPaths(run=run, packed_train=train, packed_held_out=held_out, tokenizer=None)
pretrain(recipe_from_dict(RECIPE), paths)
"""
# Two processes of which the first interrupts the one that started them, in its fourth step.
INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from tests.training.tiny import recipe
from training.loop.pretrain import RunPaths, Trainer, pretrain

advance = Trainer._advance
def interrupt(self, stage):
    advance(self, stage)
    if self._state.step == 4 and self._group.is_first:
        os.kill(os.getppid(), signal.SIGINT)
Trainer._advance = interrupt
if __name__ == "__main__":
    run, train, held_out = map(Path, sys.argv[1:])
    paths = RunPaths(run=run, packed_train=train, packed_held_out=held_out, tokenizer=None)
    compute = {"device": "cpu", "bf16": False, "processes": 2}
    pretrain(recipe(100_000, compute=compute), paths)
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in read_log(run / "log.jsonl") if record["kind"] == "step"]


def run_script(script: str, folder: Path, paths: RunPaths) -> int:
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    root = Path(__file__).parents[3]
    command = [sys.executable, str(file), str(paths.run), str(paths.packed_train), str(paths.packed_held_out)]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, check=False)
    print(done.stderr.decode())  # pytest shows it when the test fails
    return done.returncode


def test_the_loss_goes_down_and_the_run_is_told(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    pretrain(recipe(40), paths)
    curve = losses(paths.run)
    assert len(curve) == 40
    assert sum(curve[-5:]) / 5 < sum(curve[:5]) / 5 - 1.0
    records = list(read_log(paths.run / "log.jsonl"))
    evaluations = [record for record in records if record["kind"] == "held_out"]
    assert [record["step"] for record in evaluations] == [0, 40]
    assert evaluations[1]["bits_per_byte"]["Python"] < evaluations[0]["bits_per_byte"]["Python"] - 1.0
    last = [record for record in records if record["kind"] == "step"][-1]
    assert {"tokens", "lr_factor", "tokens_per_s", "mfu", "elapsed_s"} <= set(last)
    assert last["tokens"] == 40 * 4 * 64
    assert (paths.run / "loss.png").read_bytes().startswith(b"\x89PNG")
    (checkpoint,) = (load_checkpoint(path) for path in checkpoints(paths.run / "checkpoints"))
    assert checkpoint.state.finished


@pytest.mark.slow
@pytest.mark.parametrize("box", ["steps", "minutes"])
def test_killed_and_resumed_gives_the_same_losses_to_the_bit(
    tmp_path: Path, box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, whose random numbers too must come again; boxed by time, whatever the clock said."""
    schedule = {"steps": 20, "warmup_steps": 2} if box == "steps" else {"minutes": 0.05, "warmup_steps": 2}
    made = recipe(schedule=schedule, model=MODEL | {"resid_pdrop": 0.1, "attn_pdrop": 0.1}, upkeep=UPKEEP)
    paths = run_paths(tmp_path)
    whole = RunPaths(**{**vars(paths), "run": tmp_path / "whole"})
    script = KILLED_RUN.replace("RECIPE", repr(json.loads(json.dumps(made.to_dict()))))
    assert run_script(script, tmp_path, paths) == -signal.SIGKILL
    before = losses(paths.run)
    assert len(before) < 20
    monkeypatch.setattr("training.loop.pretrain.time", UnsteadyClock(2))
    pretrain(made, paths)
    if box == "minutes":  # what the clock said is all that the two runs have to share
        whole.run.mkdir()
        shutil.copyfile(paths.run / "progress.f64", whole.run / "progress.f64")
    pretrain(made, whole)
    after = losses(paths.run)
    assert after[: len(before)] == before
    assert after == losses(whole.run)
    ends = [load_checkpoint(checkpoints(run / "checkpoints")[-1]) for run in (paths.run, whole.run)]
    assert all(torch.equal(ends[0].model[name], tensor) for name, tensor in ends[1].model.items())


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    compute = {"device": "cpu", "bf16": False, "processes": 2}
    pretrain(recipe(6, compute=compute, stages=[{"seq_len": 64, "micro_batch": 4}]), paths)
    alone = RunPaths(**{**vars(paths), "run": tmp_path / "alone"})
    pretrain(recipe(6, stages=[{"seq_len": 64, "micro_batch": 4, "accumulate": 2}]), alone)
    assert losses(paths.run) == pytest.approx(losses(alone.run), rel=1e-4)


def test_an_interrupt_saves_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = run_paths(tmp_path)
    advance = Trainer._advance

    def interrupt(self: Trainer, stage: int) -> None:
        advance(self, stage)
        if self._state.step == 4:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", interrupt)
        pretrain(recipe(10), paths)
    (checkpoint,) = (load_checkpoint(path) for path in checkpoints(paths.run / "checkpoints"))
    assert checkpoint.state.step == 4
    assert not checkpoint.state.finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    pretrain(recipe(10), paths)
    assert len(losses(paths.run)) == 10


@pytest.mark.slow
def test_an_interrupt_reaches_all_processes(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    assert run_script(INTERRUPTED, tmp_path, paths) == 0
    (checkpoint,) = (load_checkpoint(path) for path in checkpoints(paths.run / "checkpoints"))
    assert not checkpoint.state.finished
    assert checkpoint.state.step >= 4


def test_memory_savers_and_the_document_mask_change_the_loss_as_they_should(tmp_path: Path) -> None:
    first = {}
    for name, tables in (
        ("plain", {}),
        ("chunked", {"compute": {"device": "cpu", "bf16": False, "chunk_tokens": 50}}),
        ("masked", {"data": {"document_mask": True}}),
    ):
        paths = run_paths(tmp_path / name)
        stages = [{"seq_len": 64, "micro_batch": 48}]  # enough for some to hold the end of a document
        pretrain(recipe(3, stages=stages, **tables), paths)
        first[name] = losses(paths.run)
    assert first["chunked"] == pytest.approx(first["plain"], rel=1e-5)
    assert first["masked"] != pytest.approx(first["plain"], rel=1e-6)
    assert first["masked"] == pytest.approx(first["plain"], rel=0.05)


def test_a_later_stage_is_longer_and_resumes_inside(tmp_path: Path) -> None:
    stages = [{"seq_len": 32, "micro_batch": 4}, {"start": 0.5, "seq_len": 64, "micro_batch": 2}]
    paths = run_paths(tmp_path)
    pretrain(recipe(10, stages=stages), paths)
    records = [r for r in read_log(paths.run / "log.jsonl") if r["kind"] == "step"]
    assert [record["seq_len"] for record in records] == [32] * 5 + [64] * 5
    checkpoint = load_checkpoint(checkpoints(paths.run / "checkpoints")[-1])
    assert checkpoint.state.stage_samples == (20, 10)


def test_a_time_boxed_run_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.loop.pretrain.time", UnsteadyClock(3))
    paths = run_paths(tmp_path)
    pretrain(recipe(1, schedule={"minutes": 0.03, "warmup_steps": 2}), paths)
    last = [r for r in read_log(paths.run / "log.jsonl") if r["kind"] == "step"][-1]
    assert last["lr_factor"] < 0.5
    (checkpoint,) = (load_checkpoint(path) for path in checkpoints(paths.run / "checkpoints"))
    assert 1.8 <= checkpoint.state.elapsed_s < 1.8 + 4 * UnsteadyClock.MOST_S  # with the step it is in


def test_a_new_box_begins_where_the_checkpoint_is(tmp_path: Path) -> None:
    path = tmp_path / "progress.f64"
    with ProgressJournal(path, first_step=0, keep=True) as journal:
        for step, done in enumerate((0.0, 0.1, 0.25)):
            journal.record(step, done)
    path.write_bytes(path.read_bytes() + b"\0\0\0")  # a crash inside the fourth
    with ProgressJournal(path, first_step=1, keep=True) as journal:
        assert [journal.at(step) for step in range(4)] == [0.0, 0.1, 0.25, None]
        journal.record(2, 0.9)  # made again: stays
        journal.record(3, 0.5)
    assert np.fromfile(path).tolist() == [0.0, 0.1, 0.25, 0.5]
    with ProgressJournal(path, first_step=2, keep=False) as journal:
        assert [journal.at(step) for step in (1, 2)] == [0.1, None]
    path.unlink()
    with ProgressJournal(path, first_step=2, keep=True) as journal:
        journal.record(2, 0.75)
    assert np.fromfile(path).tolist() == [0.0, 0.0, 0.75]


def test_another_recipe_does_not_continue_a_run(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    pretrain(recipe(2), paths)
    with pytest.raises(ResumeError, match="'optim'"):
        pretrain(recipe(4, optim={"muon_lr": 0.5}), paths)
    state = next((paths.run / "checkpoints").glob("*")) / "state.json"
    state.write_text(json.dumps({"state": {}}), encoding="utf-8")
    with pytest.raises(ResumeError, match="not a readable checkpoint"):
        pretrain(recipe(4), paths)


def test_a_diverging_run_stops_and_says_so(tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    with pytest.raises(DivergedError, match="step"):
        pretrain(recipe(40, optim={"muon_lr": 1e30, "adamw_lr": 1e30}), paths)
