"""Training speed: ours against transformers' Trainer, same model, samples, batch and numbers, in turns.

Both start from the same weights and see the same samples; after each step of the Trainer one of ours is
made (a callback of the Trainer hands over), so that whatever else the machine does slows both. The losses
of the first step are compared: they are of the same weights and samples, and must agree.

    python -m benchmarks.training [--recipe starter-cpu] [--source FOLDER] [--steps 12] [--device cuda]

Also told: tokens packed a second (one process), and samples with FIM made a second. With `--json` the last
line is an object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging

from model.fim_format import END_OF_TEXT
from model.hub import resolve
from training.batches import stage_batches
from training.data import DataOptions, TrainingSamples
from training.distributed import Group
from training.encoding import open_encoding
from training.own_code import as_one_language, read_own_code
from training.packing import PackedCorpus, PackOptions, pack
from training.precision import Precision, flops_per_token, peak_flops, pick_device
from training.recipe import Recipe, load_recipe
from training.trainee import Trainee

ROOT = Path(__file__).resolve().parent.parent
OURS, COMPILED, THEIRS = "ours", "ours, compiled", "transformers Trainer"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One contender: medians over the steps, and its best step.

    `ratio` and `best_ratio`: its tokens a second over the Trainer's. Where a machine does other things, the
    best steps say more.
    """

    step_ms: float
    best_ms: float
    tokens_per_s: float
    mfu: float
    ratio: float
    best_ratio: float
    first_loss: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole run. `samples_tokens_per_s`: made by one process, FIM included."""

    device: str
    threads: int
    bf16: bool
    parameters: int
    seq_len: int
    batch: int
    steps: int
    contenders: Mapping[str, Speed]
    packing_tokens_per_s: float
    samples_tokens_per_s: float


class Ours:
    """Our model, optimizers and batches: what one step of `training.pretrain` does."""

    def __init__(self, recipe: Recipe, corpus: PackedCorpus, tokenizer: Path, precision: Precision) -> None:
        encoding = open_encoding(tokenizer)
        self._recipe = recipe
        self.trainee = Trainee(Group(), recipe, precision, encoding.special_ids[END_OF_TEXT])
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


class _Turns(TrainerCallback):
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
    recipe: Recipe, ours: Ours, samples: TrainingSamples, folder: Path, turns: _Turns, steps: int
) -> _Trainer:
    """A Trainer of the same weights, optimizer, batch and number format."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    model: Any = GPTBigCodeForCausalLM(GPTBigCodeConfig(**recipe.model.to_dict()))
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


def run(recipe: Recipe, source: Path, tokenizer: Path, *, steps: int, warm_up: int, compiled: bool) -> Report:
    """Pack, build all contenders, take turns. The first `warm_up` steps do not count."""
    torch.set_num_threads(recipe.compute.threads)
    precision = Precision(device=pick_device(recipe.compute.device), bf16=recipe.compute.bf16)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        corpus, packing_rate = _packed(source, tokenizer, folder)
        kinds = {OURS: False} | ({COMPILED: True} if compiled else {})
        ours = {
            kind: Ours(
                replace(recipe, compute=replace(recipe.compute, compile=on)), corpus, tokenizer, precision
            )
            for kind, on in kinds.items()
        }
        options = DataOptions(seq_len=recipe.stages[0].seq_len, seed=recipe.seed, fim=recipe.fim)
        samples = TrainingSamples(corpus, open_encoding(tokenizer), options)
        turns = _Turns(ours, precision.device)
        trainer = theirs(recipe, ours[OURS], samples, folder, turns, warm_up + steps)
        trainer.train()
        accumulate = recipe.stages[0].accumulated(1)
        losses = {kind: one.losses[0] for kind, one in ours.items()}
        # The Trainer has divided each micro-batch's by their number already.
        losses[THEIRS] = float(sum(trainer.losses[:accumulate]))
        return _report(
            recipe, precision, turns, losses, warm_up, packing_rate, _samples_rate(samples, options)
        )


def _packed(source: Path, tokenizer: Path, folder: Path) -> tuple[PackedCorpus, float]:
    """The source packed, and tokens a second of one process."""
    documents = as_one_language(read_own_code(source).documents, "code")
    (folder / "documents").mkdir()
    lines = "".join(document.to_json() + "\n" for document in documents)
    (folder / "documents" / "all.jsonl").write_text(lines, encoding="utf-8")
    started = time.perf_counter()
    shards = pack(folder / "documents", folder / "packed", tokenizer, PackOptions())
    rate = sum(shard.n_tokens for shard in shards) / (time.perf_counter() - started)
    return PackedCorpus(folder / "packed", tokenizer=tokenizer), rate


