"""A linear layer of int8 or int4 weights, multiplied by the compiled code.

Weights stay as they are stored, row by row, so that a checkpoint in int8 is mapped, not converted.
Shapes: N tokens, O output and I input features, G groups of a row.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

from model.native import library

# A group's range may be cut to these shares: a few clipped outliers cost less than coarse steps for all.
_RANGES = (1.0, 0.95, 0.9, 0.85, 0.8)
_ROWS_AT_A_TIME = 512
GROUP = 64  # int4 weights that share a scale and a minimum; every width must be a multiple of it


def supports(n_inputs: int) -> bool:
    """Whether there is compiled code here for layers of so many inputs."""
    return n_inputs % GROUP == 0 and library.native_library() is not None


class NativeLinear(nn.Module):
    """What `Int8Linear` and `Int4Linear` do, in one call without intermediate tensors."""

    weight: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        native = library.native_library()
        assert native is not None, "ask `supports` first"
        self._native = native
        self._dtype = dtype
        self.register_buffer("weight", weight.contiguous())
        self.struct = library.Linear(weight=self.weight.data_ptr())
        if bias is not None:
            self._hold(bias=bias.float().contiguous())

    @classmethod
    def int8(
        cls, weight: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype, *, fine: bool = False
    ) -> NativeLinear:
        """weight int8 [O, I], scale [O], bias [O]; `fine`: activations in sixteen bits instead of eight."""
        layer = cls(weight, bias, dtype)
        n_out, n_in = weight.shape
        sums = torch.empty(n_out, dtype=torch.int32)
        layer._native.starcoder_row_sums(
            layer.weight.data_ptr(), n_out, n_in, sums.data_ptr(), torch.get_num_threads()
        )
        layer.struct.fine = fine
        layer._describe(n_out, n_in, 8, scale=scale.float().contiguous(), sums=sums)
        return layer

    @classmethod
    def int4(cls, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> NativeLinear:
        """weight float [O, I], bias [O]: rounded here to 16 levels in each group of a row."""
        n_out, n_in = weight.shape
        parts = [_four_bits(rows.float()) for rows in torch.split(weight, _ROWS_AT_A_TIME)]
        packed, scales, minima = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        layer = cls(packed, bias, dtype)
        layer._describe(n_out, n_in, 4, scales=scales, minima=minima)
        return layer

    def _describe(self, n_out: int, n_in: int, bits: int, **tensors: Tensor) -> None:
        self.struct.n_out, self.struct.n_in, self.struct.bits = n_out, n_in, bits
        self._hold(**tensors)

    def _hold(self, **tensors: Tensor) -> None:
        """Keep tensors for as long as the structure points at them."""
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
            setattr(self.struct, name, tensor.data_ptr())

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I] -> [N, O]."""
        x = x.float().contiguous()
        if x.dim() != 2 or x.shape[1] != self.struct.n_in:
            raise library.NativeError(f"[tokens, {self.struct.n_in}] was expected, not {tuple(x.shape)}")
        out = torch.empty(len(x), self.struct.n_out)
        code = self._native.starcoder_linear(
            ctypes.byref(self.struct), x.data_ptr(), len(x), out.data_ptr(), torch.get_num_threads()
        )
        library.check(code)
        return out.to(self._dtype)


def _four_bits(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """weight fp32 [O, I] -> codes uint8 [O, I / 2], scales and minima bf16 [O, G], of the range with
    the least squared error in each group."""
    groups = weight.reshape(len(weight), -1, GROUP)  # [O, G, 64]
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)  # [O, G, 1]
    least = torch.full_like(low, torch.inf)
    codes, scales, minima = torch.empty_like(groups), torch.empty_like(low), torch.empty_like(low)
    for share in _RANGES:
        minimum = (low * share).bfloat16().float()
        scale = ((high * share - minimum) / 15).clamp_min(1e-8).bfloat16().float()
        rounded = (groups - minimum).div_(scale).round_().clamp_(0, 15)  # [O, G, 64]
        error = torch.addcmul(minimum, rounded, scale).sub_(groups).square_().sum(2, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        codes = torch.where(better, rounded, codes)
        scales, minima = torch.where(better, scale, scales), torch.where(better, minimum, minima)
    whole = codes.to(torch.uint8)
    packed = whole[:, :, : GROUP // 2] | whole[:, :, GROUP // 2 :] << 4  # [O, G, 32]
    return packed.flatten(1), scales[:, :, 0].bfloat16(), minima[:, :, 0].bfloat16()
