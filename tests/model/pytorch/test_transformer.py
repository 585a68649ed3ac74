"""Parity of the model with transformers' GPTBigCode on random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPTBigCodeForCausalLM

from model.pytorch.attention import CachedAttend, Segment
from model.pytorch.causal_lm import CausalLM
from model.pytorch.checkpoint import load_checkpoint
from model.pytorch.device import Placement
from model.pytorch.torch_runner import allocate
from model.weights.scheme import Scheme
from tests.model.tiny import write_tiny_model

SHAPES = {
    "multi-query": {},
    "multi-query, one layer, wide feed-forward": {"n_layer": 1, "n_inner": 200},
    "multi-head": {"multi_query": False, "n_layer": 3},
    "multi-query, sharded": {"n_embd": 96, "n_head": 6, "n_layer": 4, "max_shard_bytes": 100_000},
    "multi-head, sharded, odd vocabulary": {
        "multi_query": False,
        "vocab_size": 301,
        "max_shard_bytes": 60_000,
    },
}


def placement(dtype: torch.dtype = torch.float32, scheme: Scheme = Scheme.NONE) -> Placement:
    return Placement(device=torch.device("cpu"), dtype=dtype, scheme=scheme, reason="test")


class Pair:
    """Our model and transformers', from the same folder."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.ours = load_checkpoint(folder, placement(dtype))
        self.theirs = GPTBigCodeForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")

    def reference(self, ids: Tensor) -> Tensor:
        """ids [T] -> logits [T, V]."""
        with torch.inference_mode():
            logits: Tensor = self.theirs(ids[None]).logits
            return logits[0]


