"""From a model's folder to an engine: its header, and what computes it.

Owns the order of a load. Which code computes the model is `model.start.backend`'s choice; PyTorch is
imported only where that is its.
"""

from __future__ import annotations

from model.engine.engine import Engine, EngineOptions
from model.extras import extra_needed
from model.gguf.files import Gguf
from model.local.threads import available_cpus
from model.runner.runner import Runner
from model.start.backend import compiled_scheme, only_with_torch
from model.start.header import Header, read_header
from model.weights.opening import ModelFiles


def load_engine(
    model: ModelFiles | Header,
    *,
    device: str = "auto",
    quantize: str = "auto",
    options: EngineOptions | None = None,
) -> Engine:
    """Load a model and its tokenizer from a folder, or from a GGUF file, which may be open; or go on from
    the header of one.

    Raises `ModelError` with the remedy.
    """
    options = options or EngineOptions()
    header = model if isinstance(model, Header) else read_header(model)
    runner = _load_runner(header, device, quantize, options.threads or available_cpus())
    return Engine(runner, header.tokenizer, options)


def _load_runner(header: Header, device: str, quantize: str, threads: int) -> Runner:
    files, config = header.files, header.config
    compiled = compiled_scheme(files, config, device=device, quantize=quantize)
    if compiled is not None:
        from model.native.runner import NativeRunner

        scheme, reason = compiled
        return NativeRunner(header.weights, config, scheme, threads=threads, reason=reason)
    assert not isinstance(files, Gguf), "compiled code alone computes those"
    with extra_needed("gpu", only_with_torch(device=device, quantize=quantize)):
        from model.pytorch.torch_runner import load_torch_runner  # imports PyTorch

    return load_torch_runner(files, config, device=device, quantize=quantize, threads=threads)
