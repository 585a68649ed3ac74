"""Weight-only quantisation of linear layers in PyTorch: int8 by row, int4 by group.

For a GPU, and for a CPU without compiled code (`model.native`), whose reference it is. Activations
are quantised by row at run time for int8 on the CPU, so that a row's result does not depend on what
else is in the batch, and the integer sums are exact whatever the batch's size.

Knows nothing about files; `model.pytorch.device` chooses the scheme of a device. Shapes: N tokens,
O output and I input features, G groups of a row.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

from model.errors import ConfigError
from model.weights.scheme import Scheme as Scheme  # its name here too

_INT4_GROUP_SIZES = (128, 64, 32)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight [O, I] -> (int8 [O, I], scales fp32 [O]), symmetric, weight ≈ int8 · scale."""
    scale = weight.float().abs().amax(1).clamp_min(1e-8) / 127  # [O]
    return torch.round(weight.float() / scale[:, None]).to(torch.int8), scale


def dequantize_rows(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The inverse of `quantize_rows`, in `dtype`."""
    return (weight.float() * scale.float()[:, None]).to(dtype)


class Int8Embedding(nn.Module):
    """Token embedding held in int8 by row; its rows are looked up, its packed twin is the head."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.float()[:, None])  # [V, 1]

    def forward(self, ids: Tensor) -> Tensor:
        """ids [N] -> embeddings [N, D]."""
        return self.in_fp32(ids).to(self._dtype)

    def in_fp32(self, ids: Tensor) -> Tensor:
        """ids [N] -> embeddings fp32 [N, D]."""
        return self.weight[ids] * self.scale[ids]


class Int8Linear(nn.Module):
    """A linear layer of int8 weights with one scale a row."""

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self.out_features = weight.shape[0]
        bias = torch.zeros(self.out_features, device=weight.device) if bias is None else bias
        self.register_buffer("scale", scale.float())
        self.register_buffer("bias", bias.float())
        self._fused = weight.device.type == "cpu"
        # u8 · s8 products are summed in pairs in 16 bits where VNNI is missing: seven bits of
        # activation keep those sums from saturating.
        self._levels = 127 if torch.cpu._is_vnni_supported() else 63
        if self._fused:
            weight = torch.ops.onednn.qlinear_prepack(weight, None)
            zero_points = torch.zeros(self.out_features, dtype=torch.int32)
            self.register_buffer("zero_points", zero_points)
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I] -> [N, O]."""
        if not self._fused:
            weight = cast(Tensor, self.weight).to(x.dtype) * cast(Tensor, self.scale).to(x.dtype)[:, None]
            return F.linear(x, weight, cast(Tensor, self.bias).to(x.dtype))
        x = x.float()
        levels = self._levels
        step = x.abs().amax(-1, keepdim=True).clamp_min_(1e-8).mul_(1 / levels)  # [N, 1]
        centred = torch.div(x, step).add_(levels + 1).round_().to(torch.uint8)  # [N, I]
        sums = torch.ops.onednn.qlinear_pointwise(
            centred, 1.0, levels + 1, self.weight, self.scale, self.zero_points,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # [N, O]  # fmt: skip
        return torch.addcmul(cast(Tensor, self.bias), sums, step).to(self._dtype)


class Int4Linear(nn.Module):
    """A linear layer of 4-bit weights with a scale and a zero for each group of a row; CPU only."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        if weight.device.type != "cpu":
            raise ConfigError("quantize = int4 runs on the CPU only; use int8 or none on a GPU")
        n_inputs = weight.shape[1]
        self._group = next((g for g in _INT4_GROUP_SIZES if n_inputs % g == 0), 0)
        if not self._group or weight.shape[0] % 16:
            raise ConfigError(
                f"quantize = int4 needs widths that are multiples of 32, not {tuple(weight.shape)}; use int8"
            )
        self._dtype = dtype
        groups = weight.float().reshape(len(weight), -1, self._group)  # [O, G, group]
        low, high = groups.amin(2), groups.amax(2)
        scale = ((high - low) / 15).clamp_min(1e-6)  # [O, G]
        codes = ((groups - low[:, :, None]) / scale[:, :, None]).round_().clamp_(0, 15)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.flatten(1).to(torch.int32), 1)
        self.register_buffer("weight", packed)
        # The kernel computes (code - 8) · scale + zero.
        scale_and_zero = torch.stack([scale, low + scale * 8], -1).transpose(0, 1)  # [G, O, 2]
        self.register_buffer("scale_and_zero", scale_and_zero.contiguous().bfloat16())
        self.register_buffer("bias", None if bias is None else bias.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I] -> [N, O]."""
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.bfloat16(), self.weight, self._group, self.scale_and_zero
        ).to(self._dtype)
        return out if self.bias is None else out.add_(cast(Tensor, self.bias))
