"""What quantisation costs, on real code with the model that ships: the guard of `--quantize`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor

from model.attention import CachedAttend, Segment, causal_attend
from model.engine import Engine, load_engine
from model.hub import resolve
from model.native.library import built_variants
from model.native.step import NativeStep

ROOT = Path(__file__).parents[2]
TOKENS_A_FILE = 1000
N_FILES = 12


@pytest.fixture(scope="module")
def prompts() -> list[Tensor]:
    """Token ids of this repository's own files, which the model has not seen."""
    tokenizer = load_engine(resolve("starter").folder, quantize="none").tokenizer
    files = sorted(path for name in ("model", "lsp") for path in (ROOT / name).glob("*.py"))[:N_FILES]
    return [torch.tensor(tokenizer.encode(path.read_text("utf-8"))[:TOKENS_A_FILE]) for path in files]


def nats_a_token(engine: Engine, prompts: list[Tensor]) -> float:
    losses = list(token_losses(engine, prompts))
    return float(torch.cat(losses).double().mean())


@torch.inference_mode()
def token_losses(engine: Engine, prompts: list[Tensor]) -> Iterator[Tensor]:
    compiled = NativeStep.build(engine.model)
    for ids in prompts:
        places = torch.arange(len(ids))
        if compiled is None:
            attend = causal_attend(1, torch.device("cpu"))
            hidden = engine.model.hidden(ids, places, attend)
        else:
            config = engine.config
            cache = torch.zeros(config.n_layer, len(ids), 2, 1, config.head_dim, dtype=torch.bfloat16)
            segments = [Segment(n_new=len(ids), context_slots=places)]
            hidden = compiled.hidden(ids, places, places, segments, cache, threads=1)
        logits = engine.model.logits(hidden).float()
        yield F.cross_entropy(logits[:-1], ids[1:], reduction="none")


@pytest.mark.slow
@pytest.mark.skipif(not built_variants(), reason="the compiled step was not built (no C++ compiler)")
def test_perplexity_rises_by_less_than_half_a_percent_in_int8_and_three_in_int4(
    prompts: list[Tensor],
) -> None:
    folder = resolve("starter").folder
    exact = nats_a_token(load_engine(folder, quantize="none"), prompts)
    for scheme, most in (("int8", 0.005), ("int4", 0.03)):
        rise = math.exp(nats_a_token(load_engine(folder, quantize=scheme), prompts) - exact) - 1
        assert rise < most, f"{scheme}: perplexity rises by {rise:.2%}"


def test_the_cached_attention_is_the_whole_files(prompts: list[Tensor]) -> None:
    """The two ways of this file to score agree, so that the figures above compare like with like."""
    engine = load_engine(resolve("starter").folder, quantize="none")
    ids = prompts[0][:200]
    places = torch.arange(len(ids))
    shape = (engine.config.n_layer, len(ids), 2, 1, engine.config.head_dim)
    cache = torch.zeros(shape, dtype=engine.placement.dtype)
    with torch.inference_mode():
        segments = [Segment(n_new=len(ids), context_slots=places)]
        attend = CachedAttend(cache, places, segments, engine.config.n_head)
        cached = engine.model.logits(engine.model.hidden(ids, places, attend)).float()
        whole = engine.model.logits(
            engine.model.hidden(ids, places, causal_attend(1, torch.device("cpu")))
        ).float()
    assert (cached.argmax(-1) == whole.argmax(-1)).float().mean() > 0.95
