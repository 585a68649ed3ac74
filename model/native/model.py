"""The weights of a multi-query model for the compiled step: loading them, without PyTorch.

Shapes: N tokens, D hidden width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.native import library
from model.native.linear import GROUP, Floats, LinearReader, NativeLinear
from model.weights.config import ModelConfig
from model.weights.scheme import Scheme, bits_of
from model.weights.weight_files import (
    POSITION_EMBEDDING,
    TOKEN_EMBEDDING,
    Shapes,
    WeightFiles,
    parameter_shapes,
)

_HEAD_LANES = 16
# The fields of `struct Layer`, and what checkpoints call them.
_LINEARS = {"qkv": "attn.c_attn", "proj": "attn.c_proj", "fc": "mlp.c_fc", "out": "mlp.c_proj"}


def takes(config: ModelConfig) -> bool:
    """Whether there is compiled code here, and it can run a model of that shape: multi-query, heads of a
    multiple of 16, widths of multiples of 64."""
    widths = config.n_embd % GROUP == 0 and config.inner_dim % GROUP == 0
    heads = config.multi_query and config.head_dim % _HEAD_LANES == 0
    return widths and heads and library.native_library() is not None


class NativeModel:
    """A model's weights where compiled code finds them: `struct` is what it is handed."""

    def __init__(self, folder: Path, config: ModelConfig, scheme: Scheme, *, threads: int) -> None:
        """Load the weights of `folder`. Raises `CheckpointError`."""
        assert takes(config), "ask `takes` first"
        self.config = config
        weights = WeightFiles(folder)
        shapes = parameter_shapes(self.config)
        weights.refuse_unexpected(shapes)
        self._kept: list[Floats] = []
        self._linears: dict[str, NativeLinear] = {}
        reader = LinearReader(weights, threads=threads)
        self._positions = weights.take(POSITION_EMBEDDING, shapes[POSITION_EMBEDDING])
        vocabulary = shapes[TOKEN_EMBEDDING]
        self.head = reader.int8(TOKEN_EMBEDDING, (vocabulary[0], vocabulary[1]))
        self._read_layers(weights, reader, shapes, scheme)

    def embedded(self, ids: NDArray[np.int32], positions: NDArray[np.int64]) -> Floats:
        """ids [N], positions [N] -> the sum of their embeddings, fp32 [N, D]."""
        tokens = self.head.rows(ids) * self.head.arrays["scale"][ids, None]
        at = type(self._positions)(dtype=self._positions.dtype, data=self._positions.data[positions])
        result: Floats = tokens + at.floats()
        return result

    def linears(self) -> dict[str, NativeLinear]:
        """The layers by the names of checkpoints, `lm_head` among them."""
        return self._linears | {"lm_head": self.head}

    def _read_layers(
        self, weights: WeightFiles, reader: LinearReader, shapes: Shapes, scheme: Scheme
    ) -> None:
        config = self.config

        def floats(name: str) -> Floats:
            self._kept.append(weights.take(name, shapes[name]).floats())
            return self._kept[-1]

        self._layers = (library.Layer * config.n_layer)()
        for number, layer in enumerate(self._layers):
            block = f"transformer.h.{number}"
            for norm in ("ln_1", "ln_2"):
                for part in ("weight", "bias"):
                    setattr(layer, f"{norm}_{part}", floats(f"{block}.{norm}.{part}").ctypes.data)
            for field, linear in _LINEARS.items():
                name = f"{block}.{linear}"
                bias = floats(f"{name}.bias")
                n_out, n_in = shapes[f"{name}.weight"]
                if bits_of(name, scheme) == 4:
                    made = reader.int4(f"{name}.weight", (n_out, n_in), bias=bias)
                else:
                    # Attention's inputs have the outliers that eight bits are too coarse for: nine
                    # tenths of the quality that int8 costs is lost there.
                    fine = linear.startswith("attn.")
                    made = reader.int8(f"{name}.weight", (n_out, n_in), bias=bias, fine=fine)
                self._linears[name] = made
                setattr(layer, field, made.struct)
        self.struct = library.Model(
            n_layer=config.n_layer,
            width=config.n_embd,
            n_head=config.n_head,
            head_dim=config.head_dim,
            inner=config.inner_dim,
            epsilon=config.layer_norm_epsilon,
            layers=self._layers,
            ln_f_weight=floats("transformer.ln_f.weight").ctypes.data,
            ln_f_bias=floats("transformer.ln_f.bias").ctypes.data,
        )
