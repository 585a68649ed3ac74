"""The models that are compared: ours, a folder, or a published shape with random weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs

from model.families.config import CONFIG_FILE, ModelConfig
from model.families.registry import OWN_FAMILY
from model.weights.hub import resolve

# starcoderbase-1b's shape. Random weights take as long as trained ones.
SHAPES = {
    "1b": OWN_FAMILY.read({"n_embd": 2048, "n_layer": 24, "n_head": 16}),
    # starcoderbase's own: a GPU's.
    "15b": OWN_FAMILY.read({"n_embd": 6144, "n_layer": 40, "n_head": 48}),
    "small": OWN_FAMILY.read(
        {"vocab_size": 16384, "n_positions": 4096, "n_embd": 512, "n_layer": 8, "n_head": 8}
    ),
}


def model_folder(name: str, *, weights: bool = True) -> Path:
    """Where the model called `name` lies; a shape is written to the user's cache once.

    Of a shape `weights=False` writes the configuration and a tokenizer alone: contenders on a GPU fill
    its memory themselves, 31 GB of random numbers need not pass through a disk.
    """
    if name not in SHAPES:
        return resolve(name).folder
    folder = _cache() / (name if weights else f"{name}-shape")
    if not (folder / CONFIG_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_bytes((resolve("starter").folder / "tokenizer.json").read_bytes())
        if weights:
            _write_random(folder, SHAPES[name])
        else:
            config = SHAPES[name]
            text = json.dumps(config.family.write(config), indent=2)
            (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    return folder


def has_weights(model: Path) -> bool:
    """Whether a model is more than a shape: a GGUF file, or a folder with tensors."""
    return model.is_file() or any(model.glob("*.safetensors"))


def converted(model: Path, name: str, write: Callable[[Path], object]) -> Path:
    """A model in a peer's format, made once: no peer pays for it when it starts."""
    weights = [model] if model.is_file() else sorted(model.glob("*.safetensors"))
    state = repr([(str(each.resolve()), each.stat().st_mtime_ns) for each in weights])
    path = _cache() / "converted" / hashlib.sha256(state.encode()).hexdigest()[:16] / name
    if not path.exists():
        unfinished = path.with_name(f"{name}.part")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        write(unfinished)
        unfinished.rename(path)
    return path


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("starcoder-lsp")) / "benchmarks"


def _write_random(folder: Path, config: ModelConfig) -> None:
    import torch  # not above: engines that start without PyTorch are timed with this module loaded

    from model.pytorch.checkpoint import save_checkpoint

    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02, generator=generator)
        for name, shape in config.family.shapes(config).items()
    }
    for name in state:
        if state[name].dim() == 1 and name.endswith("weight"):
            state[name].fill_(1)  # a norm's
    save_checkpoint(folder, config, state)
