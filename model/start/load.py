"""From a model's folder to an engine: its configuration, its tokenizer and what computes it.

Owns the order of a load and that config.json is parsed once in it. Which code computes the model is
`model.start.backend`'s choice; PyTorch is imported only where that is its.
"""

from __future__ import annotations

from pathlib import Path

from model.engine.engine import Engine, EngineOptions
from model.errors import ConfigError, TokenizerError, served_elsewhere
from model.extras import extra_needed
from model.families.config import ModelConfig
from model.families.gguf import read_gguf
from model.families.registry import read_config
from model.gguf.files import Gguf
from model.local.threads import available_cpus
from model.prompt.gguf_tokenizer import gguf_tokenizer
from model.prompt.tokenizer import Tokenizer
from model.runner.runner import Runner
from model.start.backend import compiled_scheme, only_with_torch


def load_engine(
    folder: Path, *, device: str = "auto", quantize: str = "auto", options: EngineOptions | None = None
) -> Engine:
    """Load the model and the tokenizer of `folder`, or of a GGUF file.

    Raises `ModelError` with the remedy.
    """
    options = options or EngineOptions()
    config, tokenizer = _read_gguf(folder) if folder.is_file() else _read_folder(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    runner = _load_runner(folder, config, device, quantize, options.threads or available_cpus())
    return Engine(runner, tokenizer, options)


def _read_folder(folder: Path) -> tuple[ModelConfig, Tokenizer]:
    return read_config(folder), Tokenizer.from_folder(folder)


def _read_gguf(path: Path) -> tuple[ModelConfig, Tokenizer]:
    file = Gguf(path)
    return read_gguf(file), gguf_tokenizer(file.metadata)


def _load_runner(folder: Path, config: ModelConfig, device: str, quantize: str, threads: int) -> Runner:
    if folder.is_file() and device == "auto":
        device = "cpu"  # what computes on a GPU reads no such file
    if (compiled := compiled_scheme(config, device=device, quantize=quantize)) is not None:
        from model.native.runner import NativeRunner

        scheme, reason = compiled
        return NativeRunner(folder, config, scheme, threads=threads, reason=reason)
    if folder.is_file():
        raise ConfigError(
            f"{folder}: a GGUF file is computed by the compiled step alone, which does not do "
            f"{only_with_torch(device=device, quantize=quantize)}. {served_elsewhere(folder)}"
        )
    with extra_needed("gpu", only_with_torch(device=device, quantize=quantize)):
        from model.pytorch.torch_runner import load_torch_runner  # imports PyTorch

    return load_torch_runner(folder, config, device=device, quantize=quantize, threads=threads)
