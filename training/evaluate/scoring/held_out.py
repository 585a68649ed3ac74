"""Held-out loss per language: nats a token and bits a byte, the latter comparable between tokenizers.

Each document is scored from its first token (after an end-of-document token) in windows of the
model's training length without overlap, so a long document's later windows start without context:
an upper bound of the loss. Documents are taken in a fixed shuffled order up to a budget of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.pytorch.causal_lm import CausalLM
from training.compute.precision import Precision
from training.data.data import IGNORED_TARGET
from training.data.packing import PackedCorpus, PackedShard

_ORDER_SEED = 20_230_510
MIN_LANGUAGE_BYTES = 20_000  # below it the figure would be of one or two files


@dataclass(frozen=True, kw_only=True)
class LanguageLoss:
    """Loss on one language's held-out documents. `nats` and the counts can be added up over parts."""

    nats: float
    n_tokens: int
    text_bytes: float

    @property
    def nats_per_token(self) -> float:
        """Mean loss of a token."""
        return self.nats / self.n_tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits to encode a byte of the text."""
        return self.nats / math.log(2) / self.text_bytes


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """`part` of `parts`: every parts-th window, so that processes can share the work.

    `bytes_per_language` takes whole documents, and so the same ones for any tokenizer.
    """

    seq_len: int
    tokens_per_language: float
    bytes_per_language: float = math.inf
    batch: int = 8
    part: int = 0
    parts: int = 1


def languages_to_score(corpus: PackedCorpus, min_bytes: int = MIN_LANGUAGE_BYTES) -> list[str]:
    """Languages with at least so much held-out text, in a fixed order."""
    return sorted(name for name in corpus.shards if corpus.text_bytes(name) >= min_bytes)


@torch.no_grad()
def score_language(
    model: CausalLM,
    corpus: PackedCorpus,
    language: str,
    end_id: int,
    options: ScoreOptions,
    precision: Precision,
) -> LanguageLoss:
    """Sum the loss over (this part of) a language's windows.

    Every part runs the model equally often, since a sharded one is run by all processes together.
    """
    everything = list(_windows(corpus.shards[language], end_id, options))
    windows = everything[options.part :: options.parts]
    largest_part = len(everything[:: options.parts])
    nats, n_tokens, text_bytes = 0.0, 0, 0.0
    was_training = model.training
    model.eval()
    for i in range(0, largest_part, options.batch):
        batch = windows[i : i + options.batch]
        inputs, targets = _pad(batch or everything[:1], end_id)
        with precision.autocast():
            mean = model.loss(inputs.to(precision.device), targets.to(precision.device))
        count = int((targets != IGNORED_TARGET).sum()) if batch else 0
        nats += float(mean) * count
        n_tokens += count
        text_bytes += sum(window.text_bytes for window in batch)
    model.train(was_training)
    return LanguageLoss(nats=nats, n_tokens=n_tokens, text_bytes=text_bytes)


@dataclass(frozen=True, kw_only=True)
class _Window:
    ids: Tensor  # [≤ seq_len + 1]: the first is context only
    text_bytes: float


def _windows(shards: list[PackedShard], end_id: int, options: ScoreOptions) -> Iterator[_Window]:
    documents = [(shard, i) for shard in shards for i in range(shard.info.n_documents)]
    left, bytes_left = options.tokens_per_language, options.bytes_per_language
    for at in np.random.default_rng(_ORDER_SEED).permutation(len(documents)):
        shard, i = documents[int(at)]
        if bytes_left <= 0:
            return
        bytes_left -= float(shard.text_bytes[i])
        ids = torch.tensor([end_id, *shard.document(i).tolist()])
        bytes_per_token = float(shard.text_bytes[i]) / max(1, len(ids) - 1)
        for start in range(0, len(ids) - 1, options.seq_len):
            if left <= 0:
                return
            window = ids[start : start + options.seq_len + 1]
            left -= len(window) - 1
            yield _Window(ids=window, text_bytes=bytes_per_token * (len(window) - 1))


def _pad(batch: list[_Window], end_id: int) -> tuple[Tensor, Tensor]:
    longest = max(len(window.ids) for window in batch)
    inputs = torch.full((len(batch), longest - 1), end_id)  # [B, T]
    targets = torch.full((len(batch), longest - 1), IGNORED_TARGET)  # [B, T]
    for row, window in enumerate(batch):
        inputs[row, : len(window.ids) - 1] = window.ids[:-1]
        targets[row, : len(window.ids) - 1] = window.ids[1:]
    return inputs, targets
