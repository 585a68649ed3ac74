"""The training loop: from a recipe and packed shards to checkpoints, a log and a picture.

Plain torch, data parallel over processes. Owns the order of things in a step and between steps; the
data, the optimizers, the schedule and the files of a checkpoint are their own modules.

Weights are not averaged over steps: the linear decay to zero already does that (arXiv 2405.18392,
§4.2), and an average would have to be kept through every resume.

Shapes: B samples of a micro-batch, T ids a sample.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from model.fim_format import END_OF_TEXT
from model.transformer import GPTBigCode
from training.batches import stage_batches
from training.checkpointing import Checkpoint, RunState, checkpoints, load_checkpoint, save_checkpoint
from training.data import document_ids
from training.distributed import Group, run_group
from training.encoding import open_encoding
from training.errors import DivergedError, ResumeError
from training.evaluate.held_out import LanguageLoss, ScoreOptions, languages_to_score, score_language
from training.optim import Optimizers
from training.packing import PackedCorpus
from training.plots import plot_loss
from training.positions import extend_positions
from training.precision import Precision, flops_per_token, peak_flops, pick_device
from training.recipe import Recipe
from training.run_log import RunLog
from training.schedule import lr_factor, progress
from training.step_report import StepReport

CHECKPOINTS_FOLDER = "checkpoints"
PICTURE_FILE = "loss.png"
# What may differ when a run is continued: how long and how it is computed, not what is learned.
_MAY_CHANGE = frozenset({"schedule", "compute", "upkeep", "name"})


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
        self._precision = Precision(
            device=pick_device(recipe.compute.device, group.rank), bf16=recipe.compute.bf16
        )
        self._encoding = open_encoding(paths.tokenizer)
        self._end_id = self._encoding.special_ids[END_OF_TEXT]
        self._corpus = PackedCorpus(paths.packed_train, tokenizer=paths.tokenizer)
        self._held_out = PackedCorpus(paths.packed_held_out, tokenizer=paths.tokenizer)
        self._model = GPTBigCode(recipe.model)
        self._model.init_weights(torch.Generator().manual_seed(recipe.seed))
        self._model.to(self._precision.device).train()
        self._loss = (
            torch.compile(self._mean_loss, dynamic=False) if recipe.compute.compile else self._mean_loss
        )
        self._optimizers = Optimizers(self._model, recipe.optim)
        self._state = RunState(stage_samples=(0,) * len(recipe.stages))
        self._resume()
        self._stage = -1
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())

    def run(self) -> None:
        """Steps until the schedule's end or a stop; then a last evaluation, checkpoint and picture."""
        started = time.monotonic() - self._state.elapsed_s
        self._peak_flops = self._group.total([peak_flops(self._precision)])[0]
        # Only the first process has a log: two would replace each other's file.
        first_only = RunLog(self._paths.run, resumed_step=self._state.step) if self._group.is_first else None
        with first_only or nullcontext() as self._log:
            checkpoint_at = evaluate_at = self._state.elapsed_s
            checkpoint_at += 60 * self._recipe.upkeep.checkpoint_minutes
            while True:
                now, stop = self._group.broadcast([time.monotonic() - started, self._group.stop.requested])
                self._state = replace(self._state, elapsed_s=now)
                done = progress(self._recipe.schedule, step=self._state.step, elapsed_s=now)
                if stop or done >= 1:
                    break
                if now >= evaluate_at:
                    evaluate_at = now + 60 * self._recipe.upkeep.eval_minutes
                    self._evaluate()
                if now >= checkpoint_at:
                    checkpoint_at = now + 60 * self._recipe.upkeep.checkpoint_minutes
                    self._save()
                self._step(done)
            self._finish(done >= 1)

    def _step(self, done: float) -> None:
        stage = self._recipe.stage_at(done)
        if stage != self._stage:
            self._enter(stage)
        began, tokens_before = time.monotonic(), self._state.tokens
        loss = self._backward(self._recipe.stages[stage].accumulate)
        parameters = [p for p in self._model.parameters() if p.grad is not None]
        self._group.average([*(cast(Tensor, p.grad) for p in parameters), loss])
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._recipe.optim.clip_norm)
        if not math.isfinite(float(loss)):
            raise DivergedError(
                f"the loss is {float(loss)} at step {self._state.step}: lower the learning rates"
            )
        factor = lr_factor(self._recipe.schedule, step=self._state.step, done=done)
        self._optimizers.step(factor)
        self._optimizers.zero_grad()
        self._advance(stage)
        rate = (self._state.tokens - tokens_before) / (time.monotonic() - began)
        seq_len, optim = self._recipe.stages[stage].seq_len, self._recipe.optim
        report = StepReport(
            loss=float(loss),
            grad_norm=float(norm),
            lr_factor=factor,
            muon_lr=factor * optim.muon_lr,
            adamw_lr=factor * optim.adamw_lr,
            seq_len=seq_len,
            tokens_per_s=rate,
            mfu=rate * flops_per_token(self._recipe.model, seq_len) / self._peak_flops,
            progress=done,
        )
        self._tell(report)

    def _backward(self, accumulate: int) -> Tensor:
        """Gradients of this process's micro-batches of a step; returns their mean loss, fp32 scalar."""
        losses = []
        for _ in range(accumulate):
            inputs, targets = (t.to(self._precision.device) for t in next(self._batches))
            with self._precision.autocast():
                loss = self._loss(inputs, targets)
            torch.autograd.backward(loss / accumulate)
            losses.append(loss.detach())
        return torch.stack(losses).mean().float()

    def _mean_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """inputs [B, T], targets [B, T] -> mean loss of a micro-batch."""
        masked = self._recipe.data.document_mask
        documents = document_ids(inputs, self._end_id) if masked else None
        return self._model.loss(
            inputs, targets, document_ids=documents, chunk_tokens=self._recipe.compute.chunk_tokens
        )

    def _advance(self, stage: int) -> None:
        shape = self._recipe.stages[stage]
        samples = shape.accumulate * shape.micro_batch * self._group.size
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
        if stage > 0 and used[stage] == 0:
            wanted = recipe.stages[stage].seq_len
            extend_positions(self._model, trained=recipe.trained_positions(used), wanted=wanted)
        self._batches = stage_batches(recipe, stage, self._corpus, self._encoding, self._group, used[stage])
        self._stage = stage

    def _evaluate(self) -> None:
        recipe = self._recipe
        options = ScoreOptions(
            seq_len=recipe.trained_positions(self._state.stage_samples) or recipe.stages[0].seq_len,
            tokens_per_language=recipe.upkeep.held_out_tokens,
            part=self._group.rank,
            parts=self._group.size,
        )
        losses: dict[str, LanguageLoss] = {}
        for language in languages_to_score(self._held_out):
            part = score_language(
                self._model, self._held_out, language, self._end_id, options, self._precision
            )
            nats, n_tokens, n_bytes = self._group.total([part.nats, part.n_tokens, part.text_bytes])
            losses[language] = LanguageLoss(nats=nats, n_tokens=int(n_tokens), text_bytes=n_bytes)
        if self._log is not None:
            self._log.write(
                {
                    "kind": "held_out",
                    "step": self._state.step,
                    "tokens": self._state.tokens,
                    "bits_per_byte": {name: loss.bits_per_byte for name, loss in losses.items()},
                    "nats_per_token": {name: loss.nats_per_token for name, loss in losses.items()},
                }
            )
            plot_loss(self._log.path, self._paths.run / PICTURE_FILE)

    def _finish(self, complete: bool) -> None:
        self._state = replace(self._state, finished=complete)
        self._save()
        if complete:
            self._evaluate()

    def _save(self) -> None:
        if not self._group.is_first:
            return
        checkpoint = Checkpoint(
            state=self._state,
            recipe=self._recipe.to_dict(),
            model=self._model.state_dict(),
            optimizer=self._optimizers.state(),
        )
        folder = self._paths.run / CHECKPOINTS_FOLDER
        save_checkpoint(folder, checkpoint, keep=self._recipe.upkeep.keep_checkpoints)

    def _resume(self) -> None:
        self._paths.run.mkdir(parents=True, exist_ok=True)
        found = checkpoints(self._paths.run / CHECKPOINTS_FOLDER)
        if not found:
            return
        checkpoint = load_checkpoint(found[-1])
        _check_same(checkpoint, self._recipe)
        self._model.load_state_dict(dict(checkpoint.model))
        self._optimizers.load_state(checkpoint.optimizer)
        self._state = checkpoint.state


def _check_same(checkpoint: Checkpoint, recipe: Recipe) -> None:
    # Through JSON's types, as the checkpoint's recipe went.
    wanted = json.loads(json.dumps(recipe.to_dict(), default=str))
    changed = [key for key in wanted if key not in _MAY_CHANGE and wanted[key] != checkpoint.recipe.get(key)]
    if changed:
        raise ResumeError(
            f"the run was started with another {changed[0]!r}: use its recipe or another run folder"
        )
