"""Steps in which every sequence brings one token, as CUDA graphs.

Launching the kernels of a decode step one by one takes longer than they run; a graph launches all of
them at once. One is captured for each size of batch of a ladder, smaller batches are padded. Only
single-head keys and values (multi-query) are served, by `model.mqa_decode`.

Shapes: N sequences of a step, B rows of a graph, L tokens of all contexts, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from model.config import ModelConfig
from model.mqa_decode import Contexts, decode_attention, takes
from model.runner import Batch
from model.transformer import GPTBigCode

_SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_PROGRAMS = 264  # enough for every multiprocessor of the largest GPUs to have two


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """What a captured step reads and writes, and how to run it."""

    inputs: Tensor  # int64 [5, B]: ids, positions, slots, starts, lengths
    hidden: Tensor  # [B, D]
    replay: Callable[[], None]


class DecodeGraphs:
    """The graphs of one model and one cache [layers, slots, 2, 1, C], whose last slot nobody else uses:
    padding rows write there."""

    def __init__(self, model: GPTBigCode, cache: Tensor) -> None:
        self._model, self._cache = model, cache
        self._spare = cache.shape[1] - 1
        longest = _SIZES[-1] * model.config.n_positions
        self._context = torch.zeros(longest, dtype=torch.int32, device=cache.device)  # [L or more]
        self._graphs: dict[int, _Graph] = {}
        self.prepare(_SIZES[0])

    @staticmethod
    def serve(config: ModelConfig) -> bool:
        """Whether a model of this shape can be captured."""
        return takes(config.n_head, config.n_kv_head, config.head_dim)

    @staticmethod
    def take(batch: Batch) -> bool:
        """Whether a step is one that a graph computes."""
        return len(batch.ids) == len(batch.n_new) <= _SIZES[-1]

    @torch.inference_mode()
    def prepare(self, n_sequences: int) -> _Graph:
        """Capture the graph that serves so many sequences, where that has not been done."""
        size = next(size for size in _SIZES if size >= n_sequences)
        if size not in self._graphs:
            self._graphs[size] = self._capture(size)
        return self._graphs[size]

    @torch.inference_mode()
    def hidden(self, batch: Batch) -> Tensor:
        """Compute a step; its hidden states [N, D], valid until the next step."""
        n_rows = len(batch.ids)
        graph = self.prepare(n_rows)
        slots = np.concatenate(batch.contexts).astype(np.int32)
        lengths = [len(context) for context in batch.contexts]
        inputs = self._padding(graph.inputs.shape[1])
        starts = [0, *accumulate(lengths[:-1])]
        inputs[:, :n_rows] = np.stack([batch.ids, batch.positions, batch.slots, starts, lengths])
        self._context[: len(slots)].copy_(torch.from_numpy(slots))
        graph.inputs.copy_(torch.from_numpy(inputs))
        graph.replay()
        return graph.hidden[:n_rows]

    def _padding(self, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        inputs = np.zeros((5, size), np.int64)
        inputs[2] = self._spare
        return inputs

    def _capture(self, size: int) -> _Graph:
        inputs = torch.from_numpy(self._padding(size)).to(self._cache.device)
        ids, positions, slots, starts, lengths = inputs
        contexts = Contexts(slots=self._context, starts=starts, lengths=lengths)
        n_splits = max(1, min(32, _PROGRAMS // size))

        def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
            layer_cache = self._cache[layer]  # [slots, 2, 1, C]
            layer_cache.index_copy_(0, slots, key_value.to(layer_cache.dtype))
            return decode_attention(query, layer_cache, contexts, n_splits=n_splits)

        def step() -> Tensor:
            return self._model.hidden(ids, positions, attend)

        if self._cache.device.type != "cuda":  # a machine without a GPU can still run what is captured
            hidden = step()

            def again() -> None:
                hidden.copy_(step())

            return _Graph(inputs=inputs, hidden=hidden, replay=again)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # kernels are compiled and libraries set up before a capture
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            hidden = step()
        return _Graph(inputs=inputs, hidden=hidden, replay=graph.replay)
