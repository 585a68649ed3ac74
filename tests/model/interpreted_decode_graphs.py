"""What test_decode_graphs.py runs in a process of its own, where Triton interprets its kernels."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.decode_graphs import DecodeGraphs
from model.mqa_decode import Contexts, decode_attention
from model.runner import Batch
from model.torch_runner import load_torch_runner
from tests.model.tiny import write_tiny_model


@pytest.mark.parametrize("n_splits", [1, 3])
@pytest.mark.parametrize(("n_head", "width"), [(4, 16), (16, 64), (48, 128)])
def test_every_head_sees_its_whole_context(n_head: int, width: int, n_splits: int) -> None:

    generator = torch.Generator().manual_seed(0)
    cache = torch.randn(400, 2, 1, width, generator=generator)
    lengths = [1, 63, 0, 64, 65, 200]
    contexts = [torch.randperm(400, generator=generator)[:length] for length in lengths]
    wide = torch.randn(len(lengths), (n_head + 2) * width, generator=generator)
    query = wide[:, : n_head * width].unflatten(1, (n_head, width))  # rows are not next to each other
    starts = [0, *accumulate(lengths[:-1])]
    out = decode_attention(
        query,
        cache,
        Contexts(slots=torch.cat(contexts).int(), starts=torch.tensor(starts), lengths=torch.tensor(lengths)),
        n_splits=n_splits,
    )
    for row, slots in enumerate(contexts):
        key, value = cache[slots, 0, 0], cache[slots, 1, 0]  # [L, C]
        weights = torch.softmax(query[row] @ key.T * width**-0.5, -1)  # [H, L]
        torch.testing.assert_close(out[row], weights @ value, atol=1e-5, rtol=1e-5)


def test_a_captured_step_computes_what_an_ordinary_one_does(tmp_path: Path) -> None:

    folder = write_tiny_model(tmp_path, n_embd=64, n_head=4, n_layer=2)
    config = ModelConfig.from_file(folder / "config.json")
    runner = load_torch_runner(folder, config, device="cpu", quantize="none", threads=1)
    model = runner.model.float()
    assert DecodeGraphs.serve(config)
    n_slots, width = 90, config.head_dim
    random = np.random.default_rng(0)
    cache = torch.randn(config.n_layer, n_slots + 1, 2, 1, width, generator=torch.Generator().manual_seed(0))
    order = random.permutation(n_slots)
    contexts = [order[:20], order[20:21], np.concatenate([order[:10], order[30:70]])]  # a shared prefix
    batch = Batch(
        ids=np.array([5, 6, 7], np.int32),
        positions=np.array([len(each) - 1 for each in contexts]),
        slots=np.array([each[-1] for each in contexts]),
        n_new=[1, 1, 1],
        contexts=contexts,
    )
    graphs = DecodeGraphs(model, cache.clone())
    assert graphs.take(batch)
    runner._cache = cache
    expected = runner.compute(batch).values
    torch.testing.assert_close(graphs.hidden(batch), expected, atol=2e-5, rtol=2e-5)
    # Padding wrote where nobody reads: the two caches differ in the spare slot alone.
    torch.testing.assert_close(graphs._cache[:, :n_slots], cache[:, :n_slots], atol=1e-5, rtol=1e-5)