@pytest.fixture(params=SHAPES, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = write_tiny_model(tmp_path_factory.mktemp("shape"), **SHAPES[request.param])
    return Pair(folder, torch.float32)


class CacheRun:
    """Forward passes through a cache, as the engine makes them."""

    def __init__(self, model: CausalLM, n_slots: int = 4096) -> None:
        self.model = model
        dtype = model.token_embedding.weight.dtype
        self.cache = allocate(model.config, n_slots, dtype, torch.device("cpu"))
        self.slots = [torch.empty(0, dtype=torch.int64)] * 8
        # Scattered on purpose: nothing may rely on a sequence lying in one piece.
        self.free = iter(np.random.default_rng(0).permutation(n_slots).tolist())

    def step(self, new: dict[int, Tensor]) -> list[Tensor]:
        """new: tokens by sequence number -> logits [T, V] of each, in the same order."""
        segments, positions, slots = [], [], []
        for number, ids in new.items():
            start = len(self.slots[number])
            fresh = torch.tensor([next(self.free) for _ in ids])
            self.slots[number] = torch.cat([self.slots[number], fresh])
            segments.append(Segment(n_new=len(ids), context_slots=self.slots[number]))
            positions.append(torch.arange(start, start + len(ids)))
            slots.append(fresh)
        attend = CachedAttend(self.cache, torch.cat(slots), segments, self.model.config.n_head)
        with torch.inference_mode():
            hidden = self.model.hidden(torch.cat(list(new.values())), torch.cat(positions), attend)
            return list(torch.split(self.model.logits(hidden), [len(ids) for ids in new.values()]))


def random_ids(model: CausalLM, n_tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(model.config.vocab_size, (n_tokens,), generator=torch.Generator().manual_seed(seed))


def test_without_cache(pair: Pair) -> None:
    ids = random_ids(pair.ours, 90).reshape(2, 45)
    with torch.inference_mode():
        ours = pair.ours(ids)
    for row, logits in zip(ids, ours, strict=True):
        torch.testing.assert_close(logits, pair.reference(row), atol=1e-4, rtol=1e-4)


def test_with_cache_in_uneven_chunks(pair: Pair) -> None:
    ids = random_ids(pair.ours, 200)
    run = CacheRun(pair.ours)
    chunks = torch.split(ids, [1, 3, 16, 17, 63, 1, 1, 98])
    logits = torch.cat([run.step({0: chunk})[0] for chunk in chunks])
    torch.testing.assert_close(logits, pair.reference(ids), atol=1e-4, rtol=1e-4)


def test_ragged_batches(pair: Pair) -> None:
    """Prefill and decode of sequences of different lengths in the same steps."""
    texts = {n: random_ids(pair.ours, length, seed=n) for n, length in enumerate([5, 40, 7, 130])}
    run = CacheRun(pair.ours)
    logits: dict[int, list[Tensor]] = {n: [] for n in texts}
    for begin_end in [(0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 40), (40, 130)]:
        new = {n: ids[slice(*begin_end)] for n, ids in texts.items() if len(ids[slice(*begin_end)])}
        for n, part in zip(new, run.step(new), strict=True):
            logits[n].append(part)
    for n, ids in texts.items():
        torch.testing.assert_close(torch.cat(logits[n]), pair.reference(ids), atol=1e-4, rtol=1e-4)


def test_the_last_position_of_the_context(pair: Pair) -> None:
    length = pair.ours.config.n_positions
    ids = random_ids(pair.ours, length)
    run = CacheRun(pair.ours)
    run.step({0: ids[:-1]})
    last = run.step({0: ids[-1:]})[0]
    torch.testing.assert_close(last[0], pair.reference(ids)[-1], atol=1e-4, rtol=1e-4)


def test_bf16_agrees_on_the_likeliest_token(tmp_path: Path) -> None:
    pair = Pair(write_tiny_model(tmp_path), torch.bfloat16)
    exact = Pair(tmp_path, torch.float32)
    ids = random_ids(pair.ours, 400)
    run = CacheRun(pair.ours)
    ours = torch.cat([run.step({0: chunk})[0] for chunk in torch.split(ids, 50)]).float()
    reference = exact.reference(ids)
    theirs_agreement = (pair.reference(ids).argmax(-1) == reference.argmax(-1)).float().mean()
    agreement = (ours.argmax(-1) == reference.argmax(-1)).float().mean()
    # bf16 itself flips near-ties; ours may flip no more of them than transformers' bf16 does.
    assert agreement > 0.9
    assert agreement >= theirs_agreement - 0.03


@pytest.mark.parametrize(("scheme", "tolerance"), [(Scheme.INT8, 0.015), (Scheme.INT4, 0.12)])
def test_a_quantised_layer_stays_close(tmp_path: Path, scheme: Scheme, tolerance: float) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128, vocab_size=320)
    exact = load_checkpoint(folder, placement())
    quantised = load_checkpoint(folder, placement(scheme=scheme))
    x = torch.randn(40, 128, generator=torch.Generator().manual_seed(1))
    for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc"):
        wanted = exact.blocks[1].get_submodule(name)(x)
        difference = quantised.blocks[1].get_submodule(name)(x) - wanted
        assert difference.norm() / wanted.norm() < tolerance, name


def test_int8_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128, vocab_size=320)
    model = load_checkpoint(folder, placement(scheme=Scheme.INT8))
    layer = model.blocks[0].get_submodule("mlp.c_fc")
    x = torch.randn(40, 128, generator=torch.Generator().manual_seed(1))
    x[7] *= 1000  # an outlier row must not coarsen the others
    together = layer(x)
    alone = torch.cat([layer(row[None]) for row in x])
    # Not to the bit: how a product is summed may depend on its number of rows. A row that shared the
    # outlier's scale would be a thousand times coarser.
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_document_ids_hide_other_documents(pair: Pair) -> None:
    first, second = random_ids(pair.ours, 20, 1), random_ids(pair.ours, 30, 2)
    documents = torch.tensor([0] * 20 + [1] * 30)[None]
    with torch.inference_mode():
        ours = pair.ours(torch.cat([first, second])[None], documents)[0]
    torch.testing.assert_close(ours[:20], pair.reference(first), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours[20:], pair.reference(second), atol=1e-3), "positions are absolute"


def test_chunked_loss_equals_the_whole(pair: Pair) -> None:
    model = pair.ours
    ids = random_ids(model, 64).reshape(2, 32)
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    whole = model.loss(ids, targets)
    torch.testing.assert_close(model.loss(ids, targets, chunk_tokens=7), whole)
    reference = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(whole, reference)
