"""From a model's folder to an engine: its configuration, its tokenizer and what computes it.

Owns the order of a load and that config.json is parsed once in it. Which code computes the model is
`model.start.backend`'s choice; PyTorch is imported only where that is its.
"""

from __future__ import annotations

from pathlib import Path

from model.engine.engine import Engine, EngineOptions
from model.errors import TokenizerError
from model.local.threads import available_cpus
from model.prompt.tokenizer import Tokenizer
from model.runner.runner import Runner
from model.start.backend import compiled_scheme
from model.weights.config import CONFIG_FILE, ModelConfig


def load_engine(
    folder: Path, *, device: str = "auto", quantize: str = "auto", options: EngineOptions | None = None
) -> Engine:
    """Load the model of `folder` and its tokenizer. Raises `ModelError` with the remedy."""
    options = options or EngineOptions()
    tokenizer = Tokenizer.from_folder(folder)
    config = ModelConfig.from_file(folder / CONFIG_FILE)
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    runner = _load_runner(folder, config, device, quantize, options.threads or available_cpus())
    return Engine(runner, tokenizer, options)


def _load_runner(folder: Path, config: ModelConfig, device: str, quantize: str, threads: int) -> Runner:
    if (compiled := compiled_scheme(config, device=device, quantize=quantize)) is not None:
        from model.native.runner import NativeRunner

        scheme, reason = compiled
        return NativeRunner(folder, config, scheme, threads=threads, reason=reason)
    from model.pytorch.torch_runner import load_torch_runner  # imports PyTorch

    return load_torch_runner(folder, config, device=device, quantize=quantize, threads=threads)
