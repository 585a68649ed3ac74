"""A recipe: everything that decides a run, as one TOML file and one frozen dataclass.

Unknown keys are errors. Knows nothing of tensors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

from model.errors import ConfigError
from model.families.config import ModelConfig, Positions
from model.families.registry import OWN_FAMILY, family_of
from training.data.fim_samples import FimOptions
from training.errors import RecipeError
from training.recipe.tables import (
    ComputeRecipe,
    DataRecipe,
    LoraRecipe,
    OptimRecipe,
    ScheduleRecipe,
    StageRecipe,
    UpkeepRecipe,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. With a `base` (a model's name or folder) it is a fine-tuning of that model,
    of all its weights or, with `lora`, of adapters; `model` is then the base's shape."""

    name: str
    schedule: ScheduleRecipe
    model: ModelConfig = field(default_factory=lambda: OWN_FAMILY.read({}))
    base: str | None = None
    lora: LoraRecipe | None = None
    seed: int = 0
    data: DataRecipe = field(default_factory=DataRecipe)
    fim: FimOptions = field(default_factory=FimOptions)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    stages: tuple[StageRecipe, ...] = field(default_factory=lambda: (StageRecipe(),))
    compute: ComputeRecipe = field(default_factory=ComputeRecipe)
    upkeep: UpkeepRecipe = field(default_factory=UpkeepRecipe)

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise RecipeError(
                f"stages start at {starts}: the first at 0, each later than the one before, below 1"
            )
        if self.model.positions is not Positions.LEARNED:
            raise RecipeError(
                f"model: {self.model.family.name} models are served here, not trained: "
                f"take {OWN_FAMILY.name} ({OWN_FAMILY.known_models})"
            )
        longest = max(stage.seq_len for stage in self.stages)
        if longest > self.model.n_positions:
            raise RecipeError(f"seq_len {longest} is beyond the model's n_positions {self.model.n_positions}")
        if self.lora is not None and self.base is None:
            raise RecipeError("lora without a base: adapters need a trained model, name it as `base`")
        if self.lora is not None and self.optim.kind != "adamw":
            raise RecipeError("lora with optim.kind = 'muon': adapters are trained with kind = 'adamw'")

    def stage_at(self, progress: float) -> int:
        """Index of the stage at a share of the run, 0 to 1."""
        return max(i for i, stage in enumerate(self.stages) if stage.start <= progress or i == 0)

    def trained_positions(self, stage_samples: Sequence[int]) -> int:
        """How many positions are trained when each stage has used so many samples; 0 before the first
        of a run from nothing."""
        if self.base is not None:
            return self.model.n_positions
        stages = zip(self.stages, stage_samples, strict=True)
        return max((stage.seq_len for stage, samples in stages if samples), default=0)

    @property
    def dropout(self) -> bool:
        """Whether a step draws random numbers besides those of its samples."""
        return self.model.dropout.any or (self.lora is not None and self.lora.dropout > 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored beside checkpoints."""
        family = self.model.family
        model = {"model_type": family.model_type, **family.keys(self.model)}
        return asdict(self) | {"model": model}


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by its bundled name (`starter`) or by the path of a TOML file.

    `overrides` replaces values by dotted key (`{"optim.muon_lr": 0.01}`). Raises RecipeError.
    """
    values = _read(name_or_path)
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    return recipe_from_dict(values)


def _read(name_or_path: str) -> dict[str, Any]:
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
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name_or_path}: {error}") from error


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
        table = _table_of(hints[key])
        if key == "model":
            value = _model(value, f"{where}.{key}")
        elif key == "stages":
            value = tuple(_build(StageRecipe, stage, f"{where}.stages") for stage in value)
        elif table is not None and value is not None:
            value = _build(table, value, f"{where}.{key}")
        elif isinstance(value, list):
            value = tuple(value)
        built[key] = value
    try:
        return kind(**built)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _model(values: Any, where: str) -> ModelConfig:
    """The table of the model: keys of its family's config.json, and `model_type` unless it is our own."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where} is {values!r}: expected a table")
    family = family_of(values.get("model_type", OWN_FAMILY.model_type))
    known = {"model_type", *family.keys(family.read({}))}
    if unknown := sorted(set(values) - known):
        raise RecipeError(f"{where}.{unknown[0]} is not known: there are {', '.join(sorted(known))}")
    return family.read(values)


def _table_of(hint: Any) -> type[Any] | None:
    """The dataclass that a key takes, `X` or `X | None`."""
    return next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), None)  # type: ignore[return-value]  # a class, by the hints


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, key = dotted.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[key] = value
