"""Fine-tuning a model on one's own code, or on a corpus, to a model folder that is served at once.

The order of things: collect and pack (once for a run folder), check that the machine can do it, train
(`training.loop.pretrain`, which resumes), export, describe, add the code to the attribution index. Held-out
files are scored before and after.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model.families.registry import read_config
from model.local.private import private_files
from model.weights.hub import ResolvedModel, resolve
from training.compute.precision import Precision, pick_device
from training.compute.torchrun import is_first_process, processes_or
from training.data.encoding import check_tokenizer
from training.data.own_code import OwnCode, as_one_language, read_own_code
from training.data.packing import PackedCorpus, PackOptions, is_packed, pack, wait_for_packed
from training.errors import PackingError, TrainingError
from training.jobs.export import export_checkpoint, newest_checkpoint
from training.jobs.finetuned_card import HeldOutLoss, write_finetuned_card
from training.jobs.own_index import add_to_index, check_index_extra
from training.loop.checkpointing import Checkpoint
from training.loop.pretrain import RunPaths, pretrain
from training.loop.run_log import LOG_FILE, read_log
from training.plan.capacity import check_capacity, roomy
from training.recipe.recipe import Recipe, load_recipe

MIN_TRAIN_TOKENS = 10_000
_SHARD_BYTES = 4 * 10**9
_ALL = "code"  # all languages of a folder as one: see `as_one_language`


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """What is asked for. `on` is a folder of code; None: the corpus folders that `changes` name.

    `run` keeps packed code, checkpoints and the log; `epochs` sets the number of steps (None: the recipe
    does); `index` is a folder or URL, None adds the code to no index.
    """

    recipe: str
    base: str
    to: Path
    run: Path
    on: Path | None = None
    epochs: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    index: str | None = None
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """The outcome. `complete` False: interrupted, and the same command goes on."""

    complete: bool
    losses: tuple[HeldOutLoss, ...] = ()
    code: OwnCode | None = None
    indexed: str | None = None


def finetune(wanted: Finetuning) -> Finetuned:
    """Do all of it. Raises TrainingError or ModelError with what to change.

    Text of the user's own is in the run, and something of it in the model: both are for the user alone.
    """
    with private_files():
        return _finetune(wanted)


def _finetune(wanted: Finetuning) -> Finetuned:
    if wanted.to.exists() and (not wanted.to.is_dir() or any(wanted.to.iterdir())):
        raise TrainingError(f"{wanted.to} exists already: name another folder with --to, or delete it")
    if wanted.index is not None and wanted.on is not None:
        check_index_extra()
    base = resolve(wanted.base)
    check_tokenizer(base.folder, read_config(base.folder).family)
    code = _packed_once(wanted, base)
    paths = RunPaths(
        run=wanted.run,
        packed_train=wanted.run / "packed" / "train",
        packed_held_out=wanted.run / "packed" / "held_out",
        tokenizer=base.folder,
    )
    recipe = recipe_of(wanted, base, PackedCorpus(paths.packed_train, tokenizer=base.folder))
    pretrain(recipe, paths)
    if not is_first_process():
        return Finetuned(complete=True)
    checkpoint = newest_checkpoint(wanted.run)
    if not checkpoint.state.finished:
        return Finetuned(complete=False)
    losses = held_out_losses(wanted.run / LOG_FILE)
    _export(checkpoint, wanted, base, losses)
    indexed = None
    if wanted.index is not None and wanted.on is not None:
        indexed = add_to_index(wanted.on, wanted.index)
    return Finetuned(complete=True, losses=losses, code=code, indexed=indexed)


def _export(
    checkpoint: Checkpoint, wanted: Finetuning, base: ResolvedModel, losses: Sequence[HeldOutLoss]
) -> None:
    """Write the model folder beside its name and rename it: whole or not at all."""
    scratch = wanted.to.with_name(f".{wanted.to.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    exported = export_checkpoint(checkpoint, scratch, base.folder, max_shard_bytes=_SHARD_BYTES)
    write_finetuned_card(scratch, wanted.to.name, exported, base, losses)
    if wanted.to.exists():
        wanted.to.rmdir()  # empty, as was checked before
    os.replace(scratch, wanted.to)


def held_out_losses(log: Path) -> tuple[HeldOutLoss, ...]:
    """The first and the last scores of a run's log, most text first."""
    scored = [record for record in read_log(log) if record["kind"] == "held_out"]
    first, last = scored[0], scored[-1]
    return tuple(
        HeldOutLoss(
            language=language,
            n_tokens=int(last["n_tokens"][language]),
            before=first["nats_per_token"][language],
            after=last["nats_per_token"][language],
        )
        for language in sorted(last["n_tokens"], key=lambda name: -last["n_tokens"][name])
    )


