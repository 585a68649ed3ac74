"""A recipe: everything that decides a run, as one TOML file and one frozen dataclass.

Unknown keys are errors. Knows nothing of tensors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from model.config import ModelConfig
from model.errors import ConfigError
from training.errors import RecipeError
from training.fim_samples import FimOptions


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Where documents and the tokenizer lie, and how they are mixed; the command line can name others."""

    train: str = "data/starter/train"
    held_out: str = "data/starter/held_out"
    tokenizer: str = "data/tokenizer-8k"
    weights: Mapping[str, float] = field(default_factory=lambda: {"*": 1.0})
    workers: int = 0
    # Whether attention stops at document ends. The paper's did not; it rules out flash attention.
    document_mask: bool = False


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """Muon for the hidden matrices, AdamW for embeddings, biases and norms."""

    muon_lr: float = 4e-3
    adamw_lr: float = 3e-3
    weight_decay: float = 0.1
    muon_momentum: float = 0.95
    adamw_betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.muon_lr <= 0 or self.adamw_lr <= 0:
            raise RecipeError(f"muon_lr {self.muon_lr}, adamw_lr {self.adamw_lr}: both must be above 0")


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """Warm-up, constant, linear decay to zero. Boxed by `minutes` of training or by `steps`, not both."""

    minutes: float | None = None
    steps: int | None = None
    warmup_steps: int = 100
    decay_share: float = 0.4

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise RecipeError(f"minutes = {self.minutes}, steps = {self.steps}: give exactly one of them")
        if not 0 <= self.decay_share <= 1:
            raise RecipeError(f"decay_share = {self.decay_share}: it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """From `start` (share of the run) on: samples of `seq_len`, `micro_batch` of them at a time, and
    `accumulate` micro-batches in each process for one step."""

    start: float = 0.0
    seq_len: int = 1_024
    micro_batch: int = 8
    accumulate: int = 1


@dataclass(frozen=True, kw_only=True)
class ComputeRecipe:
    """How the arithmetic is done. `processes` of `threads` each train on different samples.

    `chunk_tokens`: logits of so many tokens at a time (see `GPTBigCode.loss`), where memory is short.
    """

    device: str = "auto"
    processes: int = 1
    threads: int = 1
    bf16: bool = True
    compile: bool = False
    chunk_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class UpkeepRecipe:
    """What happens between steps. `held_out_tokens` are scored in each language, each time."""

    checkpoint_minutes: float = 3.0
    keep_checkpoints: int = 2
    eval_minutes: float = 10.0
    held_out_tokens: int = 16_384
    log_every_steps: int = 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run."""

    name: str
    model: ModelConfig
    schedule: ScheduleRecipe
    seed: int = 0
    data: DataRecipe = DataRecipe()
    fim: FimOptions = field(default_factory=FimOptions)
    optim: OptimRecipe = OptimRecipe()
    stages: tuple[StageRecipe, ...] = (StageRecipe(),)
    compute: ComputeRecipe = ComputeRecipe()
    upkeep: UpkeepRecipe = UpkeepRecipe()

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise RecipeError(
                f"stages start at {starts}: the first at 0, each later than the one before, below 1"
            )
        longest = max(stage.seq_len for stage in self.stages)
        if longest > self.model.n_positions:
            raise RecipeError(f"seq_len {longest} is beyond the model's n_positions {self.model.n_positions}")

    def stage_at(self, progress: float) -> int:
        """Index of the stage at a share of the run, 0 to 1."""
        return max(i for i, stage in enumerate(self.stages) if stage.start <= progress or i == 0)

    def trained_positions(self, stage_samples: Sequence[int]) -> int:
        """How many positions were trained when each stage has used so many samples; 0 before the first."""
        stages = zip(self.stages, stage_samples, strict=True)
        return max((stage.seq_len for stage, samples in stages if samples), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored beside checkpoints."""
        return asdict(self)


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by its bundled name (`starter`) or by the path of a TOML file.

    `overrides` replaces values by dotted key (`{"optim.muon_lr": 0.01}`). Raises RecipeError.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise RecipeError(f"there is no recipe {path}")
        text = path.read_text(encoding="utf-8")
    else:
        bundled = resources.files("training.recipes") / f"{name_or_path}.toml"
        if not bundled.is_file():
            raise RecipeError(
                f"no recipe is named {name_or_path!r}: there are {', '.join(bundled_recipes())}"
            )
        text = bundled.read_text(encoding="utf-8")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name_or_path}: {error}") from error
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    return recipe_from_dict(values)


def bundled_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("training.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """Build and check a recipe. Raises RecipeError, which names the key."""
    try:
        recipe: Recipe = _build(Recipe, values, "recipe")
        return recipe
    except ConfigError as error:
        raise RecipeError(f"model: {error}") from error


def _build(kind: type[Any], values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where} is {values!r}: expected a table")
    hints = get_type_hints(kind)
    known = {entry.name for entry in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise RecipeError(f"{where}.{unknown[0]} is not known: there are {', '.join(sorted(known))}")
    built: dict[str, Any] = {}
    for key, value in values.items():
        hint = hints[key]
        if is_dataclass(hint):
            value = _build(hint, value, f"{where}.{key}")  # type: ignore[arg-type]  # a class by `hints`
        elif key == "stages":
            value = tuple(_build(StageRecipe, stage, f"{where}.stages") for stage in value)
        elif isinstance(value, list):
            value = tuple(value)
        built[key] = value
    try:
        return kind(**built)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, key = dotted.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[key] = value
