"""Choosing the next token of every row of a batch from its logits.

Pure: it takes its random generators and keeps no state. A row's result never depends on the
other rows: reductions run within a row, filters are thresholds on values (so the order of equal
values cannot matter) and each row draws exactly one number from its own generator.
Knows nothing about prompts, text or the scheduler.

Letters in shapes: B rows of the batch, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import RequestError

Floats = NDArray[np.float32]

MAX_LOGPROBS = 20
# A temperature below it would divide by zero in fp32.
_COLDEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are chosen. Raises `RequestError` on a value out of range.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch their filter off; `min_p` is
    the least share of the likeliest token's probability (arXiv 2407.01082, §3). `logprobs` is how many of
    the likeliest tokens are reported beside the chosen one.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logprobs: int = 0

    def __post_init__(self) -> None:
        _require(self.max_new_tokens >= 1, "max_tokens", self.max_new_tokens, "at least 1")
        finite = math.isfinite(self.temperature) and self.temperature >= 0
        _require(finite, "temperature", self.temperature, "0 (greedy) or a positive number")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or a positive number")
        _require(0 <= self.min_p <= 1, "min_p", self.min_p, "between 0 and 1")
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


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides one row's token beside its logits.

    `history` are the tokens that the repetition penalty looks at (prompt and output so far), `allowed`
    restricts the row to some token ids (token healing), `excluded` are ruled out. With a temperature it needs
    a generator.
    """

    params: SamplingParams
    generator: np.random.Generator | None = None
    history: Sequence[int] = ()
    allowed: NDArray[np.int64] | None = None
    excluded: Sequence[int] = ()

    @property
    def plain(self) -> bool:
        """Whether an argmax of the raw logits is all that is needed."""
        return (
            self.params.greedy
            and self.params.repetition_penalty == 1.0
            and self.allowed is None
            and not self.excluded
        )