def _samples_rate(samples: TrainingSamples, options: DataOptions, seconds: float = 2.0) -> float:
    started, number = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        samples[number]
        number += 1
    return number * options.seq_len / (time.perf_counter() - started)


def _report(
    recipe: Recipe,
    precision: Precision,
    turns: _Turns,
    losses: Mapping[str, float],
    warm_up: int,
    packing_rate: float,
    samples_rate: float,
) -> Report:
    stage = recipe.stages[0]
    tokens = stage.samples(1) * stage.seq_len
    times_s = {name: times[warm_up:] for name, times in turns.times_s.items()}
    per_token, peak = flops_per_token(recipe.model, stage.seq_len), peak_flops(precision)

    def speed(name: str) -> Speed:
        median_s, best_s = statistics.median(times_s[name]), min(times_s[name])
        return Speed(
            step_ms=1e3 * median_s,
            best_ms=1e3 * best_s,
            tokens_per_s=tokens / median_s,
            mfu=tokens / median_s * per_token / peak,
            # Each step by the Trainer's beside it: what slows both cancels.
            ratio=statistics.median(a / b for a, b in zip(times_s[THEIRS], times_s[name], strict=True)),
            best_ratio=min(times_s[THEIRS]) / best_s,
            first_loss=losses[name],
        )

    return Report(
        device=torch.cuda.get_device_name() if precision.device.type == "cuda" else "CPU",
        threads=recipe.compute.threads,
        bf16=recipe.compute.bf16,
        parameters=recipe.model.n_parameters,
        seq_len=stage.seq_len,
        batch=stage.samples(1),
        steps=len(times_s[THEIRS]),
        contenders={name: speed(name) for name in times_s},
        packing_tokens_per_s=packing_rate,
        samples_tokens_per_s=samples_rate,
    )


def describe(report: Report) -> Iterator[str]:
    """The report for people."""
    yield (
        f"{report.parameters / 1e6:.1f}M parameters, {report.batch} × {report.seq_len} tokens a step, "
        f"{'bfloat16' if report.bf16 else 'float32'}, {report.device}, {report.threads} thread(s), "
        f"{report.steps} steps in turns"
    )
    yield f"  {'':<20} {'ms/step (best)':>20} {'tokens/s':>9} {'MFU':>6} {'ratio (best)':>15}  first loss"
    for name, speed in report.contenders.items():
        yield (
            f"  {name:<20} {speed.step_ms:9.1f} ({speed.best_ms:8.1f}) {speed.tokens_per_s:9,.0f} "
            f"{100 * speed.mfu:4.0f} % {speed.ratio:6.2f} ({speed.best_ratio:5.2f}×)  {speed.first_loss:.4f}"
        )
    yield (
        f"  packing {report.packing_tokens_per_s:,.0f} tokens/s; samples with FIM, "
        f"{report.samples_tokens_per_s:,.0f} tokens/s; one process each"
    )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe in one process, with AdamW, as the Trainer can do it."""
    recipe = load_recipe(options.recipe)
    stage = replace(recipe.stages[0], micro_batch=options.micro_batch or recipe.stages[0].micro_batch)
    return replace(
        recipe,
        stages=(stage,),
        optim=replace(recipe.optim, kind="adamw", adamw_lr=1e-4),
        data=replace(recipe.data, weights={"*": 1.0}, workers=0),
        compute=replace(
            recipe.compute, device=options.device, processes=1, threads=options.threads, bf16=not options.fp32
        ),
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__.split("\n")[0]
    )
    arguments.add_argument(
        "--recipe", default="starter-cpu", help="whose model and batch (default: starter-cpu)"
    )
    arguments.add_argument("--source", type=Path, default=ROOT / "model", help="a folder of code to train on")
    arguments.add_argument(
        "--tokenizer", default="starter", help="a model's name or folder (default: starter)"
    )
    arguments.add_argument("--steps", type=int, default=12)
    arguments.add_argument("--warm-up", type=int, default=3, help="steps before those that count")
    arguments.add_argument("--micro-batch", type=int, help="default: the recipe's")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads of all contenders")
    arguments.add_argument("--fp32", action="store_true", help="instead of bfloat16")
    arguments.add_argument("--no-compile", action="store_true", help="leave out ours under torch.compile")
    arguments.add_argument("--json", action="store_true", help="print an object as the last line")
    return arguments


def main() -> int:
    """Run and print."""
    options = parser().parse_args()
    report = run(
        recipe_of(options),
        options.source,
        resolve(options.tokenizer).folder,
        steps=options.steps,
        warm_up=options.warm_up,
        compiled=not options.no_compile,
    )
    print("\n".join(describe(report)))
    if options.json:
        print(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
