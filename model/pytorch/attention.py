"""Attention over a flat list of tokens, in the three settings the model runs in.

`causal_attend` serves training and scoring, where a batch is a rectangle of whole sequences.
`CachedAttend` serves the engine: each sequence of a ragged batch brings some new tokens, whose
keys and values are written to the cache before the sequence's whole context is attended to.
Multi-query keys and values are never repeated over the heads: short queries put the heads into
the rows of a single head, long ones broadcast by a stride of zero. Those of groups are copied for
each head of the group.

Neither knows about weights, prompts or scheduling. Shapes: N new tokens of the whole batch,
B sequences, T new tokens of a sequence, L tokens of context (the new ones included), H query
heads, K key/value heads, C head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import ModuleType

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor

# (layer, query [N, H, C], key and value [N, 2, K, C]) -> [N, H, C]
Attend = Callable[[int, Tensor, Tensor], Tensor]

# Up to this many new tokens the H heads become T·H query rows of one head: no broadcast of K/V,
# at the price of a mask of T·H rows.
_ROWS_AS_HEADS_MAX_TOKENS = 16
# Sequences decoded together are padded to the longest: split the group where that would more
# than double the work of the shortest.
_MAX_PADDING_RATIO = 2


def flash_attention_module(device: torch.device) -> ModuleType | None:
    """The flash_attn package (2.x), if it is installed and the device can run it (Ampere or later)."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 8:
        return None
    try:
        import flash_attn  # type: ignore[import-not-found]  # optional, built for one GPU generation
    except ImportError:
        return None
    # flash-attn-4 alone makes a package of that name, too, which holds none of these functions.
    return flash_attn if hasattr(flash_attn, "flash_attn_varlen_func") else None


def causal_attend(
    n_sequences: int, device: torch.device, document_ids: Tensor | None = None, dropout: float = 0.0
) -> Attend:
    """Attention within each of `n_sequences` sequences of equal length, laid one after another.

    With document_ids [B, T] a token sees only tokens of the same document.
    """
    flash = flash_attention_module(device)
    if flash is None:
        return _sdpa_attend(n_sequences, _document_mask(document_ids), dropout)
    if document_ids is None:
        fast = _flash_attend(flash, n_sequences, dropout)
    else:
        fast = _varlen_attend(flash, document_ids, dropout)

    def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
        if query.dtype != torch.float32:
            return fast(layer, query, key_value)
        # flash-attn has no fp32. Only here is the mask made anew for each layer.
        return _sdpa_attend(n_sequences, _document_mask(document_ids), dropout)(layer, query, key_value)

    return attend


def _sdpa_attend(n_sequences: int, mask: Tensor | None, dropout: float) -> Attend:
    """By scaled_dot_product_attention; mask [B, 1, T, T] or None for causal."""

    def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
        del layer
        q = _split_rows(query, n_sequences).transpose(1, 2)  # [B, H, T, C]
        kv = _split_rows(key_value, n_sequences).permute(2, 0, 3, 1, 4)  # [2, B, K, T, C]
        key, value = (_over_heads(t, q.shape[1]) for t in kv)  # [B, H, T, C]
        out = F.scaled_dot_product_attention(
            q, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None
        )
        return out.transpose(1, 2).flatten(0, 1)  # [N, H, C]

    return attend


def _flash_attend(flash: ModuleType, n_sequences: int, dropout: float) -> Attend:
    def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
        del layer
        q, kv = (_split_rows(t, n_sequences) for t in (query, key_value))
        out = flash.flash_attn_func(q, kv[:, :, 0], kv[:, :, 1], dropout_p=dropout, causal=True)
        return torch.flatten(out, 0, 1)

    return attend


def _varlen_attend(flash: ModuleType, document_ids: Tensor, dropout: float) -> Attend:
    """Every document of a packed batch as a sequence of its own: no mask, no work across documents."""
    bounds = document_bounds(document_ids)
    longest = document_ids.shape[1]  # an upper bound, so that nothing waits for the device

    def attend(layer: int, query: Tensor, key_value: Tensor) -> Tensor:
        del layer
        key, value = key_value[:, 0].contiguous(), key_value[:, 1].contiguous()  # [N, K, C]
        out: Tensor = flash.flash_attn_varlen_func(
            query.contiguous(), key, value, bounds, bounds, longest, longest, dropout_p=dropout, causal=True
        )
        return out

    return attend


