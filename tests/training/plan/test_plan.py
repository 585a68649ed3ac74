from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from typer.testing import CliRunner

from model.pytorch.attention import causal_attend
from model.pytorch.gpt_bigcode import Block, GPTBigCode
from tests.model.tiny import config_with
from training.cli.cli import train_app
from training.compute.activations import activation_bytes, block_bytes, saved_bytes
from training.plan.plan import Cluster, count_parameters, make_plan, memory_of
from training.recipe.recipe import load_recipe

# As published, in billions (STARCODER's model cards count what their checkpoints hold).
PUBLISHED = {"15b": 15.517, "7b": 7.327, "3b": 3.043, "1b": 1.137}
SMALL = config_with(vocab_size=64, n_positions=128, n_embd=64, n_layer=2, n_head=4)
WIDE = config_with(vocab_size=49_152, n_positions=128, n_embd=64, n_layer=8, n_head=4)


@pytest.mark.parametrize("size", PUBLISHED)
def test_parameters_are_the_published_ones(size: str) -> None:
    recipe = load_recipe(f"starcoderbase-{size}")
    counts = count_parameters(recipe)
    assert counts.all / 1e9 == pytest.approx(PUBLISHED[size], abs=5e-4)
    assert counts.all == recipe.model.n_parameters == counts.trained


def test_the_papers_run_takes_what_the_paper_says() -> None:
    """1.05T tokens, and 320,256 GPU hours at the utilisation that those come to on an A100."""
    plan = make_plan(load_recipe("starcoderbase-15b"), Cluster(gpus=512, memory_bytes=80e9, flops=312e12))
    assert plan.tokens == 250_000 * 512 * 8_192
    assert plan.flops == pytest.approx(6 * 15.517e9 * plan.tokens, rel=0.13)  # and attention
    assert plan.gpu_hours == pytest.approx(320_256, rel=0.01)
    assert plan.days == pytest.approx(26.06, rel=0.01)
    assert plan.fits
    assert plan.memory.optimizer == pytest.approx(8 * 15.517e9 / 512, rel=1e-3)
    alone = make_plan(load_recipe("starcoderbase-15b"), Cluster(gpus=1, memory_bytes=80e9))
    assert alone.memory.weights + alone.memory.gradients + alone.memory.optimizer == 16 * alone.parameters
    assert not alone.fits


def test_activations_are_what_autograd_keeps() -> None:
    """Of the real block on the CPU, whose flash attention keeps what the plan takes for it."""
    block, x = Block(SMALL), torch.randn(2 * 128, 64, requires_grad=True)
    kept = saved_bytes(block, x, causal_attend(2, x.device))
    assert block_bytes(SMALL, 2 * 128, torch.float32) == pytest.approx(kept, rel=0.02)
    half = block_bytes(SMALL, 2 * 128, torch.bfloat16)
    assert half < 0.6 * kept


def test_memory_savers_save() -> None:
    bytes_of = partial(activation_bytes, WIDE, samples=4, seq_len=128, dtype=torch.bfloat16)
    plain, recomputed, chunked = (
        bytes_of(recompute=recompute, chunk_tokens=chunk)
        for recompute, chunk in ((False, None), (True, None), (True, 64))
    )
    assert plain > recomputed > chunked


def test_adapters_train_little_and_need_less() -> None:
    full, lora = (load_recipe(name) for name in ("finetune", "finetune-lora"))
    counts = count_parameters(lora)
    rank, d, layers = 16, 2_048, 24
    widths = [(d, d + 256), (d, d), (d, 4 * d), (4 * d, d)]
    assert counts.trained == layers * sum(rank * (a + b) for a, b in widths)
    assert counts.all == full.model.n_parameters
    of_full = memory_of(full, count_parameters(full), 1)
    of_lora = memory_of(lora, counts, 1)
    assert of_lora.total < 0.3 * of_full.total


def test_the_model_is_built_without_memory() -> None:
    with torch.device("meta"):
        model = GPTBigCode(SMALL)
    assert all(p.is_meta for p in model.parameters())


def test_the_command_tells_and_fails_where_it_does_not_fit() -> None:
    runner = CliRunner()
    command = ["plan", "--recipe", "starcoderbase-7b", "--gpus", "512", "--gpu-memory", "80GB", "--json"]
    told = json.loads(runner.invoke(train_app, command, catch_exceptions=False).stdout)
    assert told["fits"]
    assert told["tokens"] == 250_000 * 512 * 8_192
    small = runner.invoke(train_app, ["plan", "--recipe", "starcoderbase-7b", "--gpu-memory", "24GB"])
    assert small.exit_code == 1
    assert "does not fit" in small.stdout
    for option, message in (
        (["--gpu-memory", "a lot"], "with a unit"),
        (["--gpus", "1024"], "shared by 1024"),
    ):
        wrong = runner.invoke(train_app, ["plan", "--recipe", "starcoderbase-7b", *option])
        assert wrong.exit_code == 1
        assert message in wrong.stderr.replace("\n", " ")
