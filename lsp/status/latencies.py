"""How soon each model has answered on this machine: medians, kept from one editor window to the next.

Owns one small file in the user's state folder. Nothing else is in it, and it goes nowhere. Knows no book.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lsp.status.telemetry import Quantiles

_LEAST_ANSWERS = 5  # the first ones wait for the engine's start
_MAX_BYTES = 1 << 16


def measured_ms(folder: Path | None = None) -> dict[str, float]:
    """The medians by model, from a key to the first text, in milliseconds; what cannot be read is none."""
    file = _file(folder)
    try:
        values = json.loads(file.read_bytes()) if file.stat().st_size <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return _numbers(values) if isinstance(values, dict) else {}


def remember(found: Mapping[str, Quantiles], folder: Path | None = None) -> dict[str, float]:
    """Put newer medians in the place of older ones, where there are enough answers; returns all."""
    new = {model: each.p50_ms for model, each in found.items() if model and each.count >= _LEAST_ANSWERS}
    known = measured_ms(folder)
    if not new or new.items() <= known.items():
        return known
    told = known | new
    file = _file(folder)
    with suppress(OSError):  # a full or read-only disk: the figures are lost, and nothing else
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(told, out, indent=1)
        os.replace(name, file)
    return told


def _file(folder: Path | None) -> Path:
    from model.local.user_folders import state_folder

    return (folder or state_folder()) / "latencies.json"


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value) for name, value in values.items() if isinstance(value, int | float) and value > 0
    }
