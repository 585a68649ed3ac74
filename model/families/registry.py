"""Which families there are, and which one a config.json is of.

Reads the file and chooses by its `model_type`; what the keys mean is the family's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import ConfigError, served_elsewhere
from model.families.config import CONFIG_FILE, Family, ModelConfig
from model.families.gemma import GEMMA
from model.families.gpt_bigcode import GPT_BIGCODE
from model.families.granite import GRANITE
from model.families.llama import LLAMA_FAMILIES
from model.families.smollm3 import SMOLLM3
from model.families.starcoder2 import STARCODER2
from model.local.small_files import read_json_object

_ALL: tuple[Family, ...] = (GPT_BIGCODE, STARCODER2, *LLAMA_FAMILIES, SMOLLM3, GEMMA, GRANITE)
FAMILIES: Mapping[str, Family] = {family.model_type: family for family in _ALL}
# What is trained from nothing where nobody says otherwise.
OWN_FAMILY: Family = GPT_BIGCODE


def read_config(folder: Path) -> ModelConfig:
    """The description of the model in `folder`. Raises `ConfigError`, which names the file."""
    path = folder / CONFIG_FILE
    try:
        values = read_json_object(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path} does not exist: is {folder} a model folder?") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not valid JSON ({error})") from error
    try:
        return config_of(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def config_of(values: Any) -> ModelConfig:
    """The description in a config.json's object. Raises `ConfigError`."""
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration is {type(values).__name__}, not an object")
    model_type = values.get("model_type")
    if model_type == "gpt2" and values.get("attention_head_type") == "multiquery":
        raise ConfigError(
            "this is SantaCoder as it was first published, with code of its own and matrices on their side; "
            "bigcode/gpt_bigcode-santacoder has the same weights as they are loaded here"
        )
    return family_of(model_type).read(values)


def family_of(model_type: object) -> Family:
    """The family of that `model_type`. Raises `ConfigError` with the remedy for one that is not here."""
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        known = ", ".join(f"{name!r} ({one.known_models})" for name, one in FAMILIES.items())
        raise ConfigError(f"model_type is {model_type!r}; only {known} are loaded here. {served_elsewhere()}")
    return family
