"""What a model lies in, a folder of safetensors or a GGUF file: its description and its weights."""

from __future__ import annotations

from pathlib import Path

from model.families.config import ModelConfig
from model.families.gguf import read_gguf
from model.families.registry import read_config
from model.gguf.files import Gguf
from model.weights.gguf_weights import GgufWeights
from model.weights.weight_files import WeightFiles, Weights


def describe(path: Path) -> ModelConfig:
    """The description of the model of a folder or a file. Raises `ModelError`."""
    return read_gguf(Gguf(path)) if path.is_file() else read_config(path)


def open_weights(path: Path, config: ModelConfig) -> Weights:
    """The weights of a folder or a file. Raises `CheckpointError`."""
    return GgufWeights(path, config) if path.is_file() else WeightFiles(path, config.family)
