"""What PyTorch runs on: the device, the number type and the quantisation that `auto` stands for here.

Each choice comes with its reason, which `doctor` and the engine's ready line show.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.errors import ConfigError
from model.weights.scheme import Scheme


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and in which number format a model runs."""

    device: torch.device
    dtype: torch.dtype
    scheme: Scheme
    reason: str


# Without compiled code, quantising the activations costs more than int8 weights save below this.
# Measured on one thread of an AVX-512 BF16 CPU, decode / prefill of 256 tokens: 7 M parameters int8
# 1.9 / 25 ms, bf16 1.5 / 16; 36 M parameters 4.4 / 86 and 4.6 / 61.
_INT8_MIN_PARAMETERS = 50_000_000


def choose_placement(*, n_parameters: int, device: str = "auto", quantize: str = "auto") -> Placement:
    """Resolve `auto` for a model of that size. Raises `ConfigError` for a device that is not here.

    `model.start.backend.check_names` has seen both names before.
    """
    chosen = _device(device)
    dtype, dtype_reason = _dtype(chosen)
    if quantize != "auto":
        return Placement(
            device=chosen, dtype=dtype, scheme=Scheme(quantize), reason=f"{quantize} as asked; {dtype_reason}"
        )
    scheme, scheme_reason = _scheme(chosen, n_parameters)
    return Placement(device=chosen, dtype=dtype, scheme=scheme, reason=f"{scheme_reason}; {dtype_reason}")


def _device(name: str) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("device = 'cuda': this PyTorch finds no NVIDIA GPU; use auto or cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def _dtype(device: torch.device) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16, "bf16 on this GPU"
        return torch.float16, "fp16, as this GPU lacks bf16"
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return torch.bfloat16, "bf16, which this CPU multiplies natively"
    return torch.float32, "fp32, as this CPU lacks bf16 instructions"


def _scheme(device: torch.device, n_parameters: int) -> tuple[Scheme, str]:
    if device.type == "cuda":
        return Scheme.NONE, "no quantisation on a GPU"
    if n_parameters < _INT8_MIN_PARAMETERS:
        return Scheme.NONE, "no quantisation, as the model is too small to gain"
    if torch.cpu._is_vnni_supported():
        return Scheme.INT8, "int8, as decoding is bound by memory and this CPU has VNNI"
    return Scheme.NONE, "no quantisation, as this CPU lacks VNNI"
