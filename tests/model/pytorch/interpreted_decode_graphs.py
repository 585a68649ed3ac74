"""What test_decode_graphs.py runs in a process of its own, where Triton interprets its kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from model.families.registry import read_config
from model.pytorch import decode_graphs
from model.pytorch.decode_graphs import DecodeGraphs, compiled
from model.pytorch.mqa_decode import Contexts, decode_attention
from model.pytorch.torch_runner import TorchRunner, load_torch_runner
from model.runner.runner import Batch
from tests.model.tiny import write_tiny_model


@pytest.mark.parametrize("n_splits", [1, 3])
@pytest.mark.parametrize(
    ("n_head", "width", "dtype"),
    # Not bfloat16, which the interpreter multiplies wrongly.
    [(4, 16, torch.float32), (16, 64, torch.float16), (48, 128, torch.float32)],
)
def test_every_head_sees_its_whole_context(
    n_head: int, width: int, dtype: torch.dtype, n_splits: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    cache = torch.randn(400, 2, 1, width, generator=generator).to(dtype)
    lengths = [1, 63, 0, 64, 65, 200]
    contexts = [torch.randperm(400, generator=generator)[:length] for length in lengths]
    wide = torch.randn(len(lengths), (n_head + 2) * width, generator=generator).to(dtype)
    query = wide[:, : n_head * width].view(-1, n_head, width)  # rows are not next to each other
    starts = [0, *accumulate(lengths[:-1])]
    out = decode_attention(
        query,
        cache,
        Contexts(slots=torch.cat(contexts).int(), starts=torch.tensor(starts), lengths=torch.tensor(lengths)),
        n_splits=n_splits,
    )
    for row, slots in enumerate(contexts):
        key, value = cache[slots, 0, 0].float(), cache[slots, 1, 0].float()  # [L, C]
        weights = torch.softmax(query[row].float() @ key.T * width**-0.5, -1)  # [H, L]
        within = 1e-5 if dtype == torch.float32 else 2e-3
        torch.testing.assert_close(out[row].float(), weights @ value, atol=within, rtol=within)


def recorded(step: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], object]]:
    """As a GPU records it: what is computed again is written to the same place."""
    hidden = step()
    return hidden, lambda: hidden.copy_(step())


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs one after another. These are four splits of a single row, and two of two."""
    monkeypatch.setattr(decode_graphs, "_PROGRAMS", 4)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> TorchRunner:
    folder = write_tiny_model(tmp_path_factory.mktemp("model"), n_embd=64, n_head=4, n_layer=3)
    config = read_config(folder)
    runner = load_torch_runner(folder, config, device="cpu", quantize="none", threads=1)
    runner.model.float()
    return runner


def batch_of(contexts: list[np.ndarray], n_new: list[int]) -> Batch:
    new = list(zip(contexts, n_new, strict=True))
    return Batch(
        ids=np.arange(5, 5 + sum(n_new), dtype=np.int32),
        positions=np.concatenate([np.arange(len(each) - n, len(each)) for each, n in new]),
        slots=np.concatenate([each[-n:] for each, n in new]),
        n_new=n_new,
        contexts=contexts,
    )


def check_steps(runner: TorchRunner, *, compile_it: bool) -> None:
    """Steps of three sequences, of one and of five, with one new token and several."""
    config, n_slots = runner.config, 90
    assert DecodeGraphs.serve(config)
    generator = torch.Generator().manual_seed(0)
    cache = torch.randn(config.n_layer, n_slots + 1, 2, 1, config.head_dim, generator=generator)
    forward = compiled(runner.model) if compile_it else runner.model.hidden
    graphs = DecodeGraphs(forward, cache.clone(), recorded, n_positions=config.n_positions)
    runner._cache = cache
    order = np.random.default_rng(0).permutation(n_slots)
    shared = np.concatenate([order[:10], order[30:70]])
    for contexts, n_new in (
        ([order[:20], order[20:21], shared], [1, 1, 1]),
        ([shared], [1]),
        ([shared], [8]),
        ([order[:20], order[20:21], shared, order[72:80], order[80:90]], [3, 1, 2, 8, 1]),
    ):
        batch = batch_of(contexts, n_new)
        assert graphs.take(batch)
        expected = runner.compute(batch).values
        torch.testing.assert_close(graphs.hidden(batch), expected, atol=2e-5, rtol=2e-5)
        # Padding wrote where nobody reads: the two caches differ in the spare slot alone.
        torch.testing.assert_close(graphs._cache[:, :n_slots], cache[:, :n_slots], atol=1e-5, rtol=1e-5)


def test_a_recorded_step_computes_what_an_ordinary_one_does(runner: TorchRunner) -> None:
    check_steps(runner, compile_it=False)


def test_a_compiled_step_computes_what_an_ordinary_one_does(
    runner: TorchRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and taken apart as for a GPU; the code that a GPU runs is made where one is (test_gpu.py)."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    counters.clear()
    check_steps(runner, compile_it=True)
    # Two for a single row and for several, whatever the number of layers and rows; the first and last
    # pieces of the model are among them.
    assert 0 < counters["stats"]["unique_graphs"] <= 12
