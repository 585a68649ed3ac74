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
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from model.fim_format import END_OF_TEXT
from model.transformer import GPTBigCode
from training.checkpointing import Checkpoint, RunState, checkpoints, load_checkpoint, save_checkpoint
from training.data import DataOptions, TrainingSamples, document_ids
from training.distributed import Group, run_group
from training.encoding import open_encoding
from training.errors import DivergedError, ResumeError
from training.evaluate.held_out import ScoreOptions, languages_to_score, score_language
from training.optim import Optimizers
from training.packing import PackedCorpus
from training.plots import plot_loss
from training.positions import extend_positions
from training.precision import Precision, flops_per_token, peak_flops, pick_device
from training.recipe import Recipe
from training.run_log import RunLog
from training.schedule import lr_factor, progress

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
        self._stop_requested = False

    def run(self) -> None:
        """Steps until the schedule's end or a stop; then a last evaluation, checkpoint and picture."""
        started = time.monotonic() - self._state.elapsed_s
        self._peak_flops = self._group.total([peak_flops(self._precision)])[0]
        # Only the first process has a log: two would replace each other's file.
        first_only = RunLog(self._paths.run, resumed_step=self._state.step) if self._group.is_first else None
        with _StopOnSignal(self._request_stop), first_only or nullcontext() as self._log:
            checkpoint_at = evaluate_at = self._state.elapsed_s
            checkpoint_at += 60 * self._recipe.upkeep.checkpoint_minutes
            while True:
                now, stop = self._group.broadcast([time.monotonic() - started, self._stop_requested])
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
        shape = self._recipe.stages[stage]
        began = time.monotonic()
        losses = []
        for _ in range(shape.accumulate):
            inputs, targets = (t.to(self._precision.device, non_blocking=True) for t in next(self._batches))
            with self._precision.autocast():
                loss = self._loss(inputs, targets)
            torch.autograd.backward(loss / shape.accumulate)
            losses.append(loss.detach())
        mean_loss = torch.stack(losses).mean().float()
        parameters = [p for p in self._model.parameters() if p.grad is not None]
        self._group.average([*(cast(Tensor, p.grad) for p in parameters), mean_loss])
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._recipe.optim.clip_norm)
        if not math.isfinite(float(mean_loss)):
            raise DivergedError(
                f"the loss is {float(mean_loss)} at step {self._state.step}: lower the learning rates"
            )
        factor = lr_factor(self._recipe.schedule, step=self._state.step, done=done)
        self._optimizers.step(factor)
        self._optimizers.zero_grad()
        self._advance(stage)
        self._tell(stage, done, float(mean_loss), float(norm), factor, time.monotonic() - began)

    def _mean_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """inputs [B, T], targets [B, T] -> mean loss of a micro-batch."""
        masked = self._recipe.data.document_mask
        documents = document_ids(inputs, self._encoding.special_ids[END_OF_TEXT]) if masked else None
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

    def _tell(self, stage: int, done: float, loss: float, norm: float, factor: float, step_s: float) -> None:
        state = self._state
        if self._log is None or state.step % self._recipe.upkeep.log_every_steps:
            return
        seq_len = self._recipe.stages[stage].seq_len
        tokens = (
            self._recipe.stages[stage].accumulate
            * self._recipe.stages[stage].micro_batch
            * self._group.size
            * seq_len
        )
        rate = tokens / step_s
        mfu = rate * flops_per_token(self._recipe.model, seq_len) / self._peak_flops
        record = {
            "kind": "step",
            "step": state.step,
            "tokens": state.tokens,
            "elapsed_s": round(state.elapsed_s, 2),
            "progress": done,
            "loss": loss,
            "grad_norm": norm,
            "lr_factor": factor,
            "muon_lr": factor * self._recipe.optim.muon_lr,
            "adamw_lr": factor * self._recipe.optim.adamw_lr,
            "seq_len": seq_len,
            "tokens_per_s": rate,
            "mfu": mfu,
        }
        self._log.write(record)
        left_min = state.elapsed_s * (1 - done) / max(done, 1e-9) / 60
        self._log.show(
            f"step {state.step}  {state.tokens / 1e6:.2f}M tokens  loss {loss:.3f}  {rate:,.0f} tokens/s  "
            f"MFU {100 * mfu:.0f} %  {left_min:.0f} min left",
            done,
        )

    def _enter(self, stage: int) -> None:
        """Go on with a stage's lengths and batches, from where the state says."""
        recipe, shape = self._recipe, self._recipe.stages[stage]
        if stage > 0 and self._state.stage_samples[stage] == 0:
            extend_positions(
                self._model, trained=trained_positions(recipe, self._state), wanted=shape.seq_len
            )
        options = DataOptions(
            seq_len=shape.seq_len,
            # Another seed each stage: else a later one would begin with the text of the first.
            seed=recipe.seed + stage,
            weights=recipe.data.weights,
            fim=recipe.fim,
        )
        samples = TrainingSamples(self._corpus, self._encoding, options)
        order = _RankBatches(self._group, shape.micro_batch, self._state.stage_samples[stage])
        loader = DataLoader(
            samples,
            batch_sampler=order,
            num_workers=recipe.data.workers,
            pin_memory=self._precision.device.type == "cuda",
        )
        self._batches = iter(loader)
        self._stage = stage

    def _evaluate(self) -> None:
        recipe, per_byte, per_token = self._recipe, {}, {}
        options = ScoreOptions(
            seq_len=trained_positions(recipe, self._state) or recipe.stages[0].seq_len,
            tokens_per_language=recipe.upkeep.held_out_tokens,
            part=self._group.rank,
            parts=self._group.size,
        )
        for language in languages_to_score(self._held_out):
            end_id = self._encoding.special_ids[END_OF_TEXT]
            part = score_language(self._model, self._held_out, language, end_id, options, self._precision)
            nats, n_tokens, n_bytes = self._group.total([part.nats, part.n_tokens, part.text_bytes])
            per_byte[language] = nats / math.log(2) / n_bytes
            per_token[language] = nats / n_tokens
        if self._log is not None:
            position = {"kind": "held_out", "step": self._state.step, "tokens": self._state.tokens}
            self._log.write({**position, "bits_per_byte": per_byte, "nats_per_token": per_token})
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

    def _request_stop(self) -> None:
        self._stop_requested = True


