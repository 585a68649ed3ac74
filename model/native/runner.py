"""A quantised model on the CPU, computed by the compiled step: no PyTorch is loaded for it.

Shapes: N tokens of a step, D hidden width, S rows whose next token is chosen, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.families.config import ModelConfig
from model.local.threads import ThreadChoice
from model.native import library
from model.native.linear import Floats, zeros_in_lines
from model.native.model import NativeModel
from model.native.step import NativeStep
from model.runner.memory import release_slots
from model.runner.runner import Batch, CacheMove
from model.runner.sampling import HostLogits
from model.weights.scheme import Scheme
from model.weights.weight_files import Weights

_LARGEST_ARRAY = 2**23  # bytes: a step's logits, say


@dataclass(frozen=True)
class NativeHidden:
    """Hidden states fp32 [N, D]."""

    values: Floats
    _model: NativeModel
    _threads: ThreadChoice

    def logits(self, rows: Sequence[int]) -> HostLogits:
        """The logits of what follows some of the tokens."""
        hidden = self.values[list(rows)]
        with self._threads.chosen(len(rows)) as threads:
            return HostLogits(self._model.logits(hidden, threads=threads))


class NativeRunner:
    """See `model.runner.runner.Runner`. Keys and values are kept in bf16 unless `cache_dtype` says so."""

    def __init__(
        self,
        weights: Weights,
        config: ModelConfig,
        scheme: Scheme,
        *,
        threads: int,
        reason: str,
        cache_dtype: Literal["bfloat16", "float32"] = "bfloat16",
    ) -> None:
        """Load the weights. Raises `ModelError`."""
        self.config = config
        self.model = NativeModel(weights, config, scheme, threads=threads)
        self._step = NativeStep(self.model)
        self._scheme, self._reason, self._cache_dtype = scheme, reason, cache_dtype
        self._threads, self._head_threads = ThreadChoice(threads), ThreadChoice(threads)
        self._most_threads = threads
        self._cache: NDArray[Any] = np.zeros(0, np.uint16)

    @property
    def description(self) -> dict[str, str]:
        """How it runs, for people."""
        return {
            "device": "cpu",
            "dtype": self._cache_dtype,
            "quantize": self._scheme.value,
            "step": f"compiled, {library.native_variant()}",
            "threads": str(self._most_threads),
            "why": self._reason,
        }

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values of one token over all layers."""
        return self.config.n_layer * 2 * self.config.kv_dim * self._numpy_type.itemsize

    def reserve(self, n_slots: int) -> None:
        """Make the cache [layers, slots, 2, C]; pages of memory are only taken as they are written."""
        shape = (self.config.n_layer, n_slots, 2, self.config.kv_dim)
        self._cache = zeros_in_lines(shape, self._numpy_type)
        # At every step glibc maps and unmaps arrays that are larger than any it has seen freed. For eight
        # rows of logits that took half of the step's time.
        np.empty(_LARGEST_ARRAY, np.uint8)

    def release(self, slots: NDArray[np.int64]) -> None:
        """Let the system have the memory of slots that hold nothing."""
        release_slots(self._cache, slots)

    def move(self, move: CacheMove) -> None:
        """Copy cached tokens, their keys turned to their new places."""
        self._step.move(move, self._cache, threads=self._most_threads)

    def compute(self, batch: Batch) -> NativeHidden:
        """Compute the tokens of a step and keep their keys and values."""
        with self._threads.chosen(len(batch.ids)) as threads:
            hidden = self._step.hidden(batch, self._cache, threads=threads)
        return NativeHidden(hidden, self.model, self._head_threads)

    @property
    def _numpy_type(self) -> np.dtype[Any]:
        return np.dtype(np.uint16 if self._cache_dtype == "bfloat16" else np.float32)
