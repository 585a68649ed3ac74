"""Attention that stops at document ends: by a mask, and by flash-attn's sequences of unequal length."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from model.pytorch import attention
from model.pytorch.attention import causal_attend, document_bounds, flash_attention_module

DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1]])


def inputs(dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(16, 4, 32, generator=generator)  # [N, H, C]
    key_value = torch.randn(16, 2, 1, 32, generator=generator)  # [N, 2, K, C]
    return query.to(device, dtype), key_value.to(device, dtype)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_q: Tensor,
    cu_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    causal: bool,
) -> Tensor:
    """What flash-attn's documentation says of it: [cu[i], cu[i + 1]) is a sequence, heads share K/V."""
    assert torch.equal(cu_q, cu_k)
    assert cu_q.dtype == torch.int32
    assert causal
    out = torch.empty_like(q)
    for start, end in pairwise(cu_q.tolist()):
        assert end - start <= min(max_q, max_k)
        one, key, value = (t[start:end].transpose(0, 1) for t in (q, k, v))  # [H or K, T, C]
        key, value = (t.expand(q.shape[1], -1, -1) for t in (key, value))
        out[start:end] = F.scaled_dot_product_attention(one, key, value, is_causal=True).transpose(0, 1)
    return out


def test_documents_begin_where_the_number_changes_and_at_each_row() -> None:
    assert document_bounds(DOCUMENTS).tolist() == [0, 3, 5, 8, 9, 16]
    assert document_bounds(torch.zeros(3, 4, dtype=torch.long)).tolist() == [0, 4, 8, 12]


def test_sequences_of_unequal_length_are_what_the_mask_says(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key_value = inputs(torch.bfloat16)
    masked = causal_attend(2, query.device, DOCUMENTS)(0, query, key_value)
    stand_in = SimpleNamespace(flash_attn_varlen_func=flash_attn_varlen_func)
    monkeypatch.setattr(attention, "flash_attention_module", lambda device: stand_in)
    attend = causal_attend(2, query.device, DOCUMENTS)
    assert torch.allclose(attend(0, query, key_value), masked, atol=2e-2)
    exact, exact_kv = inputs(torch.float32)  # which flash-attn does not have: by the mask
    assert torch.allclose(attend(0, exact, exact_kv), masked.float(), atol=2e-2)


@pytest.mark.gpu
def test_flash_attn_itself_agrees_with_the_mask() -> None:
    device = torch.device("cuda")
    if flash_attention_module(device) is None:
        pytest.skip("flash-attn is not installed, or the GPU is too old for it")
    query, key_value = inputs(torch.bfloat16, "cuda")
    fast = causal_attend(2, device, DOCUMENTS.to(device))(0, query, key_value)
    masked = causal_attend(2, torch.device("cpu"), DOCUMENTS)(0, query.cpu(), key_value.cpu())
    assert torch.allclose(fast.cpu(), masked, atol=2e-2)
