"""What `starcoder-lsp doctor` says about the device: compiled code or PyTorch, and which would be quicker.

PyTorch is imported only where it is what computes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lsp.cli.checks import Check, Verdict
from model.errors import ModelError
from model.extras import has_torch, install_command
from model.start.backend import (
    check_names,
    compiled_scheme,
    gain_by_torch,
    has_nvidia_driver,
    only_with_torch,
)

if TYPE_CHECKING:
    from lsp.settings.settings import EngineSettings, Settings
    from model.families.config import ModelConfig
    from model.start.header import Header


def check_device(settings: Settings, model: Header | None) -> Check:
    """Where the local engine computes its model, in which number format, and why."""
    if settings.engine.url is not None:
        return Check(name="device", verdict=Verdict.GOOD, finding="that of the server at engine.url")
    try:
        return _check_local_device(settings.engine, model)
    except ModelError as error:
        return Check(name="device", verdict=Verdict.PROBLEM, finding=str(error), remedy="see engine.device")


def _check_local_device(asked: EngineSettings, model: Header | None) -> Check:
    """Raises `ModelError` for settings that cannot be met."""
    check_names(device=asked.device, quantize=asked.quantize)
    cpus = f"{os.cpu_count()} CPUs"
    if model is not None:
        compiled = compiled_scheme(model.files, model.config, device=asked.device, quantize=asked.quantize)
        if compiled is not None:
            return _check_compiled(asked, f"{cpus}: {compiled[1]}")
    if has_torch():
        return _check_torch(asked, None if model is None else model.config)
    if model is None and asked.device != "cuda":
        return Check(name="device", verdict=Verdict.GOOD, finding=cpus)
    lacking = only_with_torch(device=asked.device, quantize=asked.quantize)
    finding = f"{lacking} needs torch, which is not installed"
    return Check(name="device", verdict=Verdict.PROBLEM, finding=finding, remedy=install_command("gpu"))


def _check_compiled(asked: EngineSettings, finding: str) -> Check:
    """Well, unless PyTorch, which is not here, would be quicker."""
    gain = gain_by_torch(device=asked.device)
    if gain is None:
        return Check(name="device", verdict=Verdict.GOOD, finding=finding)
    remedy = f"{gain}: {install_command('gpu')}"
    return Check(name="device", verdict=Verdict.NOTE, finding=finding, remedy=remedy)


def _check_torch(asked: EngineSettings, config: ModelConfig | None) -> Check:
    """What PyTorch computes on. Raises `ModelError` for a device that is not here."""
    try:
        import torch

        from model.pytorch.device import choose_placement
    except ImportError as error:
        finding, remedy = f"PyTorch cannot be imported ({error})", "install torch anew"
        return Check(name="device", verdict=Verdict.PROBLEM, finding=finding, remedy=remedy)
    n_parameters = config.n_parameters if config is not None else 0
    placement = choose_placement(n_parameters=n_parameters, device=asked.device, quantize=asked.quantize)
    if placement.device.type == "cuda":
        where = torch.cuda.get_device_name(placement.device)
    else:
        where = f"{os.cpu_count()} CPUs ({torch.backends.cpu.get_cpu_capability()})"
    finding = f"{where}: {placement.reason}" if config is not None else where
    if torch.version.cuda is None and has_nvidia_driver():
        remedy = "there is an NVIDIA GPU, but this PyTorch is the CPU build: install one with CUDA"
        return Check(name="device", verdict=Verdict.NOTE, finding=finding, remedy=remedy)
    return Check(name="device", verdict=Verdict.GOOD, finding=finding)
