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
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from benchmarks.training.contenders import COMPILED, OURS, THEIRS, Ours, Turns, theirs
from benchmarks.training.report import Report, describe, report_of
from model.weights.hub import resolve
from training.compute.precision import Precision, pick_device
from training.data.data import DataOptions, TrainingSamples
from training.data.encoding import open_encoding
from training.data.own_code import as_one_language, read_own_code
from training.data.packing import PackedCorpus, PackOptions, pack
from training.recipe.recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent.parent


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
        encoding = open_encoding(tokenizer)
        fim = recipe.model.family.fim_format(encoding.special_ids)
        samples = TrainingSamples(corpus, encoding, fim, options)
        turns = Turns(ours, precision.device)
        trainer = theirs(recipe, ours[OURS], samples, folder, turns, warm_up + steps)
        trainer.train()
        accumulate = recipe.stages[0].accumulated(1)
        losses = {kind: one.losses[0] for kind, one in ours.items()}
        # The Trainer has divided each micro-batch's by their number already.
        losses[THEIRS] = float(sum(trainer.losses[:accumulate]))
        return report_of(
            recipe,
            precision,
            times_s={name: times[warm_up:] for name, times in turns.times_s.items()},
            first_losses=losses,
            packing_tokens_per_s=packing_rate,
            samples_tokens_per_s=_samples_rate(samples, options),
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
