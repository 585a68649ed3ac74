"""Both sides: our training step, and the Trainer with the same weights, samples and optimizer, in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging

from training.compute.distributed import Group
from training.compute.precision import Precision
from training.data.data import TrainingSamples
from training.data.encoding import open_encoding
from training.data.packing import PackedCorpus
from training.loop.batches import stage_batches
from training.loop.trainee import Trainee
from training.recipe.recipe import Recipe

OURS, COMPILED, THEIRS = "ours", "ours, compiled", "transformers Trainer"


class Ours:
    """Our model, optimizers and batches: what one step of `training.loop.pretrain` does."""

    def __init__(self, recipe: Recipe, corpus: PackedCorpus, tokenizer: Path, precision: Precision) -> None:
        encoding = open_encoding(tokenizer)
        self._recipe = recipe
        fim = recipe.model.family.fim_format(encoding.special_ids)
        self.trainee = Trainee(Group(), recipe, precision, fim.end_of_text_id)
        self._batches = stage_batches(recipe, 0, corpus, encoding, Group(), 0)
        self.losses: list[float] = []

    def step(self) -> None:
        """One update."""
        loss = self.trainee.gradients(self._batches, self._recipe.stages[0].accumulated(1))
        self.trainee.clip(self._recipe.optim.clip_norm)
        self.trainee.update(1.0)
        self.losses.append(float(loss))


class _Rows(Dataset[dict[str, Tensor]]):
    """Our samples as the Trainer takes them; `shift_labels` are targets that need no shifting any more."""

    def __init__(self, samples: TrainingSamples, length: int) -> None:
        self._samples, self._length = samples, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        inputs, targets = self._samples[number]
        return {"input_ids": inputs, "labels": targets, "shift_labels": targets}


class _Trainer(transformers.Trainer):
    """The Trainer as it is, but for samples in their order; remembers the losses."""

    def __init__(self, rows: _Rows, **arguments: Any) -> None:
        super().__init__(train_dataset=rows, **arguments)
        self._rows = rows
        self.losses: list[Tensor] = []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """In order, no workers: as ours."""
        return DataLoader(self._rows, batch_size=self.args.per_device_train_batch_size)

    def training_step(self, *arguments: Any, **named: Any) -> Tensor:
        """The Trainer's own, and the loss kept."""
        loss: Tensor = super().training_step(*arguments, **named)
        self.losses.append(loss.detach())
        return loss


class Turns(TrainerCallback):
    """After each step of the Trainer, one of each of ours; all of them timed."""

    def __init__(self, ours: Mapping[str, Ours], device: torch.device) -> None:
        self._ours, self._device = ours, device
        self.times_s: dict[str, list[float]] = {name: [] for name in (THEIRS, *ours)}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The clock starts."""
        self._since = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The Trainer's step is over, samples and callbacks included."""
        self._take(THEIRS)
        for name, ours in self._ours.items():
            ours.step()
            self._take(name)

    def _take(self, name: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.times_s[name].append(now - self._since)
        self._since = now


def theirs(
    recipe: Recipe, ours: Ours, samples: TrainingSamples, folder: Path, turns: Turns, steps: int
) -> _Trainer:
    """A Trainer of the same weights, optimizer, batch and number format."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    config = AutoConfig.for_model(**recipe.model.family.write(recipe.model))
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    state = {name: tensor.detach().cpu() for name, tensor in ours.trainee.model.state_dict().items()}
    model.load_state_dict(state, strict=False)  # the head is tied to the embedding
    model.tie_weights()
    stage, optim = recipe.stages[0], recipe.optim
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=stage.micro_batch,
        gradient_accumulation_steps=stage.accumulated(1),
        max_steps=steps,
        learning_rate=optim.adamw_lr,
        lr_scheduler_type="constant",
        adam_beta1=optim.adamw_betas[0],
        adam_beta2=optim.adamw_betas[1],
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.clip_norm,
        optim="adamw_torch_fused",
        bf16=recipe.compute.bf16,
        use_cpu=recipe.compute.device == "cpu",
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    rows = _Rows(samples, steps * stage.samples(1))
    return _Trainer(rows, model=model, args=arguments, callbacks=[turns])
