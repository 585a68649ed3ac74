"""The training loop: from a recipe and packed shards to checkpoints, a log and a picture.

Plain torch, over any number of processes. Owns the order of things in a step and between steps; the
data, the model with its optimizers, the schedule and the files of a checkpoint are their own modules.

Weights are not averaged over steps: the linear decay to zero already does that (arXiv 2405.18392,
§4.2), and an average would have to be kept through every resume.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.compute.distributed import Group, run_group
from training.compute.precision import Precision, flops_per_token, peak_flops, pick_device
from training.compute.schedule import lr_factor, progress
from training.data.encoding import open_encoding
from training.data.packing import PackedCorpus
from training.errors import DivergedError, RecipeError, ResumeError
from training.evaluate.scoring.held_out import LanguageLoss, ScoreOptions, languages_to_score, score_language
from training.loop.batches import stage_batches
from training.loop.checkpointing import (
    Checkpoint,
    RunState,
    checkpoints,
    read_state,
    save_checkpoint,
    save_sharded_checkpoint,
)
from training.loop.plots import plot_loss
from training.loop.progress_journal import JOURNAL_FILE, ProgressJournal
from training.loop.run_log import RunLog
from training.loop.step_report import StepReport
from training.loop.trainee import Trainee
from training.recipe.recipe import Recipe, recipe_from_dict
from training.recipe.tables import StageRecipe

CHECKPOINTS_FOLDER = "checkpoints"
PICTURE_FILE = "loss.png"
# What may not differ when a run is continued: what is learned, not how long and how it is computed.
_MUST_AGREE = ("model", "base", "lora", "seed", "data", "fim", "optim", "stages")


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """`run` is written to; the packed folders are read; `tokenizer` None means bytes."""

    run: Path
    packed_train: Path
    packed_held_out: Path
    tokenizer: Path | None


def pretrain(recipe: Recipe, paths: RunPaths) -> None:
    """Train to the end of the recipe's schedule, continuing the run folder's newest checkpoint if any.

    Ctrl+C or SIGTERM saves a checkpoint and returns. Raises TrainingError.
    """
    run_group(_train, recipe.compute.processes, recipe, paths)


def _train(group: Group, recipe: Recipe, paths: RunPaths) -> None:
    torch.set_num_threads(recipe.compute.threads)
    Trainer(group, recipe, paths).run()


class Trainer:
    """One process's part of a run."""

    def __init__(self, group: Group, recipe: Recipe, paths: RunPaths) -> None:
        self._group, self._recipe, self._paths = group, recipe, paths
        self._encoding = open_encoding(paths.tokenizer)
        self._end_id = recipe.model.family.fim_format(self._encoding.special_ids).end_of_text_id
        self._corpus = PackedCorpus(paths.packed_train, tokenizer=paths.tokenizer)
        self._held_out = PackedCorpus(paths.packed_held_out, tokenizer=paths.tokenizer)
        self._precision = Precision(device=pick_device(recipe.compute.device), bf16=recipe.compute.bf16)
        self._trainee = Trainee(group, recipe, self._precision, self._end_id)
        self._state = RunState(stage_samples=(0,) * len(recipe.stages))
        self._same_schedule = True
        self._resume()
        self._stage = -1
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self._log: RunLog | None = None
        self._journal: ProgressJournal | None = None

    def run(self) -> None:
        """Steps until the schedule's end or a stop; then a last evaluation, checkpoint and picture."""
        self._peak_flops = self._group.total([peak_flops(self._precision)])[0]
        with ExitStack() as stack:
            if self._group.is_first:  # two would replace each other's files
                self._log = stack.enter_context(RunLog(self._paths.run, resumed_step=self._state.step))
                self._journal = stack.enter_context(self._open_journal())
            self._steps()

    def _open_journal(self) -> ProgressJournal:
        path = self._paths.run / JOURNAL_FILE
        return ProgressJournal(path, first_step=self._state.step, keep=self._same_schedule)

    def _steps(self) -> None:
        upkeep = self._recipe.upkeep
        started = time.monotonic() - self._state.elapsed_s
        evaluate_at = self._state.elapsed_s
        checkpoint_at = evaluate_at + 60 * upkeep.checkpoint_minutes
        done = 0.0
        while True:
            now = time.monotonic() - started
            done = max(done, self._progress(now))
            now, done, stop = self._group.broadcast([now, done, self._group.stop.requested])
            self._state = replace(self._state, elapsed_s=now)
            if self._journal is not None and (done >= 1 or not stop):
                self._journal.record(self._state.step, done)
            if stop or done >= 1:
                break
            if now >= evaluate_at:
                evaluate_at = now + 60 * upkeep.eval_minutes
                self._evaluate()
            if now >= checkpoint_at:
                checkpoint_at = now + 60 * upkeep.checkpoint_minutes
                self._save()
            self._step(done)
        self._finish(done >= 1)

    def _progress(self, elapsed_s: float) -> float:
        """Share of the run that is done before the next step; of a step that is made again, as it was."""
        schedule, step = self._recipe.schedule, self._state.step
        again = self._journal.at(step) if self._journal is not None and schedule.steps is None else None
        return progress(schedule, step=step, elapsed_s=elapsed_s) if again is None else again

    def _step(self, done: float) -> None:
        stage = self._recipe.stage_at(done)
        if stage != self._stage:
            self._enter(stage)
        began, tokens_before = time.monotonic(), self._state.tokens
        if self._recipe.dropout:  # of the step alone, so that a resumed run drops the same
            torch.manual_seed(((self._recipe.seed << 32) + self._state.step) * 65_536 + self._group.rank)
        shape, optim = self._recipe.stages[stage], self._recipe.optim
        loss = float(self._trainee.gradients(self._batches, shape.accumulated(self._group.size)))
        norm = self._trainee.clip(optim.clip_norm)
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at step {self._state.step}: lower the learning rates")
        factor = lr_factor(self._recipe.schedule, step=self._state.step, done=done)
        self._trainee.update(factor)
        self._advance(stage)
        rate = (self._state.tokens - tokens_before) / (time.monotonic() - began)
        report = StepReport(
            loss=loss,
            grad_norm=norm,
            lr_factor=factor,
            muon_lr=factor * optim.muon_lr if optim.kind == "muon" else 0.0,
            adamw_lr=factor * optim.adamw_lr,
            seq_len=shape.seq_len,
            tokens_per_s=rate,
            mfu=rate * flops_per_token(self._recipe.model, shape.seq_len) / self._peak_flops,
            progress=done,
        )
        self._tell(report)

    def _advance(self, stage: int) -> None:
        shape = self._recipe.stages[stage]
        samples = shape.samples(self._group.size)
        used = list(self._state.stage_samples)
        used[stage] += samples
        self._state = replace(
            self._state,
            step=self._state.step + 1,
            tokens=self._state.tokens + samples * shape.seq_len,
            stage_samples=tuple(used),
        )

    def _tell(self, report: StepReport) -> None:
        if self._log is None or self._state.step % self._recipe.upkeep.log_every_steps:
            return
        self._log.write(report.record(self._state))
        self._log.show(report.line(self._state), report.progress)

    def _enter(self, stage: int) -> None:
        """Go on with a stage's lengths and batches, from where the state says."""
        recipe, used = self._recipe, self._state.stage_samples
        trained, wanted = recipe.trained_positions(used), recipe.stages[stage].seq_len
        if stage > 0 and used[stage] == 0 and wanted > trained:
            self._trainee.extend_positions(trained=trained, wanted=wanted)
        self._batches = stage_batches(recipe, stage, self._corpus, self._encoding, self._group, used[stage])
        self._stage = stage

    def _evaluate(self) -> None:
        recipe = self._recipe
        trained = recipe.trained_positions(self._state.stage_samples) if recipe.base is None else 0
        options = ScoreOptions(
            seq_len=trained or recipe.stages[0].seq_len,
            tokens_per_language=recipe.upkeep.held_out_tokens,
            part=self._group.rank,
            parts=self._group.size,
        )
        losses: dict[str, LanguageLoss] = {}
        precision = self._trainee.precision
        with self._trainee.scoring() as model:
            for language in languages_to_score(self._held_out, recipe.upkeep.held_out_min_bytes):
                part = score_language(model, self._held_out, language, self._end_id, options, precision)
                nats, n_tokens, n_bytes = self._group.total([part.nats, part.n_tokens, part.text_bytes])
                losses[language] = LanguageLoss(nats=nats, n_tokens=int(n_tokens), text_bytes=n_bytes)
        if self._log is not None:
            self._log.write(_held_out_record(self._state, losses))
            plot_loss(self._log.path, self._paths.run / PICTURE_FILE)

    def _finish(self, complete: bool) -> None:
        self._state = replace(self._state, finished=complete)
        self._save()
        if complete:
            self._evaluate()

    def _save(self) -> None:
        checkpoint = Checkpoint(
            state=self._state,
            recipe=self._recipe.to_dict(),
            model=self._trainee.trained(),
            optimizer=self._trainee.optimizers.state(),
        )
        folder, keep = self._paths.run / CHECKPOINTS_FOLDER, self._recipe.upkeep.keep_checkpoints
        if self._trainee.sharded:
            save_sharded_checkpoint(folder, checkpoint, keep=keep, group=self._group)
        elif self._group.is_first:
            save_checkpoint(folder, checkpoint, keep=keep)

    def _resume(self) -> None:
        self._paths.run.mkdir(parents=True, exist_ok=True)
        found = checkpoints(self._paths.run / CHECKPOINTS_FOLDER)
        if not found:
            return
        self._state, stored = read_state(found[-1])
        self._same_schedule = _agreeing(stored, self._recipe).schedule == self._recipe.schedule
        self._trainee.load(found[-1])


