"""Perplexity against the length of the context, on the same predicted tokens.

Each repository's files are joined (an end-of-document token between) and windows of the longest context
are cut from
that. For every context length the same last tokens of a window are predicted, so that a difference comes
from what the model can look back at (compare arXiv 2305.06161, §6.3: 2K against 8K).

Letters in shapes: C tokens of context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from model.prompt.tokenizer import Tokenizer
from model.pytorch.causal_lm import CausalLM
from training.compute.precision import Precision
from training.data.data import IGNORED_TARGET
from training.errors import EvaluationError
from training.evaluate.sets.held_out_text import HeldOut

_PREDICTED = 256


@dataclass(frozen=True, kw_only=True)
class ContextPerplexity:
    """`perplexity` is e to the mean loss of a token, `n_tokens` how many were predicted."""

    context_tokens: int
    perplexity: float
    n_tokens: int


def windows(
    documents: Sequence[HeldOut], tokenizer: Tokenizer, end_id: int, size: int, count: int
) -> list[list[int]]:
    """At most `count` windows of `size` + 1 tokens, evenly spread. Raises EvaluationError when there is
    none.
    """
    streams: dict[str, list[int]] = {}
    for document in documents:
        stream = streams.setdefault(document.repository, [end_id])
        stream += [*tokenizer.encode_uncached(document.text), end_id]
    every = [
        stream[start : start + size + 1]
        for stream in streams.values()
        for start in range(0, len(stream) - size, size)
    ]
    if not every:
        longest = max(map(len, streams.values()))
        raise EvaluationError(
            f"no repository has {size + 1} tokens (the longest {longest}); take shorter contexts"
        )
    count = min(count, len(every))
    return [every[i * len(every) // count] for i in range(count)]


@torch.no_grad()
def perplexities(
    model: CausalLM,
    cut: Sequence[Sequence[int]],
    contexts: Sequence[int],
    precision: Precision,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ContextPerplexity]:
    """One figure for each context length. Raises EvaluationError for one the model does not have."""
    longest = model.config.n_positions
    for context in contexts:
        if not 2 <= context <= min(longest, len(cut[0]) - 1):
            raise EvaluationError(f"context {context}: the model has {longest} positions")
    predicted = min(_PREDICTED, min(contexts) // 2)
    model.eval()
    nats = dict.fromkeys(contexts, 0.0)
    for done, window in enumerate(cut, start=1):
        for context in contexts:
            ids = torch.tensor(window[-context - 1 :], device=precision.device)  # [C + 1]
            targets = ids[1:].clone()  # [C]
            targets[:-predicted] = IGNORED_TARGET
            with precision.autocast():
                nats[context] += float(model.loss(ids[None, :-1], targets[None])) * predicted
        progress(done, len(cut))
    n_tokens = predicted * len(cut)
    return [
        ContextPerplexity(context_tokens=context, perplexity=math.exp(total / n_tokens), n_tokens=n_tokens)
        for context, total in nats.items()
    ]
