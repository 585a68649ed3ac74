"""What a model lies in, a folder of safetensors or a GGUF file: its description and its weights."""

from __future__ import annotations

from pathlib import Path

from model.families.config import ModelConfig
from model.families.gguf import read_gguf
from model.families.registry import read_config
from model.gguf.files import Gguf
from model.weights.gguf_weights import GgufWeights
from model.weights.weight_files import WeightFiles, Weights

ModelFiles = Path | Gguf
"""A folder, or a file that is open: walking over its vocabulary takes a tenth of a second."""


def open_files(path: Path) -> ModelFiles:
    """Open `path` if it is a file. Raises `CheckpointError`."""
    return Gguf(path) if path.is_file() else path


def describe(files: ModelFiles) -> ModelConfig:
    """The description of a model. Raises `ModelError`."""
    return read_gguf(files) if isinstance(files, Gguf) else read_config(files)


def open_weights(files: ModelFiles, config: ModelConfig) -> Weights:
    """The weights of a model. Raises `CheckpointError`."""
    return GgufWeights(files, config) if isinstance(files, Gguf) else WeightFiles(files, config)
