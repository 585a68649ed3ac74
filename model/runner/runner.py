"""What the engine asks of whatever computes its model: `model.pytorch.torch_runner` or
`model.native.runner`, which is compiled code.

Shapes: N tokens of a step over all sequences, S rows whose next token is chosen, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.families.config import ModelConfig
from model.runner.sampling import Choice, Sampled


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The tokens of one step, sequence after sequence, and where their contexts lie in the cache."""

    ids: NDArray[np.int32]  # [N]
    positions: NDArray[np.int64]  # [N]
    slots: NDArray[np.int64]  # [N]: where their keys and values go
    n_new: Sequence[int]  # of each sequence; they sum to N
    contexts: Sequence[NDArray[np.int64]]  # each sequence's slots from its first token on, its new ones last


@dataclass(frozen=True, kw_only=True)
class CacheMove:
    """Cached tokens that are copied to other slots, for places that are `by` further on in a sequence."""

    sources: NDArray[np.int64]  # [T]
    targets: NDArray[np.int64]  # [T], others than the sources
    by: int


class Logits(Protocol):
    """Logits [S, V], wherever they are."""

    def sample(self, rows: Sequence[int], choices: Sequence[Choice]) -> Sampled:
        """Choose one token for each of some rows."""

    def score(self, token_ids: Sequence[int], n_top: int) -> tuple[list[float], list[Mapping[int, float]]]:
        """The log-probability of a token in each row, and those of the row's `n_top` likeliest ones."""


class Hidden(Protocol):
    """The hidden states of a step's N tokens, wherever they are."""

    def logits(self, rows: Sequence[int]) -> Logits:
        """The logits of what follows some of the tokens."""


class Runner(Protocol):
    """A model with a cache for the keys and values of its tokens. Not thread-safe."""

    config: ModelConfig

    @property
    def description(self) -> dict[str, str]:
        """How it runs, for people: device, number format, quantisation, code and why."""

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values of one token over all layers."""

    def reserve(self, n_slots: int) -> None:
        """Make the cache, for `n_slots` tokens. Called once, before the first step."""

    def release(self, slots: NDArray[np.int64]) -> None:
        """Let the system have the memory of slots that hold nothing, given in order, where it can."""

    def move(self, move: CacheMove) -> None:
        """Copy cached tokens, their keys turned to their new places. Only for rotary positions."""

    def compute(self, batch: Batch) -> Hidden:
        """Compute the tokens of a step and keep their keys and values."""
