"""Tiny real models for tests: random weights in any shape, with a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers

from model.families.config import ModelConfig
from model.families.gpt_bigcode import GPT_BIGCODE, SPECIAL_TOKENS
from model.pytorch.checkpoint import save_checkpoint
from model.pytorch.gpt_bigcode import GPTBigCode

N_SPECIAL_AND_BYTES = len(SPECIAL_TOKENS) + 256


def write_byte_tokenizer(folder: Path) -> None:
    """A tokenizer.json with the 19 special tokens and one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    tokenizer = HFTokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.save(str(folder / "tokenizer.json"))


def config_with(**keys: Any) -> ModelConfig:
    """The description of a model with those keys in its config.json."""
    return GPT_BIGCODE.read(keys)


def random_model(config: ModelConfig, seed: int = 0) -> GPTBigCode:
    """A model whose every parameter is random (biases and LayerNorms too), ready for inference."""
    generator = torch.Generator().manual_seed(seed)
    model = GPTBigCode(config)
    for name, parameter in model.named_parameters():
        shift = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
        std = 0.25 if parameter.dim() > 1 else 0.1
        torch.nn.init.normal_(parameter, shift, std, generator=generator)
    return model.eval().requires_grad_(False)


def write_tiny_model(folder: Path, *, max_shard_bytes: int = 5_000_000_000, **config: Any) -> Path:
    """A complete model folder; `config` overrides the shape (two layers, 64 wide, 1,024 positions)."""
    shape = {"vocab_size": N_SPECIAL_AND_BYTES, "n_positions": 1024, "n_embd": 64, "n_layer": 2, "n_head": 4}
    whole = config_with(**shape | config)
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder, whole, random_model(whole).state_dict(), max_shard_bytes=max_shard_bytes)
    write_byte_tokenizer(folder)
    return folder
