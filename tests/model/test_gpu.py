"""On a GPU: the same numbers as on the CPU, with flash attention where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.attention import causal_attend, flash_attention_module
from model.config import ModelConfig
from model.engine import EngineOptions, load_engine
from model.generation import GenerationRequest
from model.runner import Batch
from model.sampling import SamplingParams
from model.torch_runner import GRAPHS_VARIABLE, load_torch_runner
from tests.model.tiny import write_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA = torch.device("cuda")


def needs_flash() -> None:
    if flash_attention_module(CUDA) is None:
        pytest.skip("flash_attn is not installed, or the GPU is older than Ampere")


@pytest.mark.parametrize(("n_kv_head", "head_dim"), [(1, 64), (1, 128), (8, 64)])
def test_flash_attention_equals_the_reference(
    n_kv_head: int, head_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_flash()
    generator = torch.Generator(CUDA).manual_seed(0)
    query = torch.randn(2 * 300, 8, head_dim, device=CUDA, generator=generator).bfloat16()
    key_value = torch.randn(2 * 300, 2, n_kv_head, head_dim, device=CUDA, generator=generator).bfloat16()
    fast = causal_attend(2, CUDA)(0, query, key_value)
    monkeypatch.setattr("model.attention.flash_attention_module", lambda device: None)
    exact = causal_attend(2, CUDA)(0, query.float(), key_value.float())
    torch.testing.assert_close(fast.float(), exact, atol=2e-2, rtol=2e-2)


def greedy(folder: Path, device: str, texts: list[str]) -> list[list[int]]:
    engine = load_engine(folder, device=device, quantize="none", options=EngineOptions(prefill_chunk=64))
    handles = [
        engine.submit(
            GenerationRequest(
                prompt_ids=engine.tokenizer.encode(text),
                sampling=SamplingParams(max_new_tokens=16),
                ignore_eos=True,
            )
        )
        for text in texts
    ]
    tokens: dict[int, list[int]] = {id(handle): [] for handle in handles}
    while engine.busy:
        for handle, delta in engine.step():
            tokens[id(handle)] += delta.token_ids
    return [tokens[id(handle)] for handle in handles]


def test_the_engine_writes_what_it_writes_on_the_cpu(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, n_embd=128, n_head=4, n_layer=2)
    texts = ["def f(x):\n    return ", "x" * 200, "import os\n" * 30]
    on_cpu, on_gpu = greedy(folder, "cpu", texts), greedy(folder, "cuda", texts)
    agreement = [
        a == b for cpu, gpu in zip(on_cpu, on_gpu, strict=True) for a, b in zip(cpu, gpu, strict=True)
    ]
    assert sum(agreement) >= 0.8 * len(agreement), "bf16 may flip a near-tie, not the text"


def test_a_captured_step_computes_what_an_ordinary_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three sequences in a graph for four, contexts of 1 to 700 tokens in slots without order."""
    pytest.importorskip("triton")
    monkeypatch.setenv(GRAPHS_VARIABLE, "on")
    folder = write_tiny_model(tmp_path, n_embd=256, n_head=4, n_layer=2, n_positions=1024)
    config = ModelConfig.from_file(folder / "config.json")
    runner = load_torch_runner(folder, config, device="cuda", quantize="none", threads=1)
    runner.reserve(1500)
    assert runner._graphs is not None
    runner._cache.normal_()
    order = np.random.default_rng(0).permutation(1500)
    contexts = [order[:700], order[700:701], np.concatenate([order[:300], order[800:850]])]
    batch = Batch(
        ids=np.array([5, 6, 7], np.int32),
        positions=np.array([len(each) - 1 for each in contexts]),
        slots=np.array([each[-1] for each in contexts]),
        n_new=[1, 1, 1],
        contexts=contexts,
    )
    captured = runner.compute(batch).values.clone()
    graphs, runner._graphs = runner._graphs, None
    ordinary = runner.compute(batch).values
    torch.testing.assert_close(captured.float(), ordinary.float(), atol=5e-2, rtol=5e-2)
    runner._graphs = graphs
    assert torch.equal(runner.compute(batch).values, captured), "a replay is the same to the bit"
