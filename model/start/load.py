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
from model.gguf.files import Gguf
from model.local.threads import available_cpus
from model.prompt.gguf_tokenizer import gguf_tokenizer
from model.prompt.tokenizer import Tokenizer
from model.runner.runner import Runner
from model.start.backend import compiled_scheme, only_with_torch
from model.weights.opening import ModelFiles, describe, open_files, open_weights


def load_engine(
    files: ModelFiles,
    *,
    device: str = "auto",
    quantize: str = "auto",
    options: EngineOptions | None = None,
) -> Engine:
    """Load a model and its tokenizer from a folder, or from a GGUF file, which may be open.

    Raises `ModelError` with the remedy.
    """
    options = options or EngineOptions()
    files = files if isinstance(files, Gguf) else open_files(files)
    config, tokenizer = describe(files), _tokenizer(files)
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"{_path(files)}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    runner = _load_runner(files, config, device, quantize, options.threads or available_cpus())
    return Engine(runner, tokenizer, options)


def _path(files: ModelFiles) -> Path:
    return files.path if isinstance(files, Gguf) else files


def _tokenizer(files: ModelFiles) -> Tokenizer:
    return gguf_tokenizer(files.metadata) if isinstance(files, Gguf) else Tokenizer.from_folder(files)


def _load_runner(files: ModelFiles, config: ModelConfig, device: str, quantize: str, threads: int) -> Runner:
    if isinstance(files, Gguf) and device == "auto":
        device = "cpu"  # what computes on a GPU reads no such file
    if (compiled := compiled_scheme(config, device=device, quantize=quantize)) is not None:
        from model.native.runner import NativeRunner

        scheme, reason = compiled
        return NativeRunner(open_weights(files, config), config, scheme, threads=threads, reason=reason)
    if isinstance(files, Gguf):
        raise ConfigError(
            f"{files.path}: a GGUF file is computed by the compiled step alone, which does not do "
            f"{only_with_torch(device=device, quantize=quantize)}. {served_elsewhere(files.path)}"
        )
    with extra_needed("gpu", only_with_torch(device=device, quantize=quantize)):
        from model.pytorch.torch_runner import load_torch_runner  # imports PyTorch

    return load_torch_runner(files, config, device=device, quantize=quantize, threads=threads)