def _held_out_record(state: RunState, losses: Mapping[str, LanguageLoss]) -> dict[str, Any]:
    return {
        "kind": "held_out",
        "step": state.step,
        "tokens": state.tokens,
        "bits_per_byte": {name: loss.bits_per_byte for name, loss in losses.items()},
        "nats_per_token": {name: loss.nats_per_token for name, loss in losses.items()},
        "n_tokens": {name: loss.n_tokens for name, loss in losses.items()},
    }


def _agreeing(stored: Mapping[str, Any], recipe: Recipe) -> Recipe:
    """The checkpoint's recipe. Raises ResumeError when it learns something else than `recipe`."""
    try:
        before = recipe_from_dict(stored)
    except RecipeError as error:
        raise ResumeError(f"the run's recipe is not understood ({error}): use another run folder") from error
    for key in _MUST_AGREE:
        old, new = getattr(before, key), getattr(recipe, key)
        if key == "stages":
            old, new = (tuple(map(_what_a_step_sees, stages)) for stages in (old, new))
        if old != new:
            raise ResumeError(
                f"the run was started with another {key!r}: use its recipe or another run folder"
            )
    return before


def _what_a_step_sees(stage: StageRecipe) -> StageRecipe:
    """With a fixed batch, how it is divided is only a matter of memory."""
    return stage if stage.batch is None else replace(stage, micro_batch=1, accumulate=1)
