"""Steps in which every sequence brings one token or a few (drafts, a key typed), as CUDA graphs.

Launching the kernels of a decode step one by one takes longer than they run; a graph launches all of
them at once. One is recorded for each number of tokens of a ladder, smaller steps are padded. Only
single-head keys and values (multi-query) are served, by `model.pytorch.mqa_decode`.

Shapes: N tokens of a step, B rows of a graph, L tokens of all contexts, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.families.config import ModelConfig
from model.pytorch.attention import Attend
from model.pytorch.causal_lm import CausalLM
from model.pytorch.mqa_decode import MOST_SPLITS, Contexts, decode_attention, takes
from model.runner.runner import Batch

# (ids [B], positions [B], attend) -> hidden states [B, D]
Forward = Callable[[Tensor, Tensor, Attend], Tensor]
# What computes a step -> where its hidden states [B, D] lie, and what computes it again.
Record = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], object]]]

_SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Of one sequence with and without drafts, which the engine chooses by what their steps took. Others are
# recorded when they are first asked for.
_AT_ONCE = (1, 2, 4, 8)
# Every token of a sequence reads its context for itself: more of them belong together.
_MOST_NEW = 16
_PROGRAMS = 528  # enough for every multiprocessor of the largest GPUs to have four


class CudaGraphs:
    """Records steps as CUDA graphs. They share their memory: one runs at a time, and what a step leaves
    for its caller is never given to another."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
        """See `Record`."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # kernels are compiled and libraries set up before a capture
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            hidden = step()
        return hidden, graph.replay


def compiled(model: CausalLM) -> Forward:
    """`model.hidden` with all that lies between two attentions compiled by torch.compile.

    Compiled with attention in it, a step would get the cache as a value and copy all of it for every layer
    that writes to it. So it is left out, and the layers share what is compiled: twice, for a single row
    and for any number of rows.
    """
    forward = torch.compile(model.hidden)

    def hidden(ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        apart = torch.compiler.disable(attend)  # type: ignore[no-untyped-call]
        return forward(ids, positions, apart)

    return hidden


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """What a recorded step reads and writes, and how to run it."""

    inputs: Tensor  # int64 [5, B]: ids, positions, slots, starts, lengths
    hidden: Tensor  # [B, D]
    replay: Callable[[], object]


class DecodeGraphs:
    """The graphs of one model and one cache [layers, slots, 2, 1, C], whose last slot nobody else uses:
    padding rows write there."""

    def __init__(self, forward: Forward, cache: Tensor, record: Record, *, n_positions: int) -> None:
        self._forward, self._cache, self._record = forward, cache, record
        self._spare = cache.shape[1] - 1
        self._context = torch.zeros(_SIZES[-1] * n_positions, dtype=torch.int32, device=cache.device)
        self._graphs: dict[int, _Graph] = {}
        for size in _AT_ONCE:
            self.prepare(size)

    @staticmethod
    def serve(config: ModelConfig) -> bool:
        """Whether a model of this shape can be recorded."""
        return takes(config.n_head, config.n_kv_head, config.head_dim)

    @staticmethod
    def take(batch: Batch) -> bool:
        """Whether a step is one that a graph computes."""
        return len(batch.ids) <= _SIZES[-1] and max(batch.n_new) <= _MOST_NEW

    @torch.inference_mode()
    def prepare(self, n_rows: int) -> _Graph:
        """Record the graph that serves so many tokens, where that has not been done."""
        size = next(size for size in _SIZES if size >= n_rows)
        if size not in self._graphs:
            self._graphs[size] = self._make(size)
        return self._graphs[size]

    @torch.inference_mode()
    def hidden(self, batch: Batch) -> Tensor:
        """Compute a step; its hidden states [N, D], valid until the next step."""
        n_rows = len(batch.ids)
        graph = self.prepare(n_rows)
        ends = np.cumsum([len(context) for context in batch.contexts])
        slots = self._sendable(int(ends[-1]), dtype=torch.int32)
        np.concatenate(batch.contexts, out=slots.numpy(), casting="same_kind")
        starts = np.repeat(np.concatenate([[0], ends[:-1]]), batch.n_new)
        # A token sees itself and what precedes it in its sequence's context.
        values = (batch.ids, batch.positions, batch.slots, starts, batch.positions + 1)
        inputs = self._padding(graph.inputs.shape[1])
        for row, of_row in zip(inputs.numpy(), values, strict=True):
            row[:n_rows] = of_row
        self._context[: len(slots)].copy_(slots, non_blocking=True)
        graph.inputs.copy_(inputs, non_blocking=True)
        graph.replay()
        return graph.hidden[:n_rows]

    def _sendable(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Host memory from which copies need no waiting: PyTorch keeps the memory until they are made."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._cache.is_cuda)

    def _padding(self, size: int) -> Tensor:
        inputs = self._sendable(5, size, dtype=torch.int64).zero_()
        inputs[2] = self._spare
        return inputs

    def _make(self, size: int) -> _Graph:
        inputs = self._padding(size).to(self._cache.device, copy=True)
        ids, positions, slots, starts, lengths = inputs
        contexts = Contexts(slots=self._context, starts=starts, lengths=lengths)
        n_splits = max(1, min(MOST_SPLITS, _PROGRAMS // size))

        def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
            layer_cache = self._cache[layer]  # [slots, 2, 1, C]
            layer_cache.index_copy_(0, slots, key_value.to(layer_cache.dtype))
            return decode_attention(query, layer_cache, contexts, n_splits=n_splits)

        hidden, replay = self._record(lambda: self._forward(ids, positions, attend))
        return _Graph(inputs=inputs, hidden=hidden, replay=replay)
