"""The weights of a model that the compiled step can run: loading them, without PyTorch.

Shapes: N tokens, D hidden width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.families.config import Activation, ModelConfig, Norm, Positions, Shapes
from model.native import library, structures
from model.native.linear import GROUP, Floats, LinearReader, NativeLinear
from model.weights.scheme import Scheme, bits_of
from model.weights.weight_files import WeightFiles

_HEAD_LANES = 16
# The fields of `struct Layer`, and whose they are of `BlockNames`.
_NORMS = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm"}
_LINEARS = {
    "qkv": "query_key_value",
    "proj": "attention_output",
    "fc": "feed_forward_in",
    "out": "feed_forward_out",
}


def takes(config: ModelConfig) -> bool:
    """Whether there is compiled code here, and it can run such a model: multi-query, heads of a multiple
    of 16, widths of multiples of 64, and of each kind of part the one that the code has."""
    parts = (config.norm, config.activation, config.positions, config.has_biases, config.tied_head)
    known = parts == (Norm.LAYER, Activation.GELU_TANH, Positions.LEARNED, True, True)
    widths = config.width % GROUP == 0 and config.inner_dim % GROUP == 0
    heads = config.n_kv_head == 1 and config.head_dim % _HEAD_LANES == 0
    return known and widths and heads and library.native_library() is not None


class NativeModel:
    """A model's weights where compiled code finds them: `struct` is what it is handed."""

    def __init__(self, folder: Path, config: ModelConfig, scheme: Scheme, *, threads: int) -> None:
        """Load the weights of `folder`. Raises `CheckpointError`."""
        assert takes(config), "ask `takes` first"
        self.config = config
        family = config.family
        weights, shapes = WeightFiles(folder, family), family.shapes(config)
        weights.refuse_unexpected(shapes)
        self._kept: list[Floats] = []
        self._linears: dict[str, NativeLinear] = {}
        reader = LinearReader(weights, threads=threads)
        self._positions = weights.take(family.position_embedding, shapes[family.position_embedding])
        self.head = reader.int8(family.token_embedding, (config.vocab_size, config.width))
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
        config, family = self.config, self.config.family

        def floats(name: str) -> Floats:
            self._kept.append(weights.take(name, shapes[name]).floats())
            return self._kept[-1]

        self._layers = (structures.Layer * config.n_layer)()
        for number, layer in enumerate(self._layers):
            block = family.block(number)
            for field, role in _NORMS.items():
                name = getattr(block, role)
                for part in ("weight", "bias"):
                    setattr(layer, f"{field}_{part}", floats(f"{name}.{part}").ctypes.data)
            for field, role in _LINEARS.items():
                name = getattr(block, role)
                bias = floats(f"{name}.bias")
                n_out, n_in = shapes[f"{name}.weight"]
                feed_forward = family.is_feed_forward(name)
                if bits_of(scheme, feed_forward=feed_forward) == 4:
                    made = reader.int4(f"{name}.weight", (n_out, n_in), bias=bias)
                else:
                    # Attention's inputs have the outliers that eight bits are too coarse for: nine
                    # tenths of the quality that int8 costs is lost there.
                    made = reader.int8(f"{name}.weight", (n_out, n_in), bias=bias, fine=not feed_forward)
                self._linears[name] = made
                setattr(layer, field, made.struct)
        self.struct = structures.Model(
            n_layer=config.n_layer,
            width=config.width,
            n_head=config.n_head,
            n_kv_head=config.n_kv_head,
            head_dim=config.head_dim,
            inner=config.inner_dim,
            epsilon=config.norm_epsilon,
            score_scale=config.head_dim**-0.5,
            n_positions=config.n_positions,
            layers=self._layers,
            ln_f_weight=floats(f"{family.final_norm}.weight").ctypes.data,
            ln_f_bias=floats(f"{family.final_norm}.bias").ctypes.data,
        )
