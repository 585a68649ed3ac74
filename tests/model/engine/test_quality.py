"""What quantisation costs, on real code with the model that ships: the guard of `--quantize`."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from model.engine.generation import GenerationRequest
from model.native.library import built_variants
from model.prompt.tokenizer import Tokenizer
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from model.weights.hub import resolve

ROOT = Path(__file__).parents[3]
TOKENS_A_FILE = 1000
N_FILES = 5


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Token ids of this repository's own files, which the model has not seen."""
    tokenizer = Tokenizer.from_folder(resolve("starter").folder)
    files = (tokenizer.encode(path.read_text("utf-8")) for path in sorted((ROOT / "model").rglob("*.py")))
    return list(islice((ids[:TOKENS_A_FILE] for ids in files if len(ids) >= TOKENS_A_FILE), N_FILES))


def nats_a_token(quantize: str, prompts: list[list[int]]) -> float:
    """The mean loss over the prompts, as the engine itself scores them."""
    engine = load_engine(resolve("starter").folder, device="cpu", quantize=quantize)
    losses: list[float] = []
    for ids in prompts:
        engine.submit(
            GenerationRequest(prompt_ids=ids, sampling=SamplingParams(max_new_tokens=1), scores_prompt=True)
        )
        while engine.busy:
            for _, delta in engine.step():
                losses += [] if delta.prompt_scores is None else delta.prompt_scores.logprobs
    assert len(losses) == sum(map(len, prompts)) - len(prompts)
    return -float(np.mean(losses))


@pytest.mark.slow
@pytest.mark.skipif(not built_variants(), reason="the compiled step was not built (no C++ compiler)")
def test_perplexity_rises_by_less_than_half_a_percent_in_int8_and_three_in_int4(
    prompts: list[list[int]],
) -> None:
    exact = nats_a_token("none", prompts)
    for scheme, most in (("int8", 0.005), ("int4", 0.03)):
        rise = math.exp(nats_a_token(scheme, prompts) - exact) - 1
        assert rise < most, f"{scheme}: perplexity rises by {rise:.2%}"
