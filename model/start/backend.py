"""What computes a model here: compiled code, which starts in a third of a second, or PyTorch.

Decided without importing PyTorch, whose import alone takes longer than everything else at a start.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from model.families.config import ModelConfig
from model.native.library import native_variant
from model.native.model import takes
from model.weights.scheme import Scheme


def compiled_scheme(config: ModelConfig, *, device: str, quantize: str) -> tuple[Scheme, str] | None:
    """The scheme that compiled code shall hold a model in, and why; None: it is PyTorch's.

    A setting that is not known is PyTorch's too: there it is refused by name.
    """
    if device not in ("auto", "cpu") or quantize not in ("auto", Scheme.INT8, Scheme.INT4):
        return None
    if not takes(config) or (device == "auto" and has_nvidia_driver()):
        return None
    variant = native_variant()
    if quantize != "auto":
        return Scheme(quantize), f"{quantize} as asked, by the compiled step ({variant})"
    if variant == "plain":
        return None
    return Scheme.INT8, (
        f"int8, which the compiled step multiplies natively ({variant}), prefills too: "
        "a second copy of the weights for them would bring nothing"
    )


def has_nvidia_driver() -> bool:
    """Whether there may be a GPU to ask PyTorch about."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