def _packed_once(wanted: Finetuning, base: ResolvedModel) -> OwnCode | None:
    """Collect and pack unless the run folder has it; a run goes on with what it began with."""
    folders = [wanted.run / "packed" / split for split in ("train", "held_out")]
    if not is_first_process():
        wait_for_packed(folders)
    if all(map(is_packed, folders)):
        return None
    code = None
    if wanted.on is not None:
        code = read_own_code(wanted.on)
        sources = _write_documents(code, wanted.run / "code")
    else:
        data = load_recipe(wanted.recipe, wanted.changes).data
        sources = [Path(data.train), Path(data.held_out)]
    processes = max(1, (os.cpu_count() or 2) - 1) if wanted.on is None else 1
    for source, folder in zip(sources, folders, strict=True):
        pack(source, folder, base.folder, PackOptions(processes=processes))
    return code


def _write_documents(code: OwnCode, into: Path) -> list[Path]:
    train, held_out = code.split()
    folders = [into / "train", into / "held_out"]
    for folder, documents in zip(folders, (as_one_language(train, _ALL), held_out), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(document.to_json() + "\n" for document in documents)
        (folder / "documents.jsonl").write_text(lines, encoding="utf-8")
    return folders


def recipe_of(wanted: Finetuning, base: ResolvedModel, corpus: PackedCorpus) -> Recipe:
    """The recipe for this base and this much code. Raises RecipeError, or PackingError for too little."""
    recipe = _of_base(load_recipe(wanted.recipe, wanted.changes), wanted.base, base)
    n_tokens = sum(corpus.n_tokens(language) for language in corpus.shards)
    seq_len = recipe.stages[-1].seq_len
    least = max(MIN_TRAIN_TOKENS, 2 * seq_len)
    if n_tokens < least:
        raise PackingError(
            f"{wanted.on or recipe.data.train} gives {n_tokens:,} tokens to train on; at least {least:,} are "
            "needed to learn more than a few lines by heart: name a larger folder"
        )
    processes = processes_or(recipe.compute.processes)
    tokens_per_step = recipe.stages[-1].samples(processes) * seq_len
    if wanted.epochs is not None:
        recipe = _of_steps(recipe, max(1, math.ceil(wanted.epochs * n_tokens / tokens_per_step)))
    precision = Precision(device=pick_device(recipe.compute.device), bf16=recipe.compute.bf16)
    recipe = roomy(recipe, precision, processes)
    run_tokens = (recipe.schedule.steps or 0) * tokens_per_step
    check_capacity(recipe, precision, processes, n_tokens=run_tokens, force=wanted.force)
    return recipe


def _of_base(recipe: Recipe, name: str, base: ResolvedModel) -> Recipe:
    """The recipe with the base's shape: samples no longer than its context, rates for its width."""
    config = read_config(base.folder)
    stages = tuple(replace(one, seq_len=min(one.seq_len, config.n_positions)) for one in recipe.stages)
    lasting = str(base.folder.absolute()) if Path(name).expanduser().is_dir() else name
    times = (recipe.optim.lr_width or config.width) / config.width
    rates = {name: times * getattr(recipe.optim, name) for name in ("muon_lr", "adamw_lr")}
    optim = replace(recipe.optim, lr_width=None, **rates)
    lora = recipe.lora and replace(recipe.lora, targets=recipe.lora.targets or config.family.linear_layers)
    return replace(recipe, base=lasting, model=config, lora=lora, stages=stages, optim=optim)


def _of_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe boxed by steps, at most a quarter of them warm-up."""
    warmup = min(recipe.schedule.warmup_steps, max(1, steps // 4))
    return replace(recipe, schedule=replace(recipe.schedule, steps=steps, minutes=None, warmup_steps=warmup))
