"""One alternative of a request while it is generated: its tokens, slots, text and clock.

Knows nothing about the batch it runs in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from model.engine.draft import DraftPolicy, PromptLookup
from model.engine.generation import Delta, FinishReason, GenerationRequest, Timings
from model.engine.kept_suffix import kept_key
from model.engine.kv_cache import Lease, SlotArray, TokenArray
from model.prompt.healing import Healer
from model.prompt.tokenizer import Tokenizer
from model.runner.sampling import make_generator
from model.runner.scoring import PromptScores
from model.stopping.stopping import StopState

_numbers = count()


@dataclass(eq=False, kw_only=True)
class Clock:
    """When things happened to a sequence, in seconds of the performance counter."""

    submitted_s: float = field(default_factory=time.perf_counter)
    started_s: float | None = None
    first_token_s: float | None = None

    def start(self) -> None:
        """Its first tokens are about to be computed; later calls change nothing."""
        if self.started_s is None:
            self.started_s = time.perf_counter()

    def intervals_ms(self) -> tuple[float, float, float]:
        """(queue, prefill, decode) so far."""
        now = time.perf_counter()
        started = self.started_s if self.started_s is not None else now
        first = self.first_token_s if self.first_token_s is not None else now
        return 1e3 * (started - self.submitted_s), 1e3 * (first - started), 1e3 * (now - first)


class Sequence:
    """State of one alternative. `tokens[:n_tokens]` are known; of these `n_computed` have their
    keys and values in `slots`, and so have the moved ones. It is decoding when one token waits to be
    computed."""

    def __init__(
        self,
        request: GenerationRequest,
        index: int,
        tokenizer: Tokenizer,
        *,
        drafts: DraftPolicy,
        end_ids: frozenset[int],
        n_positions: int,
        owner: str | int = "",
    ) -> None:
        self.request, self.index, self.owner = request, index, owner
        self.handle = next(_numbers)
        self.n_prompt = len(request.prompt_ids)
        self.capacity = min(self.n_prompt + request.sampling.max_new_tokens, n_positions)
        self.tokens: TokenArray = np.empty(self.capacity, np.int32)
        self.tokens[: self.n_prompt] = request.prompt_ids
        self.n_tokens = self.n_prompt
        self.n_computed = 0
        self.slots: SlotArray = np.empty(0, np.int64)
        self.lease: Lease | None = None
        self.moved = range(0)
        """The part of its prompt whose keys and values come from elsewhere in the cache."""
        self.kept_distance: int | None = None
        """See `KnownSuffix.distance`, where its suffix is kept; None: the prompt is exact."""
        self.generator = make_generator(request.sampling, index)
        self.healer = Healer(tokenizer, request.healed)
        self.clock = Clock()
        self.finish_reason: FinishReason | None = None
        self.prompt_scores = PromptScores() if request.scores_prompt else None
        self.n_cached = self.n_forwarded = self.n_drafted = self.n_accepted = 0
        self._end_ids = end_ids
        self._lookup, self._longest_draft = PromptLookup(drafts), drafts.most
        self._text = tokenizer.stream(strip=self.healer.strip)
        self._stop = StopState(request.stop)

    @property
    def prompt(self) -> TokenArray:
        """The prompt's tokens."""
        return self.tokens[: self.n_prompt]

    @property
    def n_pending(self) -> int:
        """Known tokens that are not computed yet: at least one while it runs."""
        return self.n_tokens - self.n_computed - len(self._ahead)

    @property
    def _ahead(self) -> range:
        """The moved part of the prompt, while tokens before it are still to be computed."""
        return self.moved if self.n_computed < self.moved.start else range(0)

    def spans(self, n: int) -> list[range]:
        """The places of the next `n` tokens to be computed, known or drafted, in runs."""
        start, ahead = self.n_computed, self._ahead
        n_before = ahead.start - start
        if not ahead or n <= n_before:
            return [range(start, start + n)]
        return [range(start, ahead.start), range(ahead.stop, ahead.stop + n - n_before)]

    def advance(self, n: int) -> None:
        """The next `n` tokens are computed."""
        ahead = self._ahead
        self.n_computed += n
        if ahead and self.n_computed >= ahead.start:
            self.n_computed += len(ahead)

    def key(self, n: int) -> TokenArray:
        """What the cache calls the first `n` tokens, or as many as there are."""
        tokens, suffix = self.tokens[: min(n, self.n_tokens)], self.request.suffix
        if self.kept_distance is None or suffix is None or len(tokens) <= suffix.start:
            return tokens
        return kept_key(tokens, suffix)

    @property
    def n_new_tokens(self) -> int:
        """Tokens generated so far."""
        return self.n_tokens - self.n_prompt

    def new_tokens(self, count: int) -> list[int]:
        """The first tokens generated, at most `count`."""
        tokens: list[int] = self.tokens[self.n_prompt : min(self.n_prompt + count, self.n_tokens)].tolist()
        return tokens

    @property
    def history(self) -> list[int]:
        """What a repetition penalty looks at."""
        tokens: list[int] = self.tokens[: self.n_tokens].tolist()
        return tokens

    def draft(self, *, look_up: bool) -> TokenArray:
        """Guesses for the tokens after the known ones: those that heal the prompt, then, if wanted,
        what the text so far suggests."""
        # One place stays for the token that the last guess's logits give.
        room = self.capacity - self.n_tokens - 1
        if room < 1:
            return self.tokens[:0]
        if not self.healer.done:
            return np.array(self.healer.draft()[: min(room, self._longest_draft)], np.int32)
        return self._lookup.propose(self.tokens[: self.n_tokens], room) if look_up else self.tokens[:0]

    def learn(self, taken: Iterable[int], *, n_drafted: int, n_accepted: int) -> None:
        """Take note of a step's tokens, and of how many guesses were right."""
        self.n_drafted += n_drafted
        self.n_accepted += n_accepted
        self._lookup.learn(taken)

    def append(self, token_id: int) -> str:
        """Take the next token; returns the text it adds. Sets `finish_reason` where it ends."""
        if self.clock.first_token_s is None:
            self.clock.first_token_s = time.perf_counter()
        ends = token_id in self._end_ids and not self.request.ignore_eos
        if ends:
            self.finish_reason = "stop"
            return self._close_text()
        self.tokens[self.n_tokens] = token_id
        self.n_tokens += 1
        self.healer.advance(token_id)
        result = self._stop.push(self._text.push(token_id))
        if result.finished:
            self.finish_reason = "stop"
            return result.emit
        if self.n_tokens == self.capacity:
            self.finish_reason = "length"
            return result.emit + self._close_text()
        return result.emit

    def finish(self, reason: FinishReason, error: str | None = None) -> Delta:
        """The last delta of a sequence that ends from outside (cancelled, failed)."""
        self.finish_reason = reason
        return Delta(index=self.index, finish_reason=reason, error=error, timings=self.timings())

    def timings(self) -> Timings:
        """Where its time went so far."""
        queue_ms, prefill_ms, decode_ms = self.clock.intervals_ms()
        return Timings(
            queue_ms=queue_ms,
            prefill_ms=prefill_ms,
            decode_ms=decode_ms,
            prompt_tokens=self.n_prompt,
            cached_tokens=self.n_cached,
            computed_tokens=self.n_forwarded,
            completion_tokens=self.n_new_tokens,
            drafted_tokens=self.n_drafted,
            accepted_tokens=self.n_accepted,
        )

    def _close_text(self) -> str:
        result = self._stop.push(self._text.flush())
        return result.emit if result.finished else result.emit + self._stop.flush()
