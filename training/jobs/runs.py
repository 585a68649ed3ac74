"""The whole of a command: recipe to packed shards to a run, run to a model folder, model to scores.

Everything `training.cli.cli` calls. Knows where things lie; how they are made is the other modules'.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.weights.hub import resolve
from training.compute.torchrun import is_first_process
from training.data.packing import PackedCorpus, PackedShardInfo, PackOptions, is_packed, pack, wait_for_packed
from training.errors import RecipeError
from training.evaluate.progress import progress_bar
from training.recipe.recipe import load_recipe

PACKED_FOLDER = "packed"


def pack_with_progress(source: Path, target: Path, tokenizer: Path, processes: int) -> list[PackedShardInfo]:
    """`pack` with a bar on stderr."""
    with progress_bar(f"packing {source}") as progress:
        return pack(source, target, tokenizer, PackOptions(processes=processes), progress)


def start_pretraining(recipe_name: str, run: Path, changes: Mapping[str, Any]) -> None:
    """Pack what the recipe names, unless it is packed already, then train or continue `run`."""
    from training.loop.pretrain import RunPaths, pretrain

    recipe = load_recipe(recipe_name, changes)
    if recipe.base is not None:
        raise RecipeError(
            f"{recipe_name} starts from {recipe.base}: that is `train finetune`, not `pretrain`"
        )
    tokenizer = Path(recipe.data.tokenizer)
    packed = {split: run / PACKED_FOLDER / split for split in ("train", "held_out")}
    if is_first_process():
        for split, source in (("train", recipe.data.train), ("held_out", recipe.data.held_out)):
            if not is_packed(packed[split]):
                pack_with_progress(Path(source), packed[split], tokenizer, max(1, (os.cpu_count() or 2) - 1))
    else:
        wait_for_packed(list(packed.values()))
    pretrain(
        recipe,
        RunPaths(
            run=run, packed_train=packed["train"], packed_held_out=packed["held_out"], tokenizer=tokenizer
        ),
    )


def export_run(run: Path, target: Path, tokenizer: Path, number_format: str) -> None:
    """Write the newest checkpoint of `run` as a model folder; `number_format` is bf16 or int8."""
    from training.jobs.export import check_target, export_checkpoint, newest_checkpoint, scheme_of

    check_target(target)
    export_checkpoint(newest_checkpoint(run), target, tokenizer, scheme_of(number_format))


def evaluate_loss(
    model: str, held_out: Path, *, tokens: float = math.inf, text_bytes: float = math.inf
) -> dict[str, dict[str, float]]:
    """Held-out loss of a model folder by language, over shards packed with the same tokenizer.

    At most so many tokens of a language, or whole documents until so many bytes are reached.
    """
    import torch

    from model.prompt.tokenizer import Tokenizer
    from model.pytorch.checkpoint import load_checkpoint
    from model.pytorch.device import Placement
    from model.pytorch.quantize import Scheme
    from training.compute.precision import Precision, pick_device
    from training.evaluate.scoring.held_out import ScoreOptions, languages_to_score, score_language

    folder = resolve(model).folder
    device = pick_device("auto")
    # fp32 arithmetic: the figure is the weights', not the number format's.
    placement = Placement(device=device, dtype=torch.float32, scheme=Scheme.NONE, reason="evaluation")
    loaded = load_checkpoint(folder, placement)
    corpus = PackedCorpus(held_out, tokenizer=folder)
    special_ids = Tokenizer.from_folder(folder).special_ids
    end_id = loaded.config.family.fim_format(special_ids).end_of_text_id
    options = ScoreOptions(
        seq_len=loaded.config.n_positions, tokens_per_language=tokens, bytes_per_language=text_bytes
    )
    precision = Precision(device=device, bf16=False)
    losses: dict[str, dict[str, float]] = {}
    languages = languages_to_score(corpus)
    with progress_bar("held-out loss") as progress:
        for done, language in enumerate(languages, 1):
            loss = score_language(loaded, corpus, language, end_id, options, precision)
            losses[language] = {
                **asdict(loss),
                "bits_per_byte": loss.bits_per_byte,
                "nats_per_token": loss.nats_per_token,
            }
            progress(done, len(languages))
    return losses
