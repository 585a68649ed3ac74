"""Cached tokens that are moved: their keys are those of the same tokens at the new places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.families.registry import read_config
from model.native.runner import NativeRunner
from model.pytorch.checkpoint import load_weights
from model.pytorch.device import Placement
from model.pytorch.torch_runner import TorchRunner
from model.runner.runner import Batch, CacheMove
from model.weights.opening import open_weights
from model.weights.scheme import Scheme
from tests.model.tiny import LLAMA_SHAPES, write_tiny_llama

N_TOKENS, N_SLOTS = 20, 64
Cached = NDArray[np.float32]  # [layers, slots, 2, N · C]


def runner_of(folder: Path, *, is_native: bool) -> NativeRunner | TorchRunner:
    config = read_config(folder)
    if is_native:
        made = NativeRunner(
            open_weights(folder, config), config, Scheme.INT8, threads=1, reason="test", cache_dtype="float32"
        )
        made.reserve(N_SLOTS)
        return made
    placement = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="test")
    other = TorchRunner(load_weights(folder, config, placement), placement, threads=1)
    other.reserve(N_SLOTS)
    return other


def cache_of(runner: NativeRunner | TorchRunner) -> Cached:
    cached = runner._cache
    return cached.flatten(3).numpy() if isinstance(cached, torch.Tensor) else cached


def compute(runner: NativeRunner | TorchRunner, slots: NDArray[np.int64], first_position: int) -> None:
    runner.compute(
        Batch(
            ids=np.arange(30, 30 + N_TOKENS, dtype=np.int32),
            positions=np.arange(first_position, first_position + N_TOKENS),
            slots=slots,
            n_new=[N_TOKENS],
            contexts=[slots],
        )
    )


@pytest.mark.parametrize("shape", LLAMA_SHAPES)
@pytest.mark.parametrize("is_native", [True, False])
def test_they_are_those_of_the_new_places(tmp_path: Path, shape: str, is_native: bool) -> None:
    """In every layer: where a whole text is moved, distances within it stay the same."""
    runner = runner_of(write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape]), is_native=is_native)
    slots = np.random.default_rng(1).permutation(N_SLOTS)
    here, moved, wanted = (slots[n * N_TOKENS : (n + 1) * N_TOKENS] for n in range(3))
    compute(runner, here, 5)
    before = cache_of(runner)[:, here].copy()
    for by in (9, -3):
        runner.move(CacheMove(sources=here, targets=moved, by=by))
        compute(runner, wanted, 5 + by)
        cached = cache_of(runner)
        # Activations in eight bits are rounded to either side, for nothing, in all layers but the first.
        exact = slice(1 if is_native else None)
        assert np.allclose(cached[exact, moved], cached[exact, wanted], atol=2e-3)
        assert not np.allclose(cached[:, moved, 0], before[:, :, 0], atol=2e-2)
        assert np.array_equal(cached[:, here], before)
