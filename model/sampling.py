"""Choosing the next token of every row of a batch from its logits.

Pure: it takes its random generators and keeps no state. A row's result never depends on the
other rows: reductions run within a row, filters are thresholds on values (so the order of equal
values cannot matter) and each row draws exactly one number from its own generator.
Knows nothing about prompts, text or the scheduler.

Letters in shapes: B rows of the batch, R rows of it that need more than a plain argmax,
V vocabulary, K candidates that were sorted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.errors import RequestError

MAX_LOGPROBS = 20
# Sorting 49,152 probabilities costs ten times as much as finding the best thousand, which hold
# more than `top_p` of the mass in nearly every row; the others are sorted whole.
_HEAD = 1_024
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are chosen. Raises `RequestError` on a value out of range.

    `temperature` 0 is greedy. `top_k` 0 and `top_p` 1 switch their filter off. `logprobs` is how
    many of the likeliest tokens are reported beside the chosen one.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logprobs: int = 0

    def __post_init__(self) -> None:
        _require(self.max_new_tokens >= 1, "max_tokens", self.max_new_tokens, "at least 1")
        finite = math.isfinite(self.temperature) and self.temperature >= 0
        _require(finite, "temperature", self.temperature, "0 (greedy) or a positive number")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or a positive number")
        positive = math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0
        _require(positive, "repetition_penalty", self.repetition_penalty, "a positive number")
        in_range = self.seed is None or -(2**63) <= self.seed < 2**63
        _require(in_range, "seed", self.seed, "a 64-bit integer")
        in_range = 0 <= self.logprobs <= MAX_LOGPROBS
        _require(in_range, "logprobs", self.logprobs, f"between 0 and {MAX_LOGPROBS}")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    @property
    def plain(self) -> bool:
        """Whether an argmax of the raw logits is all that is needed."""
        return self.greedy and self.repetition_penalty == 1.0


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """One token for each row.

    Log-probabilities are the model's own (before temperature, penalty and filters), so that they
    can be compared between requests. `top` holds a row's `logprobs` likeliest tokens, best first.
    A row in `failed` has NaN or infinite logits; its token is -1 and must not be used.
    """

    token_ids: list[int]
    logprobs: list[float]
    top: list[list[tuple[int, float]]]
    failed: list[int]


def make_generator(params: SamplingParams, index: int = 0) -> torch.Generator | None:
    """The random generator of alternative number `index` of a request; None if it is greedy.

    The same seed and index give the same text, whatever else is in the batch; without a seed the
    system's entropy is used. It lives on the CPU: only one number a token is drawn.
    """
    if params.greedy:
        return None
    generator = torch.Generator()
    if params.seed is None:
        generator.seed()
    else:
        # Hashed, or the second alternative of seed 1 would be the first of seed 2.
        digest = hashlib.blake2b(f"{params.seed}/{index}".encode(), digest_size=8).digest()
        generator.manual_seed(int.from_bytes(digest, "big") >> 1)
    return generator


def sample(
    logits: Tensor,
    params: Sequence[SamplingParams],
    generators: Sequence[torch.Generator | None],
    histories: Sequence[Sequence[int]],
    allowed: Sequence[Tensor | None],
) -> Sampled:
    """Choose one token for every row of `logits`, float32 [B, V].

    `histories` are the tokens that the repetition penalty looks at (prompt and output so far),
    `allowed` restricts a row to a 1-D tensor of token ids (token healing). A row with a
    temperature needs a generator, see `make_generator`.
    """
    log_probs = torch.log_softmax(logits, dim=-1)  # [B, V], each row by itself
    chosen = logits.argmax(dim=-1)  # [B], the lowest id on ties
    rows = [i for i, p in enumerate(params) if not p.plain or allowed[i] is not None]
    if rows:
        chosen[rows] = _choose(
            logits[rows],
            [params[i] for i in rows],
            [generators[i] for i in rows],
            [histories[i] for i in rows],
            [allowed[i] for i in rows],
        )
    # A NaN or +inf anywhere makes the whole row's log-softmax NaN; -inf alone means "never".
    own = log_probs.gather(1, chosen[:, None])[:, 0].tolist()  # [B]
    token_ids = chosen.tolist()
    failed = [i for i, value in enumerate(own) if not math.isfinite(value)]
    for row in failed:
        token_ids[row] = -1
    top = [_top(log_probs[i], p.logprobs) if own[i] == own[i] else [] for i, p in enumerate(params)]
    return Sampled(token_ids=token_ids, logprobs=own, top=top, failed=failed)


def _require(valid: bool, field: str, value: object, wanted: str) -> None:
    if not valid:
        raise RequestError(f"{field} = {value!r}: it must be {wanted}", field=field)


def _top(log_probs: Tensor, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens of one row [V], the lowest id first among equals."""
    if count == 0:
        return []
    values, ids = log_probs.topk(min(count, log_probs.numel()))
    pairs = zip(ids.tolist(), values.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def _choose(
    logits: Tensor,
    params: Sequence[SamplingParams],
    generators: Sequence[torch.Generator | None],
    histories: Sequence[Sequence[int]],
    allowed: Sequence[Tensor | None],
) -> Tensor:
    """Token ids [R] of rows [R, V] with a temperature, a penalty or a restriction; owns `logits`."""
    for row, one in enumerate(params):
        if one.repetition_penalty != 1.0 and histories[row]:
            _penalise(logits[row], histories[row], one.repetition_penalty)
        ids = allowed[row]
        if ids is not None:
            _restrict(logits[row], ids)
    chosen = logits.argmax(dim=-1)  # [R]
    warm = [row for row, one in enumerate(params) if not one.greedy]
    if warm:
        chosen[warm] = _draw(logits[warm], [params[row] for row in warm], [generators[row] for row in warm])
    return chosen


def _penalise(logits: Tensor, history: Sequence[int], penalty: float) -> None:
    """Make the tokens of `history` less likely, in place; CTRL, arXiv 1909.05858, §4.1."""
    ids = torch.tensor(sorted(set(history)), device=logits.device)
    values = logits[ids]
    logits[ids] = torch.where(values > 0, values / penalty, values * penalty)


def _restrict(logits: Tensor, ids: Tensor) -> None:
    """Rule out every token but `ids`, in place."""
    if ids.numel() == 0:
        raise ValueError("a row was restricted to no token at all")
    ids = ids.to(logits.device)
    kept = logits[ids]
    logits.fill_(-math.inf)
    logits[ids] = kept


def _draw(
    logits: Tensor, params: Sequence[SamplingParams], generators: Sequence[torch.Generator | None]
) -> Tensor:
    """Sample rows [R, V] by inverse transform: one uniform number for each row."""
    temperature = logits.new_tensor([one.temperature for one in params])[:, None]  # [R, 1]
    # The maximum goes first, so that a tiny temperature cannot overflow.
    scaled = (logits - logits.amax(-1, keepdim=True)).div_(temperature)
    probs = torch.softmax(scaled, dim=-1)  # [R, V]
    filtered = [row for row, one in enumerate(params) if one.top_k or one.top_p < 1]
    if filtered:
        kept = probs[filtered]
        floor = _floor(kept, [params[row] for row in filtered])  # [len(filtered), 1]
        probs[filtered] = kept.masked_fill_(kept < floor, 0.0)
    numbers = torch.stack([_uniform(generator) for generator in generators]).to(logits.device)  # [R]
    return _invert(probs, numbers[:, None]).clamp_(max=logits.shape[-1] - 1)  # NaN: the caller reports it


def _invert(weights: Tensor, numbers: Tensor) -> Tensor:
    """The column [R] at which a row's running sum of `weights` [R, V] passes `numbers` [R, 1] of its total.

    By blocks, because a running sum over a vocabulary costs ten times a sum; in double precision,
    because in float32 it would shift the tail.
    """
    rows, width = weights.shape
    blocks = torch.nn.functional.pad(weights, (0, -width % _BLOCK)).view(rows, -1, _BLOCK)
    running = blocks.sum(-1).double().cumsum(-1)  # [R, V / _BLOCK]
    block, before = _pass(running, numbers * running[:, -1:])
    inner = blocks[torch.arange(rows, device=weights.device), block].double().cumsum(-1)  # [R, _BLOCK]
    column, _ = _pass(inner, numbers * running[:, -1:] - before)
    return block * _BLOCK + column


def _pass(running: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Where `running` [R, n] first exceeds `target` [R, 1]: the column [R], and the sum before it [R, 1]."""
    total = running[:, -1:]
    # Strictly below the total, whatever rounding did: what is found has a weight above 0.
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    column = torch.searchsorted(running, target, right=True).clamp_(max=running.shape[1] - 1)  # [R, 1]
    before = running.gather(1, (column - 1).clamp_(min=0)) * (column > 0)
    return column[:, 0], before


def _uniform(generator: torch.Generator | None) -> Tensor:
    if generator is None:
        raise ValueError("a row with a temperature has no random generator")
    return torch.rand((), dtype=torch.float64, generator=generator)


def _floor(probs: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """The least probability [R, 1] that survives each row's top-k, then its top-p.

    Tokens as likely as the last one kept are kept too, as in transformers' top-k.
    """
    width = min(probs.shape[-1], max(_HEAD, *(one.top_k for one in params)))
    heads = probs.topk(width).values  # [R, K], falling
    floors = [_row_floor(heads[row], probs[row], one) for row, one in enumerate(params)]
    return torch.stack(floors)[:, None]


def _row_floor(head: Tensor, probs: Tensor, params: SamplingParams) -> Tensor:
    """Floor of one row; `head` [K] are the largest of `probs` [V]. Nucleus: arXiv 1904.09751, §3.1."""
    if params.top_k:
        head = head[: params.top_k]
        if params.top_p == 1:
            return head[-1]
    mass = head.double().cumsum(-1)  # [K]
    wanted = params.top_p * (mass[-1] if params.top_k else torch.ones_like(mass[-1]))
    if not params.top_k and mass[-1] < wanted and len(head) < len(probs):
        head = _descending(probs)
        mass = head.double().cumsum(-1)  # [V]
    # The nucleus is the shortest head that reaches the wanted mass.
    size = int(torch.searchsorted(mass, wanted)) + 1
    return head[min(size, len(head)) - 1]


def _descending(probs: Tensor) -> Tensor:
    """All of one row [V], largest first; numpy sorts floats ten times as fast as torch on a CPU."""
    if probs.device.type != "cpu":
        return probs.sort(descending=True).values
    return torch.from_numpy(np.sort(probs.numpy())[::-1].copy())
