"""The contenders by the names of the command line. Peers are imported when they are asked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.engine.contender import Contender

Maker = Callable[[Path, int, bool], Contender]
"""Of a model, threads, and whether nothing but one prompt will be computed."""


def _ours(quantize: str, *, drafts: bool = False, device: str = "cpu", graphs: str = "off") -> Maker:
    def make_ours(model: Path, threads: int, alone: bool) -> Contender:
        from benchmarks.engine.ours import Ours

        os.environ["STARCODER_GRAPHS"] = graphs
        return Ours(model, quantize=quantize, threads=threads, drafts=drafts, device=device)

    return make_ours


def _transformers(device: str) -> Maker:
    def make_transformers(model: Path, threads: int, alone: bool) -> Contender:
        import torch

        from benchmarks.engine.transformers_peer import Transformers

        return Transformers(model, dtype=torch.bfloat16, threads=threads, device=device)

    return make_transformers


def _vllm(model: Path, threads: int, alone: bool) -> Contender:
    from benchmarks.engine.vllm_peer import VLLM

    return VLLM(model)


def _ctranslate2(model: Path, threads: int, alone: bool) -> Contender:
    from benchmarks.engine.ctranslate2_peer import CTranslate2

    return CTranslate2(model, threads=threads)


def _llama_cpp(quantization: str | None, *, suffix_first: bool = False) -> Maker:
    def make_llama(model: Path, threads: int, alone: bool) -> Contender:
        from benchmarks.engine.llama_cpp_peer import LlamaCpp

        return LlamaCpp(
            model, quantization=quantization, threads=threads, suffix_first=suffix_first, alone=alone
        )

    return make_llama


CONTENDERS: dict[str, Maker] = {
    "ours-int8": _ours("int8"),
    "ours-int4": _ours("int4"),
    "ours-bf16": _ours("none"),
    "ours-drafts": _ours("auto", drafts=True),
    "transformers": _transformers("cpu"),
    "ctranslate2": _ctranslate2,
    "llama-q8": _llama_cpp("Q8_0"),
    "llama-q4": _llama_cpp("Q4_0"),
    "llama-q8-spm": _llama_cpp("Q8_0", suffix_first=True),
}
GGUF_CONTENDERS: dict[str, Maker] = {
    "ours-int8": _ours("int8"),
    "ours-int4": _ours("int4"),
    "transformers": _transformers("cpu"),
    "llama": _llama_cpp(None),
    "llama-q8": _llama_cpp("Q8_0"),
}
GPU_CONTENDERS: dict[str, Maker] = {
    "ours-bf16": _ours("none", device="cuda"),
    "ours-graphs": _ours("none", device="cuda", graphs="on"),
    "ours-compiled": _ours("none", device="cuda", graphs="compiled"),
    "transformers": _transformers("cuda"),
    "vllm": _vllm,
}
_MODULES = {
    "ctranslate2": "ctranslate2",
    "llama": "llama_cpp",
    "transformers": "transformers",
    "vllm": "vllm",
}


def missing(name: str) -> str | None:
    """The package that has to be installed for this contender."""
    module = _MODULES.get(name.split("-")[0])
    return module if module and importlib.util.find_spec(module) is None else None


def contenders_for(device: str, model: Path) -> dict[str, Maker]:
    """Those that run a model on `cpu` or on `cuda`."""
    if model.is_file():
        return GGUF_CONTENDERS
    return GPU_CONTENDERS if device == "cuda" else CONTENDERS


def make(name: str, model: Path, *, threads: int, device: str = "cpu", alone: bool = False) -> Contender:
    """Load the contender of that name."""
    return contenders_for(device, model)[name](model, threads, alone)
