"""Parity of the models of Llama's shape with transformers' on random weights, and of the compiled step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from model.families.registry import read_config
from model.pytorch.checkpoint import load_checkpoint
from model.weights.scheme import Scheme
from tests.model.pytorch.test_transformer import CacheRun, placement, random_ids
from tests.model.tiny import LLAMA_SHAPES, write_tiny_llama

N_POSITIONS = 160


class Pair:
    """Our model and transformers', from the same folder."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.ours = load_checkpoint(folder, placement(dtype))
        self.theirs = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager"
        )

    def reference(self, ids: Tensor) -> Tensor:
        """ids [T] -> logits [T, V]."""
        with torch.inference_mode():
            logits: Tensor = self.theirs(ids[None]).logits
            return logits[0]


@pytest.fixture(params=LLAMA_SHAPES, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("shape")
    return Pair(write_tiny_llama(folder, n_positions=N_POSITIONS, **LLAMA_SHAPES[request.param]))


def test_without_cache_to_the_end_of_the_context(pair: Pair) -> None:
    ids = random_ids(pair.ours, 2 * N_POSITIONS).reshape(2, N_POSITIONS)
    with torch.inference_mode():
        ours = pair.ours(ids)
    for row, logits in zip(ids, ours, strict=True):
        torch.testing.assert_close(logits, pair.reference(row), atol=1e-4, rtol=1e-4)


def test_with_cache_in_uneven_chunks(pair: Pair) -> None:
    ids = random_ids(pair.ours, N_POSITIONS)
    run = CacheRun(pair.ours)
    chunks = torch.split(ids, [1, 3, 16, 17, 63, 1, 1, 58])
    logits = torch.cat([run.step({0: chunk})[0] for chunk in chunks])
    torch.testing.assert_close(logits, pair.reference(ids), atol=1e-4, rtol=1e-4)


def test_ragged_batches(pair: Pair) -> None:
    texts = {n: random_ids(pair.ours, length, seed=n) for n, length in enumerate([5, 40, 7, 130])}
    run = CacheRun(pair.ours)
    logits: dict[int, list[Tensor]] = {n: [] for n in texts}
    for begin, end in [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 40), (40, 130)]:
        new = {n: ids[begin:end] for n, ids in texts.items() if begin < len(ids)}
        for n, part in zip(new, run.step(new), strict=True):
            logits[n].append(part)
    for n, ids in texts.items():
        torch.testing.assert_close(torch.cat(logits[n]), pair.reference(ids), atol=1e-4, rtol=1e-4)


def test_bf16_agrees_on_what_comes_next(tmp_path: Path) -> None:
    pair = Pair(write_tiny_llama(tmp_path, **LLAMA_SHAPES["qwen2"]), torch.bfloat16)
    ids = random_ids(pair.ours, 100)
    with torch.inference_mode():
        ours = pair.ours(ids[None])[0]
    same = (ours.argmax(-1) == pair.reference(ids).argmax(-1)).float().mean()
    assert same >= 0.9, "random weights have near-ties"


@pytest.mark.parametrize("shape", ["qwen2", "llama, tied"])
def test_int8_is_near_the_exact_model(tmp_path: Path, shape: str) -> None:
    folder = write_tiny_llama(tmp_path, **LLAMA_SHAPES[shape])
    exact, small = (load_checkpoint(folder, placement(scheme=one)) for one in (Scheme.NONE, Scheme.INT8))
    ids = random_ids(exact, 60)[None]
    with torch.inference_mode():
        wanted, found = exact(ids), small(ids)
    assert ((found - wanted).norm() / wanted.norm()) < 0.1


def test_a_tied_heads_twin_in_the_file_is_passed_over(tmp_path: Path) -> None:
    shape: dict[str, Any] = LLAMA_SHAPES["llama, tied"]
    folder = write_tiny_llama(tmp_path, **shape, twin=True)
    assert read_config(folder).tied_head
    load_checkpoint(folder, placement())
