"""Values of a config.json by their types. Knows no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError

# Far beyond any published model: what a configuration claims is made room for before any weight is read.
MOST, MOST_LAYERS, MOST_POSITIONS = 1 << 24, 1_000, 1 << 21


class Sizes:
    """Whole numbers above 0 by their keys; null counts as left out."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __call__(self, key: str, default: int, *, most: int = MOST) -> int:
        """The value of `key`. Raises `ConfigError`, which names it."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{key} = {value!r}: expected int")
        if value < 1:
            raise ConfigError(f"{key} = {value}: it must be at least 1")
        if value > most:
            raise ConfigError(f"{key} = {value:,}: no model has more than {most:,}")
        return value


def number(values: Mapping[str, Any], key: str, default: float) -> float:
    """The number of `key`; null counts as left out. Raises `ConfigError`, which names it."""
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key} = {value!r}: expected float")
    return float(value)


def token_ids(values: Mapping[str, Any], key: str) -> tuple[int, ...]:
    """One id, a list of them or none. Raises `ConfigError`, which names the key."""
    value = values.get(key)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise ConfigError(f"{key} = {value!r}: expected int, or a list of them")
    return tuple(ids)
