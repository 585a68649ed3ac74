"""How likely a model finds real code, by our engine and by llama.cpp: perplexity, and the same next tokens.

The same token ids in the same windows, from the standard library of the Python that runs this. Needs
llama-cpp-python (`benchmarks/build_llama_cpp`).
"""

from __future__ import annotations

import math
import statistics
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from model.prompt.tokenizer import Tokenizer

WINDOW = 1024
_MOST_BYTES_A_TOKEN = 12  # of code, in files as a whole


class Scorer(Protocol):
    """An engine that tells of each token of a text but the first how likely it was."""

    name: str

    def scores(self, ids: Sequence[int]) -> tuple[list[float], list[int]]:
        """Log-probabilities of the tokens, and the likeliest tokens at their places."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What two engines make of the same tokens."""

    n_tokens: int
    perplexity: dict[str, float]
    same_token: float
    """The share of places where both find the same next token likeliest."""


def windows(tokenizer: Tokenizer, n_tokens: int) -> list[list[int]]:
    """Beginnings of files of the standard library, evenly spread, of `WINDOW` tokens each."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    large = [path for path in files if path.stat().st_size > _MOST_BYTES_A_TOKEN * WINDOW]
    count = min(max(1, n_tokens // WINDOW), len(large))
    chosen = [large[i * len(large) // count].read_text(encoding="utf-8") for i in range(count)]
    return [[*tokenizer.first_ids, *tokenizer.encode_uncached(text)][:WINDOW] for text in chosen]


def compare(
    ours: Scorer,
    theirs: Scorer,
    texts: Sequence[Sequence[int]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Agreement:
    """Score all texts by both."""
    nats: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    same: list[bool] = []
    for done, ids in enumerate(texts, start=1):
        (our_own, our_best), (their_own, their_best) = ours.scores(ids), theirs.scores(ids)
        nats[ours.name] += our_own
        nats[theirs.name] += their_own
        same += [a == b for a, b in zip(our_best, their_best, strict=True)]
        progress(done, len(texts))
    return Agreement(
        n_tokens=len(same),
        perplexity={name: math.exp(-statistics.fmean(each)) for name, each in nats.items()},
        same_token=statistics.fmean(same),
    )
