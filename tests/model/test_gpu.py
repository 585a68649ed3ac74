"""On a GPU: the same numbers as on the CPU, with flash attention where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from model.engine.engine import EngineOptions
from model.engine.generation import GenerationRequest
from model.families.registry import read_config
from model.pytorch.attention import causal_attend, flash_attention_module
from model.pytorch.checkpoint import load_checkpoint
from model.pytorch.device import Placement
from model.pytorch.torch_runner import GRAPHS_VARIABLE, load_torch_runner
from model.runner.runner import Batch
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from model.weights.scheme import Scheme
from tests.model.tiny import write_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA = torch.device("cuda")
# PyTorch 2.11 says so while it compiles, whatever the number type.
COMPILES = pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")


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
    monkeypatch.setattr("model.pytorch.attention.flash_attention_module", lambda device: None)
    exact = causal_attend(2, CUDA)(0, query.float(), key_value.float())
    torch.testing.assert_close(fast.float(), exact, atol=2e-2, rtol=2e-2)


def greedy(folder: Path, device: str, texts: list[str]) -> list[list[int]]:
    """Text tokens, then 24 more of each; steps run in a thread of their own, as the server's do."""
    engine = load_engine(folder, device=device, quantize="none", options=EngineOptions(prefill_chunk=64))
    handles = [
        engine.submit(
            GenerationRequest(
                prompt_ids=engine.tokenizer.encode(text),
                sampling=SamplingParams(max_new_tokens=24),
                ignore_eos=True,
            )
        )
        for text in texts
    ]
    tokens = {id(handle): engine.tokenizer.encode(text) for handle, text in zip(handles, texts, strict=True)}

    def run() -> None:
        while engine.busy:
            for handle, delta in engine.step():
                assert delta.error is None
                tokens[id(handle)] += delta.token_ids

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()
    return [tokens[id(handle)] for handle in handles]


def regrets(folder: Path, answers: Sequence[list[int]]) -> list[float]:
    """How far below the likeliest token each of the last 24 is, in nats, by exact arithmetic."""
    exact = Placement(device=torch.device("cpu"), dtype=torch.float32, scheme=Scheme.NONE, reason="")
    model = load_checkpoint(folder, exact)
    found = []
    for tokens in answers:
        with torch.inference_mode():
            log_probs = model(torch.tensor([tokens[:-1]]))[0, -24:].log_softmax(-1)
        found += (log_probs.amax(-1) - log_probs[range(24), tokens[-24:]]).tolist()
    return found


@COMPILES
@pytest.mark.parametrize("graphs", ["off", "on", "compiled"])
def test_the_engine_writes_what_the_model_says(
    graphs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 a near-tie may fall the other way, and then what follows differs: each token is judged."""
    monkeypatch.setenv(GRAPHS_VARIABLE, graphs)
    folder = write_tiny_model(tmp_path, n_embd=128, n_head=4, n_layer=2)
    texts = ["def f(x):\n    return ", "x" * 200, "import os\n" * 30]
    regret = regrets(folder, greedy(folder, "cuda", texts))
    assert max(regret) < 0.5  # bfloat16 on a CPU: 0.21; a wrong token: 5 and more
    assert sum(each == 0 for each in regret) >= 0.8 * len(regret)


@COMPILES
@pytest.mark.parametrize("graphs", ["on", "compiled"])
def test_a_captured_step_computes_what_an_ordinary_one_does(
    graphs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts of 1 to 700 tokens in slots without order: one sequence, three in a graph for four, 70 in
    a graph for 96, three once more, one with eight new tokens."""
    pytest.importorskip("triton")
    monkeypatch.setenv(GRAPHS_VARIABLE, graphs)
    folder = write_tiny_model(tmp_path, n_embd=512, n_head=4, n_layer=2, n_positions=1024)
    config = read_config(folder)
    runner = load_torch_runner(folder, config, device="cuda", quantize="none", threads=1)
    runner.reserve(1500)
    recorded = runner._graphs
    assert recorded is not None
    generator = torch.Generator(CUDA).manual_seed(0)
    runner._cache.normal_(generator=generator)
    order = np.random.default_rng(0).permutation(1500)
    three = [order[:700], order[700:701], np.concatenate([order[:300], order[800:850]])]
    many = [np.concatenate([order[: 10 * n], order[1400 + n : 1401 + n]]) for n in range(70)]
    seen = []
    for contexts, n in (([three[0]], 1), (three, 1), (many, 1), (three, 1), ([three[0]], 8)):
        batch = Batch(
            ids=np.arange(5, 5 + n * len(contexts), dtype=np.int32),
            positions=np.concatenate([np.arange(len(each) - n, len(each)) for each in contexts]),
            slots=np.concatenate([each[-n:] for each in contexts]),
            n_new=[n] * len(contexts),
            contexts=contexts,
        )
        before = runner._cache.clone()
        captured = runner.compute(batch).values.clone()
        written = runner._cache.clone()
        runner._cache.copy_(before)
        runner._graphs = None
        ordinary = runner.compute(batch).values.float()
        runner._graphs = recorded
        assert (captured.float() - ordinary).norm() < 0.05 * ordinary.norm()
        kept, expected = written[:, :1500].float(), runner._cache[:, :1500].float()
        assert (kept - expected).norm() < 0.05 * expected.norm()
        seen.append(captured)
    assert torch.equal(seen[1], seen[3]), "a replay is the same to the bit"
