"""What the runner in PyTorch does on a GPU, as far as a CPU can show it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import model
from model.errors import ConfigError
from model.families.registry import read_config
from model.pytorch import attention
from model.pytorch.attention import flash_attention_module
from model.pytorch.torch_runner import GRAPHS_VARIABLE, DeviceLogits, TorchRunner, load_torch_runner
from model.runner.runner import Batch
from model.runner.sampling import Choice, HostLogits, SamplingParams, make_generator
from tests.model.tiny import write_tiny_model


@pytest.fixture
def runner(tmp_path: Path) -> TorchRunner:
    folder = write_tiny_model(tmp_path, n_embd=64, n_head=4)
    config = read_config(folder)
    return load_torch_runner(folder, config, device="cpu", quantize="none", threads=1)


def test_logits_on_a_device_choose_what_logits_on_the_cpu_choose() -> None:
    """Greedy rows beside rows that draw, are restricted or report others."""
    values = torch.randn(7, 50, generator=torch.Generator().manual_seed(0))
    values[6, 3] = torch.nan
    values[4, 9] = torch.inf
    drawn = SamplingParams(temperature=1.0, seed=3)

    def choices() -> list[Choice]:
        return [
            Choice(params=SamplingParams()),
            Choice(params=drawn, generator=make_generator(drawn)),
            Choice(params=SamplingParams()),
            Choice(params=SamplingParams(), allowed=np.array([4, 7])),
            Choice(params=SamplingParams(logprobs=2)),
            Choice(params=SamplingParams()),
        ]

    for rows in ([5, 1, 2, 3, 4, 6], [0, 1, 2, 3, 4, 5]):
        there = DeviceLogits(values).sample(rows, choices())
        here = HostLogits(values.numpy()).sample(rows, choices())
        assert there.token_ids == here.token_ids
        assert there.failed == here.failed
        assert there.logprobs == pytest.approx(here.logprobs, abs=1e-5, nan_ok=True)
        assert [[token for token, _ in top] for top in there.top] == [
            [token for token, _ in top] for top in here.top
        ]


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_q: Tensor,
    cu_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
) -> Tensor:
    """What flash-attn's documentation says of it: a causal mask ends at the corner of both ends."""
    assert causal
    assert cu_q.dtype == cu_k.dtype == torch.int32
    out = torch.empty_like(q)
    for row in range(len(cu_q) - 1):
        own, context = slice(cu_q[row], cu_q[row + 1]), slice(cu_k[row], cu_k[row + 1])
        query, key, value = (t.transpose(0, 1) for t in (q[own], k[context], v[context]))  # [H or K, T, C]
        n_new, n_all = query.shape[1], key.shape[1]
        assert n_new <= max_q
        assert n_all <= max_k
        key, value = (t.expand(len(query), -1, -1) for t in (key, value))
        seen = torch.ones(n_new, n_all, dtype=torch.bool).tril(n_all - n_new)
        out[own] = F.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(0, 1)
    return out


def test_a_step_by_flash_attn_computes_what_one_by_pytorch_does(
    runner: TorchRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt, the rest of one, and a sequence that decodes, in slots without order."""
    order = np.random.default_rng(0).permutation(60)
    contexts = [order[:20], order[20:45], order[45:]]
    n_new = [20, 7, 1]
    batch = Batch(
        ids=np.arange(28, dtype=np.int32),
        positions=np.concatenate([np.arange(20), np.arange(18, 25), [14]]),
        slots=np.concatenate([context[-new:] for context, new in zip(contexts, n_new, strict=True)]),
        n_new=n_new,
        contexts=contexts,
    )
    runner.model.bfloat16()
    shape = (runner.config.n_layer, 61, 2, 1, runner.config.head_dim)
    cache = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    runner._cache = cache.clone()
    expected = runner.compute(batch).values.float()
    stand_in = SimpleNamespace(flash_attn_varlen_func=flash_attn_varlen_func)
    monkeypatch.setattr(attention, "flash_attention_module", lambda device: stand_in)
    runner._cache = cache.clone()
    values = runner.compute(batch).values.float()
    assert (values - expected).norm() < 0.02 * expected.norm()


def test_flash_attn_4_alone_is_not_taken_for_flash_attn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))
    assert flash_attention_module(torch.device("cuda")) is None


def test_an_unknown_way_to_decode_is_an_error(runner: TorchRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GRAPHS_VARIABLE, "yes")
    with pytest.raises(ConfigError, match="expected off, on or compiled"):
        runner.reserve(10)


def test_graphs_without_triton_are_an_error_that_says_so(
    runner: TorchRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GRAPHS_VARIABLE, "on")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("decode_graphs", "mqa_decode"):
        monkeypatch.delitem(sys.modules, f"model.{name}", raising=False)
        monkeypatch.delattr(model, name, raising=False)
    runner.placement = replace(runner.placement, device=torch.device("cuda"))
    with pytest.raises(ConfigError, match="'on' needs triton: install it, or set off"):
        runner._make_graphs()
