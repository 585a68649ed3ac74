"""A whole step of a quantised model in one compiled call.

Shapes: N tokens of the step, D hidden width, C width of a head's keys or values.
"""

from __future__ import annotations

import ctypes
import weakref
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.native import library, structures
from model.native.linear import Floats
from model.native.model import NativeModel
from model.runner.runner import Batch, CacheMove


class NativeStep:
    """The compiled twin of `CausalLM.hidden` for one model."""

    def __init__(self, model: NativeModel) -> None:
        native = library.native_library()
        assert native is not None, "a model of compiled layers was loaded"
        self._native, self._model = native, model
        self._scratch = native.starcoder_new_scratch()
        if not self._scratch:
            raise library.NativeError("not enough memory for the compiled step")
        weakref.finalize(self, native.starcoder_free_scratch, self._scratch)

    def hidden(self, batch: Batch, cache: NDArray[Any], *, threads: int) -> Floats:
        """Write the new tokens' keys and values to the cache; their hidden states, fp32 [N, D].

        cache [layers, slots, 2, C] in fp32, or the bits of bf16 as uint16. Raises `NativeError`.
        """
        embedded = self._model.embedded(batch.ids, batch.positions)  # [N, D]
        slots = np.concatenate(batch.contexts)
        bounds = np.array([0, *accumulate(map(len, batch.contexts))], np.int64)
        n_new = np.array(batch.n_new, np.int64)
        hidden = np.empty_like(embedded)
        step = structures.Step(
            n_tokens=len(batch.ids),
            n_sequences=len(n_new),
            n_slots=cache.shape[1],
            is_bf16=cache.dtype == np.uint16,
            threads=threads,
            embedded=embedded.ctypes.data,
            positions=batch.positions.ctypes.data,
            new_slots=batch.slots.ctypes.data,
            n_new=n_new.ctypes.data,
            context_bounds=bounds.ctypes.data,
            context_slots=slots.ctypes.data,
            cache=cache.ctypes.data,
            hidden=hidden.ctypes.data,
        )
        library.check(
            self._native.starcoder_step(ctypes.byref(self._model.struct), ctypes.byref(step), self._scratch)
        )
        return hidden

    def move(self, move: CacheMove, cache: NDArray[Any], *, threads: int) -> None:
        """Copy cached tokens, their keys turned by rotary positions. Raises `NativeError`."""
        config, rotary = self._model.config, self._model.config.rotary
        assert rotary is not None, "learned positions cannot be turned"
        turns = np.repeat(rotary.turn(move.by)[None], config.n_layer, 0)  # [layers, 2, R / 2]
        turns[list(config.unrotated_layers)] = rotary.turn(0)
        sources, targets = np.ascontiguousarray(move.sources), np.ascontiguousarray(move.targets)
        wanted = structures.Move(
            n_layer=config.n_layer,
            n_kv_head=config.n_kv_head,
            head_dim=config.head_dim,
            rotary_dim=rotary.dim,
            n_tokens=len(sources),
            n_slots=cache.shape[1],
            is_bf16=cache.dtype == np.uint16,
            threads=threads,
            sources=sources.ctypes.data,
            targets=targets.ctypes.data,
            turns=turns.ctypes.data,
            cache=cache.ctypes.data,
        )
        library.check(self._native.starcoder_move(ctypes.byref(wanted)))
