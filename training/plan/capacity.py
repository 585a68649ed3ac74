"""Whether this machine can make a run at all: memory and time, estimated before anything is loaded."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

from training.compute.precision import Precision, flops_per_token, peak_flops
from training.errors import RecipeError
from training.plan.plan import Memory, count_parameters, memory_of
from training.recipe.recipe import Recipe

# What the estimate leaves out: PyTorch itself, the allocator's fragments, the operating system.
_SPARE_SHARE = 0.1
# Of the rate of large matrix products, what a training step reaches on a CPU (0.35 to 0.6 measured).
_CPU_MFU = 0.4
MAX_CPU_HOURS = 24.0


def roomy(recipe: Recipe, precision: Precision, processes: int) -> Recipe:
    """The recipe without recomputing activations, where all of them take no more than half of the memory."""
    quicker = replace(recipe, compute=replace(recipe.compute, activation_checkpointing=False))
    fits = _needed(quicker, precision, processes).total <= memory_bytes(precision.device) / 2
    return quicker if fits else recipe


def check_capacity(
    recipe: Recipe, precision: Precision, processes: int, *, n_tokens: int, force: bool
) -> None:
    """Raise RecipeError, with the estimate and what would help, for a run that this machine cannot make.

    `n_tokens`: of the whole run. `force` leaves the check of time out (the one of memory stays).
    """
    _check_memory(recipe, precision, processes)
    if precision.device.type == "cpu" and not force:
        _check_time(recipe, precision, processes, n_tokens)


def _check_memory(recipe: Recipe, precision: Precision, processes: int) -> None:
    memory, there = _needed(recipe, precision, processes), memory_bytes(precision.device)
    if memory.total <= (1 - _SPARE_SHARE) * there:
        return
    where = "this GPU" if precision.device.type == "cuda" else "this machine (no GPU is used)"
    lora = "" if recipe.lora is not None else "--lora (only adapters are trained), "
    parts = ", ".join(f"{name} {bytes_ / 1e9:.1f}" for name, bytes_ in vars(memory).items() if bytes_)
    raise RecipeError(
        f"training {recipe.model.n_parameters / 1e9:.2f}B parameters so takes about "
        f"{memory.total / 1e9:.1f} GB ({parts}), and {where} has {there / 1e9:.1f} GB: use {lora}a smaller "
        "model, or several GPUs with torchrun and --set 'compute.sharding=\"fsdp\"'"
    )


def _needed(recipe: Recipe, precision: Precision, processes: int) -> Memory:
    """Of one GPU's process, or of all processes on a CPU, which share its memory."""
    memory = memory_of(recipe, count_parameters(recipe), processes)
    if precision.device.type == "cuda":
        return memory
    return Memory(**{name: bytes_ * processes for name, bytes_ in vars(memory).items()})


def _check_time(recipe: Recipe, precision: Precision, processes: int, n_tokens: int) -> None:
    per_token = flops_per_token(recipe.model, recipe.stages[-1].seq_len)
    hours = n_tokens * per_token / (processes * _CPU_MFU * peak_flops(precision)) / 3_600
    if hours > MAX_CPU_HOURS:
        raise RecipeError(
            f"on this CPU, {n_tokens / 1e6:.1f}M tokens through {recipe.model.n_parameters / 1e9:.2f}B "
            f"parameters take about {hours:,.0f} hours: use a machine with a GPU, a smaller model, fewer "
            "--epochs, or --force to begin all the same"
        )


def memory_bytes(device: torch.device) -> int:
    """All memory of a GPU, or of this machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