def make_generator(params: SamplingParams, index: int = 0) -> np.random.Generator | None:
    """The random generator of alternative number `index` of a request; None if it is greedy.

    The same seed and index give the same text, whatever else is in the batch; without a seed the
    system's entropy is used.
    """
    if params.greedy:
        return None
    if params.seed is None:
        return np.random.default_rng()
    # Hashed, or the second alternative of seed 1 would be the first of seed 2.
    digest = hashlib.blake2b(f"{params.seed}/{index}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclass(frozen=True)
class HostLogits:
    """Logits fp32 [S, V] in the memory of the CPU: see `model.runner.runner.Logits`."""

    values: Floats

    def sample(self, rows: Sequence[int], choices: Sequence[Choice]) -> Sampled:
        """Choose one token for each of some rows."""
        return sample(self.values[list(rows)], choices)

    def score(self, token_ids: Sequence[int], n_top: int) -> tuple[list[float], list[Mapping[int, float]]]:
        """The log-probability of a token in each row, and those of the row's `n_top` likeliest ones."""
        log_probs = log_softmax(self.values)
        own = log_probs[np.arange(len(token_ids)), list(token_ids)].tolist()
        return own, [dict(_top(row, n_top)) for row in log_probs]


def sample(logits: Floats, choices: Sequence[Choice]) -> Sampled:
    """Choose one token for every row of `logits`, fp32 [B, V]."""
    log_probs = log_softmax(logits)  # [B, V], each row by itself
    token_ids = logits.argmax(-1).tolist()  # the lowest id on ties
    for row, choice in enumerate(choices):
        if not choice.plain:
            token_ids[row] = _choose(logits[row].copy(), choice)
    # A NaN or +inf anywhere makes the whole row's log-softmax NaN; -inf alone means "never".
    own = [float(log_probs[row, token]) for row, token in enumerate(token_ids)]
    failed = [row for row, value in enumerate(own) if not math.isfinite(value)]
    for row in failed:
        token_ids[row] = -1
    top = [
        _top(log_probs[row], choice.params.logprobs) if own[row] == own[row] else []
        for row, choice in enumerate(choices)
    ]
    return Sampled(token_ids=token_ids, logprobs=own, top=top, failed=failed)


def log_softmax(logits: Floats) -> Floats:
    """logits fp32 [B, V] -> log-probabilities [B, V]."""
    with np.errstate(invalid="ignore"):  # infinite logits: the row becomes NaN, which `failed` reports
        shifted = logits - logits.max(-1, keepdims=True)
        result: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _require(valid: bool, field: str, value: object, wanted: str) -> None:
    if not valid:
        raise RequestError(f"{field} = {value!r}: it must be {wanted}", field=field)


def _top(log_probs: Floats, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens of one row [V], the lowest id first among equals."""
    if count == 0:
        return []
    count = min(count, len(log_probs))
    least = np.partition(log_probs, -count)[-count]
    ids = np.flatnonzero(log_probs >= least)
    order = np.argsort(-log_probs[ids], kind="stable")[:count]
    return [(int(token), float(log_probs[token])) for token in ids[order]]


def _choose(logits: Floats, choice: Choice) -> int:
    """The token of a row [V] with a temperature, a penalty or a restriction; owns `logits`."""
    params = choice.params
    if params.repetition_penalty != 1.0 and len(choice.history):
        _penalise(logits, choice.history, params.repetition_penalty)
    if choice.allowed is not None:
        _restrict(logits, choice.allowed)
    if choice.excluded:
        logits[list(choice.excluded)] = -math.inf
    if params.greedy:
        return int(logits.argmax())
    if choice.generator is None:
        raise ValueError("a row with a temperature has no random generator")
    return _draw(logits, params, choice.generator)


def _penalise(logits: Floats, history: Sequence[int], penalty: float) -> None:
    """Make the tokens of `history` less likely, in place; CTRL, arXiv 1909.05858, §4.1."""
    ids = np.unique(history)
    values = logits[ids]
    logits[ids] = np.where(values > 0, values / penalty, values * penalty)


def _restrict(logits: Floats, ids: NDArray[np.int64]) -> None:
    """Rule out every token but `ids`, in place."""
    if len(ids) == 0:
        raise ValueError("a row was restricted to no token at all")
    kept = logits[ids]
    logits.fill(-math.inf)
    logits[ids] = kept


def _draw(logits: Floats, params: SamplingParams, generator: np.random.Generator) -> int:
    """Sample a row [V] by inverse transform: one uniform number."""
    number = generator.random()
    with np.errstate(invalid="ignore", over="ignore"):  # bad numbers are reported by the caller
        # The maximum goes first, so that a tiny temperature cannot overflow.
        weights = np.exp((logits - logits.max()) / max(params.temperature, _COLDEST))  # [V]
    if params.top_k or params.top_p < 1:
        weights[weights < _floor(weights, params)] = 0
    if params.min_p:
        weights[weights < params.min_p] = 0  # the likeliest has 1
    running = weights.cumsum(dtype=np.float64)  # in fp32 it would shift the tail
    # Strictly below the total, whatever rounding did: what is found has a weight above 0.
    target = min(number * running[-1], np.nextafter(running[-1], 0))
    return min(int(running.searchsorted(target, side="right")), len(running) - 1)


def _floor(weights: Floats, params: SamplingParams) -> float:
    """The least weight [V] that survives top-k, then top-p (nucleus: arXiv 1904.09751, §3.1).

    Tokens as likely as the last one kept are kept too, as in transformers' top-k.
    """
    falling = np.sort(weights)[::-1]
    if params.top_k:
        falling = falling[: params.top_k]
        if params.top_p == 1:
            return float(falling[-1])
    mass = falling.cumsum(dtype=np.float64)
    # The nucleus is the shortest head that reaches the wanted mass.
    size = int(mass.searchsorted(params.top_p * mass[-1])) + 1
    return float(falling[min(size, len(falling)) - 1])
