"""The weights of a model that the compiled step can run: loading them, without PyTorch.

Shapes: N tokens, D hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.families.config import Activation, BlockNames, ModelConfig, Norm
from model.native import library, structures
from model.native.linear import PANEL, WIDTH, Floats, LinearReader, Matrices, NativeLinear
from model.weights.scheme import Scheme, bits_of
from model.weights.weight_files import Weights

_HEAD_LANES = 16
# `enum Norm` and `enum Activation`.
_NORMS = {Norm.LAYER: 0, Norm.RMS: 1, Norm.RMS_FROM_ONE: 1}
_ACTIVATIONS = {Activation.GELU_TANH: 0, Activation.SILU: 1}


def takes(config: ModelConfig) -> bool:
    """Whether there is compiled code here, and it can run such a model: heads of a multiple of 16, of 32
    where they are rotated, widths of multiples of 64, queries, keys and values each head by head."""
    widths = (config.width, config.inner_dim, config.n_head * config.head_dim)
    whole = all(width % WIDTH == 0 for width in widths) and config.head_dim % _HEAD_LANES == 0
    turned = config.rotary is None or config.rotary.dim % PANEL == 0
    is_stacked = len(config.family.block(0).query_key_value) > 1
    in_order = config.kv_dim % PANEL == 0 if is_stacked else config.n_kv_head == 1
    return whole and turned and in_order and library.native_library() is not None


class NativeModel:
    """A model's weights where compiled code finds them: `struct` is what it is handed."""

    def __init__(self, weights: Weights, config: ModelConfig, scheme: Scheme, *, threads: int) -> None:
        """Load the weights. Raises `CheckpointError`."""
        assert takes(config), "ask `takes` first"
        self.config = config
        self._scheme, self._fine = scheme, _fine_fields(config)
        self._weights, self._shapes = weights, config.family.shapes(config)
        self._weights.check(self._shapes)
        self._reader = LinearReader(self._weights, threads=threads)
        self._kept: list[Floats] = []
        self._linears: dict[tuple[str, ...], NativeLinear] = {}
        self._read_embeddings()
        self._read_layers()

    def embedded(self, ids: NDArray[np.int32], positions: NDArray[np.int64]) -> Floats:
        """ids [N], positions [N] -> what the first layer is given, fp32 [N, D]."""
        if self._tokens is None:
            tokens: Floats = self.head.rows(ids) * self.head.arrays["scale"][ids, None]
        else:
            tokens = self._tokens(ids)
        if (scale := self.config.multipliers.embedding) != 1:
            tokens = tokens * np.float32(scale)
        return tokens if self._positions is None else tokens + self._positions(positions)

    def logits(self, hidden: Floats, *, threads: int = 1) -> Floats:
        """hidden states fp32 [N, D] -> [N, V]."""
        if (divisor := self.config.multipliers.logits_divisor) != 1:
            hidden = hidden / np.float32(divisor)
        return self.head(hidden, threads=threads)

    def linears(self) -> dict[tuple[str, ...], NativeLinear]:
        """The layers by the names of the modules that are stacked in each, `lm_head` among them."""
        return self._linears | {("lm_head",): self.head}

    def _read_embeddings(self) -> None:
        family, shapes = self.config.family, self._shapes
        name = family.position_embedding
        self._positions = None if name is None else self._weights.table(name, shapes[name])
        tokens = family.token_embedding
        head = tokens if self.config.tied_head else family.output_head
        self.head = self._read({head: self._matrix(head)}, fine="head" in self._fine)
        are_heads = self.config.tied_head and self.head.struct.bits == 8
        self._tokens = None if are_heads else self._weights.table(tokens, shapes[tokens])

    def _read_layers(self) -> None:
        config, rotary = self.config, self.config.rotary
        self._layers = (structures.Layer * config.n_layer)()
        for number, layer in enumerate(self._layers):
            self._read_layer(config.family.block(number), layer)
            layer.rotates = rotary is not None and number not in config.unrotated_layers
        angles = None if rotary is None else self._keep(rotary.angles(config.n_positions))
        self.struct = structures.Model(
            n_layer=config.n_layer,
            width=config.width,
            n_head=config.n_head,
            n_kv_head=config.n_kv_head,
            head_dim=config.head_dim,
            inner=config.inner_dim,
            norm=_NORMS[config.norm],
            activation=_ACTIVATIONS[config.activation],
            epsilon=config.norm_epsilon,
            score_scale=config.score_scale,
            residual=config.multipliers.residual,
            layers=self._layers,
            ln_f_weight=self._norm(f"{config.family.final_norm}.weight"),
            ln_f_bias=self._floats(f"{config.family.final_norm}.bias"),
            rotary=angles,
            n_positions=config.n_positions,
            rotary_dim=0 if rotary is None else rotary.dim,
        )

    def _read_layer(self, block: BlockNames, layer: structures.Layer) -> None:
        layer.ln_1_weight = self._norm(f"{block.attention_norm}.weight")
        layer.ln_1_bias = self._floats(f"{block.attention_norm}.bias")
        layer.ln_2_weight = self._norm(f"{block.feed_forward_norm}.weight")
        layer.ln_2_bias = self._floats(f"{block.feed_forward_norm}.bias")
        layer.query_norm = self._floats(f"{block.query_norm}.weight")
        layer.key_norm = self._floats(f"{block.key_norm}.weight")
        layer.qkv = self._linear("qkv", *block.query_key_value)
        layer.proj = self._linear("proj", block.attention_output)
        inner = [name for name in (block.feed_forward_gate, block.feed_forward_in) if name is not None]
        for field, name in zip(("gate", "fc")[-len(inner) :], inner, strict=True):
            setattr(layer, field, self._linear(field, name, beside=inner))
        layer.out = self._linear("out", block.feed_forward_out)

    def _linear(self, field: str, *stacked: str, beside: Sequence[str] = ()) -> structures.Linear:
        """The layer that `field` of `struct Layer` is, of modules one under the other; it is given the same
        activations as those of `beside`."""
        biases = [self._weights.take(name, self._shapes[name]).floats() for name in self._biases(stacked)]
        bias = np.concatenate(biases) if biases else None
        weights = self._matrices(stacked)
        feed_forward = self.config.family.is_feed_forward(stacked[0])
        if bits_of(self._scheme, feed_forward=feed_forward) == 4:
            made = self._reader.int4(*next(iter(weights.items())), bias=bias)
        else:
            fine = field in self._fine
            made = self._read(weights, beside=self._matrices(beside), bias=bias, fine=fine)
        self._linears[stacked] = made
        return made.struct

    def _read(
        self, weights: Matrices, *, fine: bool, beside: Matrices | None = None, bias: Floats | None = None
    ) -> NativeLinear:
        if self._scheme is Scheme.FILE:
            return self._reader.as_stored(weights, beside=beside or {}, bias=bias, fine=fine)
        return self._reader.int8(weights, bias=bias, fine=fine)

    def _biases(self, modules: Iterable[str]) -> list[str]:
        return [name for module in modules if (name := f"{module}.bias") in self._shapes]

    def _matrices(self, modules: Iterable[str]) -> Matrices:
        names = [f"{module}.weight" for module in modules]
        return {name: self._matrix(name) for name in names}

    def _matrix(self, name: str) -> tuple[int, int]:
        n_out, n_in = self._shapes[name]
        return n_out, n_in

    def _floats(self, name: str) -> int | None:
        """Where the values of a vector lie; None for one that the model does not have."""
        if name not in self._shapes:
            return None
        return self._keep(self._weights.take(name, self._shapes[name]).floats())

    def _norm(self, name: str) -> int:
        """Where the weights of a norm lie."""
        stored = self._weights.take(name, self._shapes[name]).floats()
        return self._keep(stored + 1 if self.config.norm is Norm.RMS_FROM_ONE else stored)

    def _keep(self, values: Floats) -> int:
        self._kept.append(np.ascontiguousarray(values))
        return self._kept[-1].ctypes.data


def _fine_fields(config: ModelConfig) -> Collection[str]:
    """The fields of `struct Layer`, and `head`, whose activations need more than eight bits.

    Attention's inputs have outliers that eight bits are too coarse for: nine tenths of the quality that
    int8 costs is lost there. Where a feed-forward is gated, its query, key and value projections are
    enough: perplexity of Qwen2.5-Coder 0.5B on 20,000 tokens of code is 1.0112 times the exact one's with
    none, 1.0027 with them, 1.0007 with `out` too, which makes prefills a fifth slower instead of 5 %.
    """
    is_gated = config.family.block(0).feed_forward_gate is not None
    return ("qkv",) if is_gated else ("qkv", "proj")
