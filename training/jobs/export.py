"""A checkpoint of a run as a model folder that the engine and transformers load.

Positions that were never trained are cut off, so that the shipped context is one the model knows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.families.config import CONFIG_FILE, Family, ModelConfig
from model.local.own_folder import first_not_of
from model.prompt.tokenizer import Tokenizer
from model.pytorch.checkpoint import dense_state, save_checkpoint
from model.pytorch.quantize import Scheme
from model.weights.hub import resolve
from model.weights.weight_files import INDEX_FILE, SINGLE_FILE
from training.compute.lora import merged
from training.data.tokenizer import TOKENIZER_FILE
from training.errors import TrainingError
from training.jobs.portrait import PORTRAIT_FILE
from training.loop.checkpointing import Checkpoint, checkpoints, load_checkpoint
from training.loop.pretrain import PICTURE_FILE
from training.recipe.recipe import Recipe, recipe_from_dict

MAX_SHARD_BYTES = 16 * 10**6  # no file of the repository is larger
TOKENIZER_CONFIG_FILE, TEMPLATE_FILE = "tokenizer_config.json", "chat_template.jinja"
CARD_FILE, PICTURES_FOLDER = "README.md", "datasheet"
CORPUS_FILES = ("LICENSES.txt", "documents.jsonl.gz", "corpus.json", "DATASHEET.md")
# All that a model's folder holds, as it is exported or published, and its one folder.
_NAMES: Mapping[str, Sequence[str]] = dict.fromkeys(
    (
        *(CONFIG_FILE, SINGLE_FILE, INDEX_FILE, "model-*.safetensors", TOKENIZER_FILE, TOKENIZER_CONFIG_FILE),
        *(TEMPLATE_FILE, CARD_FILE, *CORPUS_FILES, PORTRAIT_FILE, PICTURE_FILE),
    ),
    (),
) | {PICTURES_FOLDER: ("*.png",)}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export was made of."""

    config: ModelConfig
    checkpoint: Checkpoint
    recipe: Recipe
    scheme: Scheme = Scheme.NONE


def scheme_of(number_format: str) -> Scheme:
    """How weights are written: bf16, or int8 by row. Raises TrainingError."""
    schemes = {"bf16": Scheme.NONE, "int8": Scheme.INT8}
    if number_format not in schemes:
        raise TrainingError(f"quantize = {number_format!r}: expected {' or '.join(schemes)}")
    return schemes[number_format]


def newest_checkpoint(run: Path) -> Checkpoint:
    """The last complete checkpoint of a run folder. Raises TrainingError when there is none."""
    found = checkpoints(run / "checkpoints")
    if not found:
        raise TrainingError(f"{run} holds no checkpoint: train first")
    return load_checkpoint(found[-1])


def export_checkpoint(
    checkpoint: Checkpoint,
    target: Path,
    tokenizer: Path,
    scheme: Scheme = Scheme.NONE,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Exported:
    """Write config.json, weights (bf16, or int8 by row) and the tokenizer's files into `target`.

    Adapters are merged into their base, which must still be where the recipe says.
    """
    recipe = recipe_from_dict(checkpoint.recipe)
    vocabulary = Tokenizer.from_folder(tokenizer).vocab_size
    if vocabulary > recipe.model.vocab_size:
        raise TrainingError(f"{tokenizer} has {vocabulary} tokens, the model {recipe.model.vocab_size}")
    n_positions = recipe.trained_positions(checkpoint.state.stage_samples)
    if not n_positions:
        raise TrainingError("the checkpoint is from before the first step: train first")
    config = replace(recipe.model, n_positions=n_positions)
    positions = config.family.position_embedding
    state = {
        name: (tensor[:n_positions] if name == positions else tensor).to(torch.bfloat16)
        for name, tensor in _weights(checkpoint, recipe)
    }
    save_checkpoint(target, config, state, scheme=scheme, max_shard_bytes=max_shard_bytes)
    write_tokenizer(tokenizer, target, config)
    return Exported(config=config, checkpoint=checkpoint, recipe=recipe, scheme=scheme)


def check_target(target: Path) -> None:
    """Raise TrainingError if a folder that is to become a model holds anything that no model's has."""
    if (foreign := first_not_of(target, _NAMES, mark=CONFIG_FILE)) is not None:
        raise TrainingError(
            f"{target} holds {foreign.relative_to(target)} and is no model: name another folder"
        )


def write_tokenizer(source: Path, target: Path, model: ModelConfig) -> None:
    """tokenizer.json, a chat template if there is one, and the tokenizer_config.json by which transformers
    and what builds on it (lm-evaluation-harness, vLLM) know the end of a text and the model's length.
    """
    for name in (TOKENIZER_FILE, TEMPLATE_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    known = source / TOKENIZER_CONFIG_FILE
    config = (
        json.loads(known.read_text(encoding="utf-8")) if known.is_file() else _tokenizer_config(model.family)
    )
    text = json.dumps({**config, "model_max_length": model.n_positions}, indent=2, ensure_ascii=False)
    (target / TOKENIZER_CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _tokenizer_config(family: Family) -> dict[str, Any]:
    """As published ones have it, but of the class that takes tokenizer.json as it is: no other splits
    digits."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "bos_token": family.end_of_text,
        "eos_token": family.end_of_text,
        "unk_token": family.end_of_text,
        "additional_special_tokens": list(family.special_tokens),
    }


def _weights(checkpoint: Checkpoint, recipe: Recipe) -> Iterable[tuple[str, Tensor]]:
    if recipe.base is None or recipe.lora is None:
        return checkpoint.model.items()
    return merged(dense_state(resolve(recipe.base).folder).items(), checkpoint.model, recipe.lora)