def trained_positions(recipe: Recipe, state: RunState) -> int:
    """How many positions the run has trained so far."""
    stages = zip(recipe.stages, state.stage_samples, strict=True)
    return max((stage.seq_len for stage, samples in stages if samples), default=0)


def _check_same(checkpoint: Checkpoint, recipe: Recipe) -> None:
    # Through JSON's types, as the checkpoint's recipe went.
    wanted = json.loads(json.dumps(recipe.to_dict(), default=str))
    changed = [key for key in wanted if key not in _MAY_CHANGE and wanted[key] != checkpoint.recipe.get(key)]
    if changed:
        raise ResumeError(
            f"the run was started with another {changed[0]!r}: use its recipe or another run folder"
        )


class _RankBatches:
    """Sample numbers of this process's micro-batches, without end: micro-batch m of a step goes to
    process m modulo the group's size, so a group sees what one process would, in the same steps."""

    def __init__(self, group: Group, micro_batch: int, first_sample: int) -> None:
        self._group, self._micro_batch, self._first = group, micro_batch, first_sample

    def __iter__(self) -> Iterator[list[int]]:
        begin = self._first + self._group.rank * self._micro_batch
        while True:
            yield list(range(begin, begin + self._micro_batch))
            begin += self._group.size * self._micro_batch


class _StopOnSignal:
    def __init__(self, request: Callable[[], None]) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._request()
