"""Which tokens are sample number i: language mixture, epochs, packing into fixed lengths, FIM.

A sample depends on the seed and its number alone, never on workers, restarts or what was read
before. Documents of a language are shuffled anew each epoch, laid end to end with an
end-of-document token after each, and cut into samples of `seq_len` + 1 ids.

Shapes: T = seq_len ids a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.prompt.fim_format import FimFormat
from training.data.encoding import Encoding
from training.data.fim_samples import FimOptions, FimTransform
from training.data.packing import PackedCorpus, PackedShard, TokenIds
from training.errors import PackingError, RecipeError

IGNORED_TARGET = -100
_MIXTURE_BLOCK = 1_000
# Streams of random numbers that must not repeat one another.
_DOCUMENTS, _SAMPLES, _MIXTURE, _FIM = range(4)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """`weights`: share of samples by language; "*" is shared by the unnamed ones by their tokens."""

    seq_len: int = 1_024
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: {"*": 1.0})
    fim: FimOptions = field(default_factory=FimOptions)

    def __post_init__(self) -> None:
        if self.seq_len < 8:
            raise RecipeError(f"seq_len = {self.seq_len}: it must be at least 8")
        if not self.weights or any(weight < 0 for weight in self.weights.values()):
            raise RecipeError(f"weights {dict(self.weights)}: give each language a share of at least 0")


def mixture(corpus: PackedCorpus, weights: Mapping[str, float], seq_len: int) -> dict[str, float]:
    """Shares of the languages the corpus has, summing to 1, in a fixed order.

    A language too small for one sample is left out; a named one that is absent is an error.
    """
    large = sorted(name for name in corpus.shards if corpus.n_tokens(name) > seq_len + 1)
    unknown = sorted(set(weights) - set(corpus.shards) - {"*"})
    if unknown or not large:
        raise PackingError(
            f"the corpus has {', '.join(large) or 'no language'}, but not {', '.join(unknown)}"
        )
    rest = [name for name in large if name not in weights]
    rest_tokens = sum(corpus.n_tokens(name) for name in rest)
    shares = {name: weights[name] for name in large if name in weights}
    for name in rest:
        shares[name] = weights.get("*", 0.0) * corpus.n_tokens(name) / rest_tokens
    total = sum(shares.values())
    return {name: share / total for name, share in sorted(shares.items()) if share > 0}


class LanguageStream:
    """One language's samples: number j -> `seq_len` + 1 ids, epoch after epoch without end."""

    def __init__(
        self, shards: list[PackedShard], *, end_id: int, seq_len: int, seed: tuple[int, ...]
    ) -> None:
        self._shards, self._end_id, self._seq_len, self._seed = shards, end_id, seq_len, seed
        self._of_shard = np.repeat(np.arange(len(shards)), [shard.info.n_documents for shard in shards])
        self._in_shard = np.concatenate([np.arange(shard.info.n_documents) for shard in shards])
        self._lengths = np.concatenate([np.diff(shard.starts) for shard in shards]) + 1  # + end of document
        self.n_samples = (int(self._lengths.sum()) - 1) // seq_len
        self._epoch = lru_cache(maxsize=2)(self._shuffle)

    def sample(self, number: int) -> npt.NDArray[np.int64]:
        """Sample `number` as ids [T + 1]; neighbours share one id, the last of one and first of the next."""
        epoch, place = divmod(number, self.n_samples)
        documents, ends, samples = self._epoch(epoch)
        begin = int(samples[place]) * self._seq_len
        end = begin + self._seq_len + 1
        at = int(np.searchsorted(ends, begin, side="right"))
        parts: list[npt.NDArray[np.int64]] = []
        position = begin
        while position < end:
            ids = self._document(int(documents[at]))
            offset = position - (int(ends[at]) - len(ids))
            parts.append(ids[offset : offset + end - position])
            position += len(parts[-1])
            at += 1
        return np.concatenate(parts)

    def _shuffle(self, epoch: int) -> tuple[TokenIds, TokenIds, TokenIds]:
        documents = np.random.default_rng([*self._seed, _DOCUMENTS, epoch]).permutation(len(self._lengths))
        samples = np.random.default_rng([*self._seed, _SAMPLES, epoch]).permutation(self.n_samples)
        return documents, np.cumsum(self._lengths[documents]), samples

    def _document(self, index: int) -> npt.NDArray[np.int64]:
        ids = self._shards[self._of_shard[index]].document(int(self._in_shard[index]))
        return np.append(ids.astype(np.int64), self._end_id)


class TrainingSamples(Dataset[tuple[Tensor, Tensor]]):
    """Sample number -> (input ids [T], targets [T]), targets of padding being `IGNORED_TARGET`."""

    def __init__(
        self, corpus: PackedCorpus, encoding: Encoding, fim: FimFormat, options: DataOptions
    ) -> None:
        self._options = options
        self._pad_id = fim.pad_id
        self._fim = FimTransform(encoding, fim, options.fim)
        self.shares = mixture(corpus, options.weights, options.seq_len)
        self._counts = _counts(list(self.shares.values()))
        self._streams = [
            LanguageStream(
                corpus.shards[name],
                end_id=fim.end_of_text_id,
                seq_len=options.seq_len,
                seed=(options.seed, i),
            )
            for i, name in enumerate(self.shares)
        ]
        self._block = lru_cache(maxsize=2)(self._shuffled_block)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._options.seed, _FIM, number])
        ids = self._fim.sample(self.packed(number), rng)  # [T + 1]
        # The loss of padding would teach nothing but to pad.
        targets = np.where(ids[1:] == self._pad_id, IGNORED_TARGET, ids[1:])
        return torch.from_numpy(ids[:-1].copy()), torch.from_numpy(targets)

    def packed(self, number: int) -> npt.NDArray[np.int64]:
        """Sample `number` before FIM, ids [T + 1]."""
        stream, index = self.place(number)
        return self._streams[stream].sample(index)

    def place(self, number: int) -> tuple[int, int]:
        """(which language, which sample of it): every block of 1,000 has each language's exact share."""
        block, offset = divmod(number, _MIXTURE_BLOCK)
        streams, ranks = self._block(block)
        stream = int(streams[offset])
        return stream, block * self._counts[stream] + int(ranks[offset])

    def _shuffled_block(self, block: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        streams = np.repeat(np.arange(len(self._counts)), self._counts)
        streams = np.random.default_rng([self._options.seed, _MIXTURE, block]).permutation(streams)
        ranks = np.zeros(_MIXTURE_BLOCK, dtype=np.int64)
        for stream, count in enumerate(self._counts):
            ranks[streams == stream] = np.arange(count)
        return streams, ranks


def _counts(shares: list[float]) -> list[int]:
    """Samples of each language in a block: largest remainders, at least one each."""
    exact = np.asarray(shares) * _MIXTURE_BLOCK
    counts = np.maximum(np.floor(exact).astype(int), 1)
    order = np.argsort(counts - exact, kind="stable")
    for i in order[: max(0, _MIXTURE_BLOCK - int(counts.sum()))]:
        counts[i] += 1
    counts[int(np.argmax(counts))] += _MIXTURE_BLOCK - int(counts.sum())
    return [int(count) for count in counts]


def document_ids(input_ids: Tensor, end_id: int) -> Tensor:
    """input_ids [B, T] -> [B, T]: the number of each token's document, for the optional attention mask.

    An end-of-document token belongs to the document that it ends.
    """
    ended = (input_ids == end_id).long().cumsum(dim=1)  # [B, T]
    return torch.cat([torch.zeros_like(ended[:, :1]), ended[:, :-1]], dim=1)
