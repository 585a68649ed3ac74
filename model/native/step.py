"""A whole step of a quantised model in one compiled call.

For the few rows of a decode step or a keystroke; long prefills go layer by layer through PyTorch,
over the same weights. Shapes: N tokens of the step, D hidden width.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.native import library
from model.native.linear import NativeLinear
from model.quantize import Int8Embedding

if TYPE_CHECKING:
    from model.attention import Segment
    from model.transformer import GPTBigCode

_HEAD_LANES = 16


class NativeStep:
    """The compiled twin of `GPTBigCode.hidden` for one model and its cache."""

    def __init__(self, model: GPTBigCode) -> None:
        native = library.native_library()
        assert native is not None, "ask `build` for a step"
        self._native = native
        assert isinstance(model.transformer.wte, Int8Embedding)
        self._tokens = model.transformer.wte
        self._positions = model.transformer.wpe.weight
        self._width = model.config.n_embd
        self._kept: list[Tensor] = []
        layers = (library.Layer * model.config.n_layer)()
        for layer, block in zip(layers, model.transformer.h, strict=True):
            for name in ("ln_1", "ln_2"):
                norm = block.get_submodule(name)
                assert isinstance(norm, nn.LayerNorm)
                setattr(layer, f"{name}_weight", self._floats(norm.weight))
                setattr(layer, f"{name}_bias", self._floats(norm.bias))
            for field, linear in zip(("qkv", "proj", "fc", "out"), _linears(block), strict=True):
                assert isinstance(linear, NativeLinear)
                setattr(layer, field, linear.struct)
        last = model.transformer.ln_f
        config = model.config
        self._layers = layers
        self._model = library.Model(
            n_layer=config.n_layer,
            width=config.n_embd,
            n_head=config.n_head,
            head_dim=config.head_dim,
            inner=config.inner_dim,
            epsilon=config.layer_norm_epsilon,
            layers=layers,
            ln_f_weight=self._floats(last.weight),
            ln_f_bias=self._floats(last.bias),
        )
        self._scratch = native.starcoder_new_scratch()
        if not self._scratch:
            raise library.NativeError("not enough memory for the compiled step")
        weakref.finalize(self, native.starcoder_free_scratch, self._scratch)

    @classmethod
    def build(cls, model: GPTBigCode) -> NativeStep | None:
        """The compiled step of `model`, or None where its layers are not all compiled ones or its
        shape is not one the compiled step takes (multi-query, heads of a multiple of 16)."""
        config = model.config
        fits = config.multi_query and config.head_dim % _HEAD_LANES == 0
        linears = [linear for block in model.transformer.h for linear in _linears(block)]
        if not fits or not all(isinstance(linear, NativeLinear) for linear in linears):
            return None
        return cls(model)

    @property
    def variant(self) -> str:
        """The instruction set it was compiled for."""
        return library.native_variant() or ""

    def hidden(
        self,
        input_ids: Tensor,
        positions: Tensor,
        new_slots: Tensor,
        segments: Sequence[Segment],
        cache: Tensor,
        *,
        threads: int,
    ) -> Tensor:
        """Write the new tokens' keys and values to the cache; their hidden states, fp32 [N, D].

        input_ids, positions, new_slots [N] int64; cache [layers, slots, 2, 1, C] in fp32 or bf16.
        """
        embedded = self._tokens.in_fp32(input_ids) + self._positions[positions]  # [N, D]
        context = [segment.context_slots for segment in segments]
        slots = context[0] if len(context) == 1 else torch.cat(context)
        bounds = torch.tensor([0, *(len(part) for part in context)]).cumsum(0)
        n_new = torch.tensor([segment.n_new for segment in segments])
        hidden = torch.empty(len(input_ids), self._width)
        step = library.Step(
            n_tokens=len(input_ids),
            n_sequences=len(segments),
            n_slots=cache.shape[1],
            is_bf16=cache.dtype is torch.bfloat16,
            threads=threads,
            embedded=embedded.data_ptr(),
            new_slots=new_slots.data_ptr(),
            n_new=n_new.data_ptr(),
            context_bounds=bounds.data_ptr(),
            context_slots=slots.data_ptr(),
            cache=cache.data_ptr(),
            hidden=hidden.data_ptr(),
        )
        library.check(
            self._native.starcoder_step(ctypes.byref(self._model), ctypes.byref(step), self._scratch)
        )
        return hidden

    def _floats(self, tensor: Tensor) -> int:
        """Where an fp32 copy of `tensor` lies, which this object keeps."""
        self._kept.append(tensor.detach().float().contiguous())
        return self._kept[-1].data_ptr()


def _linears(block: nn.Module) -> list[nn.Module]:
    """A block's linear layers in the order of `struct Layer`."""
    return [block.get_submodule(name) for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
