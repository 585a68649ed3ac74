"""From a model's folder to an engine: its configuration, its tokenizer and what computes it.

Owns the order of a load and that config.json is parsed once in it. Which code computes the model is
`model.start.backend`'s choice; PyTorch is imported only where that is its.
"""

from __future__ import annotations

from pathlib import Path

from model.engine.engine import Engine, EngineOptions
from model.errors import TokenizerError
from model.extras import extra_needed
from model.families.config import ModelConfig
from model.families.registry import read_config
from model.local.threads import available_cpus
from model.prompt.tokenizer import Tokenizer
from model.runner.runner import Runner
from model.start.backend import compiled_scheme, only_with_torch


def load_engine(
    folder: Path, *, device: str = "auto", quantize: str = "auto", options: EngineOptions | None = None
) -> Engine:
    """Load the model of `folder` and its tokenizer. Raises `ModelError` with the remedy."""
    options = options or EngineOptions()
    config = read_config(folder)
    tokenizer = _tokenizer_of(folder, config)
    runner = _load_runner(folder, config, device, quantize, options.threads or available_cpus())
    return Engine(runner, tokenizer, options)


def _tokenizer_of(folder: Path, config: ModelConfig) -> Tokenizer:
    """The folder's tokenizer, checked before any weights are read."""
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    return tokenizer


def _load_runner(folder: Path, config: ModelConfig, device: str, quantize: str, threads: int) -> Runner:
    if (compiled := compiled_scheme(config, device=device, quantize=quantize)) is not None:
        from model.native.runner import NativeRunner

        scheme, reason = compiled
        return NativeRunner(folder, config, scheme, threads=threads, reason=reason)
    with extra_needed("gpu", only_with_torch(device=device, quantize=quantize)):
        from model.pytorch.torch_runner import load_torch_runner  # imports PyTorch

    return load_torch_runner(folder, config, device=device, quantize=quantize, threads=threads)
