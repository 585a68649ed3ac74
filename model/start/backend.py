"""What computes a model here: compiled code, which starts in a third of a second, or PyTorch.

Decided without importing PyTorch, whose import alone takes longer than everything else at a start, and
which need not be installed: then compiled code does what it can.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from model.errors import ConfigError, served_elsewhere
from model.extras import has_torch
from model.families.config import ModelConfig
from model.gguf.files import Gguf
from model.native.library import VARIANT_VARIABLE, built_variants, native_variant
from model.native.model import takes
from model.weights.opening import ModelFiles
from model.weights.scheme import Scheme

# The compiled code that every CPU can run, several times slower than the others.
_SLOW_VARIANT = "plain"


def check_names(*, device: str, quantize: str) -> None:
    """Raise `ConfigError` for a setting that is not known."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device = {device!r}: expected auto, cpu or cuda")
    if quantize not in ("auto", Scheme.NONE, Scheme.INT8, Scheme.INT4):
        raise ConfigError(f"quantize = {quantize!r}: expected auto, none, int8 or int4")


def compiled_scheme(
    files: ModelFiles, config: ModelConfig, *, device: str, quantize: str
) -> tuple[Scheme, str] | None:
    """The scheme in which compiled code holds a model, and why; None where PyTorch computes it.

    Raises `ConfigError` for a setting that is not known, and for a GGUF file that needs PyTorch.
    """
    check_names(device=device, quantize=quantize)
    if not isinstance(files, Gguf):
        return _compiled(config, device=device, quantize=quantize, has_other=has_torch(), is_gguf=False)
    device = "cpu" if device == "auto" else device  # what computes on a GPU reads no such file
    compiled = _compiled(config, device=device, quantize=quantize, has_other=False, is_gguf=True)
    if compiled is None:
        raise ConfigError(
            f"{files.path}: a GGUF file is computed by the compiled step alone, which does not do "
            f"{only_with_torch(device=device, quantize=quantize)}. {served_elsewhere(files.path)}"
        )
    return compiled


def _compiled(
    config: ModelConfig, *, device: str, quantize: str, has_other: bool, is_gguf: bool
) -> tuple[Scheme, str] | None:
    """The same; `has_other` if something else could compute the model too, and may be quicker."""
    if device == "cuda" or quantize == Scheme.NONE or not takes(config):
        return None
    if device == "auto" and has_nvidia_driver() and has_other:
        return None
    variant = native_variant()
    if quantize != "auto":
        return Scheme(quantize), f"{quantize} as asked, by the compiled step ({variant})"
    if is_gguf:
        return Scheme.FILE, f"the file's own codes, or int8, by the compiled step ({variant})"
    if variant == _SLOW_VARIANT:
        if has_other:
            return None
        return Scheme.INT8, f"int8, by the compiled step for any CPU ({variant}), which is slow"
    return Scheme.INT8, (
        f"int8, which the compiled step multiplies natively ({variant}), prefills too: "
        "a second copy of the weights for them would bring nothing"
    )


def only_with_torch(*, device: str, quantize: str) -> str:
    """What compiled code cannot do for a model that `compiled_scheme` leaves to PyTorch."""
    if device == "cuda":
        return "device = 'cuda'"
    if quantize == Scheme.NONE:
        return "quantize = 'none'"
    if native_variant() is None:
        return f"an engine without compiled code ({_why_none_runs()})"
    return (
        "a model that compiled code does not take (heads of a multiple of 16 channels, of 32 where they are "
        "rotated, and widths of a multiple of 64 are what it takes; of GPTBigCode multi-query attention)"
    )


def _why_none_runs() -> str:
    if os.environ.get(VARIANT_VARIABLE) == "off":
        return f"{VARIANT_VARIABLE}=off"
    if built_variants():
        return "what was built cannot be loaded here"
    return "none was built: a C++ compiler is needed for it"


def gain_by_torch(*, device: str) -> str | None:
    """What PyTorch would bring to a model that compiled code runs now; None: nothing, or it is here."""
    if has_torch():
        return None
    if device == "auto" and has_nvidia_driver():
        return "there is an NVIDIA GPU, which computes with PyTorch"
    if native_variant() == _SLOW_VARIANT:
        return "this CPU may be quicker with PyTorch"
    return None


def has_nvidia_driver() -> bool:
    """Whether there may be a GPU to ask PyTorch about."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