def document_bounds(document_ids: Tensor) -> Tensor:
    """document_ids [B, T] -> int32 [documents + 1]: where each one begins among the B·T tokens, and the end.

    A row begins a document, and so does every change of the number within it.
    """
    begins = torch.ones_like(document_ids, dtype=torch.bool)  # [B, T]
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    end = starts.new_tensor([document_ids.numel()])
    return torch.cat([starts, end]).to(torch.int32)


def _split_rows(x: Tensor, n_sequences: int) -> Tensor:
    """[B·T, ...] -> [B, T, ...]."""
    return x.reshape(n_sequences, -1, *x.shape[1:])


def _over_heads(x: Tensor, n_head: int) -> Tensor:
    """Keys or values [B, K, L, C] -> [B, H, L, C]: each K for the H / K heads in turn that share it."""
    if x.shape[1] in (1, n_head):
        return x.expand(-1, n_head, -1, -1)
    return x.repeat_interleave(n_head // x.shape[1], 1)


def _document_mask(document_ids: Tensor | None) -> Tensor | None:
    """document_ids [B, T] -> [B, 1, T, T], True where a position may look; None means causal."""
    if document_ids is None:
        return None
    same = document_ids[:, :, None] == document_ids[:, None, :]  # [B, T, T]
    return same.tril()[:, None]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The new tokens of one sequence in a step, and where its whole context lies in the cache."""

    n_new: int
    context_slots: Tensor  # [L] int64, on the CPU: the new tokens' slots are the last n_new


class _Group:
    """Segments attended to in one call: equal n_new, contexts padded to the longest."""

    def __init__(
        self, members: Sequence[tuple[int, Segment]], n_head: int, n_kv_head: int, device: torch.device
    ) -> None:
        segments = [segment for _, segment in members]
        self.n_new = segments[0].n_new
        self.n_kv_head = n_kv_head
        self.first_row = members[0][0]
        lengths = [len(segment.context_slots) for segment in segments]
        self.longest = max(lengths)
        rows = [torch.arange(row, row + self.n_new) for row, _ in members]
        consecutive = all(a + self.n_new == b for (a, _), (b, _) in pairwise(members))
        self.rows = None if consecutive else torch.cat(rows).to(device)  # None: a slice does
        self.n_rows = self.n_new * len(segments)
        slots, self.start = _slots_of(segments, self.longest)
        self.slots = None if slots is None else slots.to(device)
        self.batch = len(segments)
        self.as_rows = n_kv_head == 1 and self.n_new <= _ROWS_AS_HEADS_MAX_TOKENS
        self.is_causal = self.batch == 1 and self.n_new == self.longest and not self.as_rows
        self.mask = None if self.is_causal else self._mask(lengths, n_head, device)

    def _mask(self, lengths: list[int], n_head: int, device: torch.device) -> Tensor | None:
        """True where a query may look: [B or 1, 1, query rows, L]; None where it may everywhere."""
        if self.n_new == 1 and len(set(lengths)) == 1:
            return None
        last = torch.tensor(lengths, device=device)[:, None] - self.n_new  # [B, 1] tokens before
        visible = last + torch.arange(self.n_new, device=device) + 1  # [B, T] keys each query sees
        mask = torch.arange(self.longest, device=device) < visible[:, :, None]  # [B, T, L]
        if self.as_rows:
            mask = mask.repeat_interleave(n_head, 1)  # [B, T·H, L]
        return mask[:, None]

    def attend(self, query: Tensor, layer_cache: Tensor) -> Tensor:
        """query [rows of this group, H, C], layer_cache [slots, 2, K, C] -> like query."""
        if self.start is not None:
            context = layer_cache[self.start : self.start + self.longest][None]
        else:
            assert self.slots is not None
            context = _split_rows(layer_cache.index_select(0, self.slots), self.batch)
        key, value = context.permute(2, 0, 3, 1, 4)  # [B, K, L, C] each
        n_head = query.shape[1]
        if self.as_rows:
            q = query.reshape(self.batch, 1, self.n_new * n_head, -1)  # [B, 1, T·H, C]
            out = F.scaled_dot_product_attention(q, key, value, attn_mask=self.mask)
            return out.reshape(query.shape)
        q = _split_rows(query, self.batch).transpose(1, 2)  # [B, H, T, C]
        key, value = (_over_heads(t, n_head) for t in (key, value))
        out = F.scaled_dot_product_attention(q, key, value, attn_mask=self.mask, is_causal=self.is_causal)
        return out.transpose(1, 2).reshape(query.shape)


def _slots_of(segments: Sequence[Segment], longest: int) -> tuple[Tensor | None, int | None]:
    """(slots [B·L] to gather, None), or (None, first slot) where one contiguous context is a view."""
    slots = [segment.context_slots for segment in segments]
    if len(slots) == 1:
        first, last = int(slots[0][0]), int(slots[0][-1])
        # Slots of a sequence are distinct, so a run of the right length is increasing by one
        # exactly if each step is one.
        if last - first == longest - 1 and bool((slots[0].diff() == 1).all()):
            return None, first
        return slots[0], None
    padded = torch.empty(len(slots), longest, dtype=torch.int64)
    for row, of_segment in zip(padded, slots, strict=True):
        row[: len(of_segment)] = of_segment
        # Hidden by the mask, but 0 · NaN is NaN: pad with the sequence's own slot, so that one
        # sequence's bad numbers cannot reach another's.
        row[len(of_segment) :] = of_segment[0]
    return padded.flatten(), None


class CachedAttend:
    """An `Attend` for one step over a ragged batch, against a cache of keys and values.

    cache [layers, slots, 2, K, C]; new_slots [N] says where each new token's K/V go;
    segments are in the order of the tokens.
    """

    def __init__(self, cache: Tensor, new_slots: Tensor, segments: Sequence[Segment], n_head: int) -> None:
        self._cache = cache
        self._new_slots = new_slots
        self._flash = flash_attention_module(cache.device) if cache.dtype != torch.float32 else None
        if self._flash is None:
            self._groups = [
                _Group(members, n_head, cache.shape[3], cache.device) for members in _grouped(segments)
            ]
        else:
            self._prepare_flash(segments)

    def __call__(self, layer: int, query: Tensor, key_value: Tensor) -> Tensor:
        """Write the new tokens' keys and values, then attend to each sequence's whole context."""
        layer_cache = self._cache[layer]  # [slots, 2, K, C]
        layer_cache.index_copy_(0, self._new_slots, key_value.to(layer_cache.dtype))
        if self._flash is not None:
            return self._attend_flash(query, layer_cache)
        if len(self._groups) == 1 and self._groups[0].rows is None:
            return self._groups[0].attend(query, layer_cache)
        out = torch.empty_like(query)
        for group in self._groups:
            rows = group.rows
            if rows is None:
                rows_slice = slice(group.first_row, group.first_row + group.n_rows)
                out[rows_slice] = group.attend(query[rows_slice], layer_cache)
            else:
                out[rows] = group.attend(query[rows], layer_cache)
        return out

    def _prepare_flash(self, segments: Sequence[Segment]) -> None:
        new = [segment.n_new for segment in segments]
        contexts = [len(segment.context_slots) for segment in segments]
        self._max_new, self._max_context = max(new), max(contexts)
        bounds = (torch.tensor([0, *accumulate(counts)], dtype=torch.int32) for counts in (new, contexts))
        self._new_bounds, self._context_bounds = (b.to(self._cache.device) for b in bounds)
        context_slots = torch.cat([segment.context_slots for segment in segments])
        self._context_slots = context_slots.to(self._cache.device)

    def _attend_flash(self, query: Tensor, layer_cache: Tensor) -> Tensor:
        assert self._flash is not None
        context = layer_cache.index_select(0, self._context_slots)  # [sum of L, 2, K, C]
        out: Tensor = self._flash.flash_attn_varlen_func(
            query.contiguous(),
            context[:, 0],
            context[:, 1],
            self._new_bounds,
            self._context_bounds,
            self._max_new,
            self._max_context,
            causal=True,  # aligned to the end of the context: the new tokens are its last
        )
        return out


def _grouped(segments: Sequence[Segment]) -> list[list[tuple[int, Segment]]]:
    """Segments that one call can serve, each with its first row: single tokens of similar context
    length together, longer ones alone."""
    groups: list[list[tuple[int, Segment]]] = []
    singles: list[tuple[int, Segment]] = []
    row = 0
    for segment in segments:
        if segment.n_new == 1:
            singles.append((row, segment))
        else:
            groups.append([(row, segment)])
        row += segment.n_new
    shortest = 0
    for member in sorted(singles, key=lambda single: len(single[1].context_slots)):
        length = len(member[1].context_slots)
        if shortest == 0 or length > _MAX_PADDING_RATIO * shortest:
            groups.append([])
            shortest = length
        groups[-1].append(member)
    for group in groups:
        group.sort(key=lambda single: single[0])
    return groups
