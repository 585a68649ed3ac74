"""A corpus of a few documents and a recipe of a few thousand parameters, both real."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.encoding import ByteEncoding
from training.data.packing import PackedCorpus, PackOptions, pack
from training.loop.pretrain import RunPaths
from training.recipe.recipe import Recipe, recipe_from_dict

LANGUAGES = ("Python", "JavaScript", "C")


def document(number: int, language: str = "Python", text: str | None = None) -> dict[str, str]:
    """One record as the corpus has it."""
    if text is None:
        words = np.random.default_rng(number).integers(0, 40, size=30 + number % 50)
        text = f"def function_{number}():\n" + "".join(f"    value_{word} = {word}\n" for word in words)
    return {
        "repository": f"owner/project-{number}",
        "path": f"src/file_{number}.py",
        "language": language,
        "license": "MIT",
        "package": f"project-{number}==1.0",
        "text": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def write_documents(folder: Path, records: Sequence[dict[str, str]], files: int = 1) -> Path:
    """The records as JSON lines, spread over `files` files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(files):
        lines = [json.dumps(record) + "\n" for record in records[i::files]]
        (folder / f"documents-{i:05d}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def packed(folder: Path, records: Sequence[dict[str, str]], *, tag_rate: float = 0.2) -> PackedCorpus:
    """The records packed as bytes."""
    source = write_documents(folder / "documents", records)
    pack(source, folder / "packed", None, PackOptions(tag_rate=tag_rate))
    return PackedCorpus(folder / "packed", tokenizer=None)


def run_paths(folder: Path) -> RunPaths:
    """A packed corpus of 90 documents, and a run folder that does not exist yet."""
    for split, numbers in (("train", range(40)), ("held_out", range(100, 150))):
        records = [document(number, LANGUAGES[number % 2]) for number in numbers]
        packed(folder / split, records)
    return RunPaths(
        run=folder / "run",
        packed_train=folder / "train" / "packed",
        packed_held_out=folder / "held_out" / "packed",
        tokenizer=None,
    )


class UnsteadyClock:
    """A `time` whose every reading is some hundredths of a second after the one before, by chance."""

    MOST_S = 0.06

    def __init__(self, seed: int) -> None:
        self._now, self._chance = 0.0, np.random.default_rng(seed)

    def monotonic(self) -> float:
        self._now += self._chance.uniform(0.01, self.MOST_S)
        return self._now


def recipe(steps: int = 12, **tables: Any) -> Recipe:
    """Two layers of 32, 64 positions; `tables` replaces whole tables of the recipe."""
    values: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "vocab_size": ByteEncoding().vocab_size,
            "n_positions": 64,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 2,
        },
        "schedule": {"steps": steps, "warmup_steps": 2},
        "stages": [{"seq_len": 64, "micro_batch": 4}],
        "compute": {"device": "cpu", "bf16": False},
        "upkeep": {"checkpoint_minutes": 60, "held_out_tokens": 512},
    }
    return recipe_from_dict({**values, **tables})
