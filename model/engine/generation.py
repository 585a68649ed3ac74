"""What the engine is asked for and what it answers, free of how it does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from model.errors import RequestError
from model.runner.sampling import SamplingParams
from model.stopping.stopping import StopRules

if TYPE_CHECKING:
    from model.runner.scoring import PromptScores

MAX_ALTERNATIVES = 64

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One prompt and how to continue it, `n` times.

    `healed` are the bytes that were taken off the prompt's end (token healing): the output must
    begin with them, and they are not emitted.
    """

    prompt_ids: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: StopRules = field(default_factory=StopRules)
    healed: bytes = b""
    n: int = 1
    ignore_eos: bool = False
    echo: str | None = None
    """The prompt as text, to be repeated before the answer. None: it is not repeated."""
    scores_prompt: bool = False
    """Whether the prompt's own tokens are to be scored too: then none of them comes from the cache."""

    suffix: range | None = None
    """The place of the suffix in a prompt that has it behind the prefix."""
    keeps_suffix: bool = False
    """Whether it may be what was computed behind another prefix: see `model.engine.kept_suffix`."""

    max_prompt_ms: int | None = None
    """How long its prompt may take to compute: if longer, `shorter` is answered in its place."""
    shorter: GenerationRequest | None = None
    """The same with less of the texts around the cursor."""

    is_ahead: bool = False
    """Whether it only brings its prompt into the cache for a request that may come. It is not counted."""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_ALTERNATIVES:
            raise RequestError(f"n = {self.n}: it must be between 1 and {MAX_ALTERNATIVES}", field="n")
        if len(self.prompt_ids) == 0:
            raise RequestError("the prompt is empty: at least one token is needed", field="prompt")


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Where the time of one alternative went, and what the cache saved.

    `queue_ms` ends when its first tokens are computed, `prefill_ms` with the first new token,
    `decode_ms` with the last. `computed_tokens` went through the model (drafts included),
    `cached_tokens` of the prompt did not have to.
    """

    queue_ms: float
    prefill_ms: float
    decode_ms: float
    prompt_tokens: int
    cached_tokens: int
    computed_tokens: int
    completion_tokens: int
    drafted_tokens: int
    accepted_tokens: int


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What one step added to alternative number `index`; the last one carries the reason and timings.

    `logprobs` has one entry a token, `top_logprobs` as many, each token id → log-probability.
    """

    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[Mapping[int, float], ...] = ()
    finish_reason: FinishReason | None = None
    error: str | None = None
    timings: Timings | None = None
    prompt_scores: PromptScores | None = None
    """On the alternative's first delta, if the prompt was to be scored."""
