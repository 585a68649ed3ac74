"""A real GPTBigCode checkpoint that can spell: every character has one that follows it.

Weights are set by hand, so what the whole engine answers is known. After a blank come the ten digits
and the end; after a letter comes the rest of the alphabet, small, capital, an underscore, and again
small, without end. One layer: embeddings are one-hot, the feed-forward layer turns each into the
next one, attention adds nothing.
"""

from __future__ import annotations

import string
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer as HFTokenizer

from model.families.config import ModelConfig
from model.families.gpt_bigcode import SPECIAL_TOKENS
from model.pytorch.checkpoint import save_checkpoint
from model.pytorch.gpt_bigcode import Block, GPTBigCode
from tests.model.tiny import N_SPECIAL_AND_BYTES, config_with, write_byte_tokenizer

DIGITS = string.digits
CYCLE = string.ascii_lowercase + string.ascii_uppercase + "_"
_WIDTH = 288  # a multiple of the heads, above the vocabulary


def write_spelling_model(folder: Path, *, n_positions: int = 4096, spells: str = "") -> Path:
    """Write the model folder and return it. With `spells` it knows that instead, round and round."""
    folder.mkdir(parents=True)
    write_byte_tokenizer(folder)
    ids = HFTokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    following = {ids["Ġ"]: ids["0"], ids["9"]: ids[SPECIAL_TOKENS[0]]}
    following |= {ids[a]: ids[b] for a, b in pairwise(DIGITS)}
    following |= {ids[a]: ids[b] for a, b in pairwise(CYCLE + CYCLE[0])}
    if spells:
        round_ = spells.replace("\n", "Ċ")  # how byte-level tokenizers write it
        assert len(set(round_)) == len(round_), "a character has one successor"
        following = {ids[a]: ids[b] for a, b in pairwise(round_ + round_[0])}
    config = config_with(
        vocab_size=N_SPECIAL_AND_BYTES,
        n_positions=n_positions,
        n_embd=_WIDTH,
        n_layer=1,
        n_head=4,
        n_inner=_WIDTH,
    )
    save_checkpoint(folder, config, _weights(config, following))
    return folder


def _weights(config: ModelConfig, following: dict[int, int]) -> dict[str, torch.Tensor]:
    model = GPTBigCode(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = ".ln_" in name and name.endswith("weight")
            parameter.fill_(1.0 if is_scale else 0.0)
        model.transformer.ln_f.weight.fill_(3.0)  # sure of itself
        one_hot = torch.eye(config.vocab_size, config.width)  # [V, D]
        model.transformer.wte.weight.copy_(one_hot)
        block = model.transformer.h[0]
        assert isinstance(block, Block)
        feed_forward = block.mlp
        # LayerNorm of a one-hot vector is about √D = 17 at its place and near 0 elsewhere.
        feed_forward.c_fc.weight.copy_(torch.eye(config.width))
        feed_forward.c_fc.bias.fill_(-4.0)
        for token, after in following.items():
            feed_forward.c_proj.weight[after, token] = 1.0
    return model.state_dict()
