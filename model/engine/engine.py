"""The engine: admits requests, runs the model over all of them at once, streams their tokens.

`Engine` is synchronous and single-threaded: `submit`, `cancel`, `step`. `model.engine.async_engine` gives
it a thread. Knows nothing about HTTP, files' names in prompts or editors.

Shapes: N tokens of a step over all sequences, S rows whose next token is chosen, D hidden width,
V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model.engine.beginnings import Beginnings
from model.engine.draft import DraftPolicy
from model.engine.generation import Delta, GenerationRequest
from model.engine.kv_cache import KVCache
from model.engine.prefill_speed import PrefillSpeed
from model.engine.scheduler import Scheduler, Work
from model.engine.sequence import Sequence as Running
from model.engine.stats import EngineStats
from model.engine.turn import Turn
from model.errors import ContextLengthError, RequestError
from model.prompt.tokenizer import Tokenizer
from model.runner.memory import trim_heap
from model.runner.runner import Batch, Hidden, Logits, Runner
from model.runner.sampling import Choice

# So many unknown tokens hardly delay a key: they are computed for a prompt with more of the texts, and a
# shorter prompt that lacks no more is answered at once. Chosen, not measured.
_LITTLE_TOKENS = 64
# Tokens that are tried until one is unlike those of the other alternatives.
_MAX_ALIKE = 16
# Prompt tokens that a step computes. A GPU takes hardly longer for 1,024 of them than for 256.
_PREFILL_CHUNK, _PREFILL_CHUNK_ON_GPU = 256, 1024


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Bounds of one engine.

    `kv_cache_bytes` is as much as keys and values may take, but at least what one context does;
    `prefill_chunk` is how many prompt tokens a step computes at most (None: as suits the device),
    `max_draft` how many guessed tokens it verifies (0 switches drafts off), `threads` the CPU threads
    (None: all).
    """

    kv_cache_bytes: int = 512 * 2**20
    max_batch: int = 32
    prefill_chunk: int | None = None
    max_draft: int = 7
    threads: int | None = None


@dataclass(eq=False)
class Handle:
    """One submitted request: what `cancel` takes, and whose deltas `step` returns."""

    sequences: list[Running] = field(default_factory=list)
    beginnings: Beginnings | None = None

    @property
    def done(self) -> bool:
        """Whether every alternative has ended."""
        return all(sequence.finish_reason is not None for sequence in self.sequences)


class Engine:
    """A model, its cache and the requests in flight."""

    def __init__(self, runner: Runner, tokenizer: Tokenizer, options: EngineOptions | None = None) -> None:
        self.runner, self.tokenizer = runner, tokenizer
        self.config = runner.config
        self.options = options or EngineOptions()
        n_slots = max(self.options.kv_cache_bytes // runner.bytes_per_token, self.config.n_positions)
        runner.reserve(n_slots)
        on_gpu = runner.description["device"].startswith("cuda")
        chunk = self.options.prefill_chunk or (_PREFILL_CHUNK_ON_GPU if on_gpu else _PREFILL_CHUNK)
        self._scheduler = Scheduler(
            KVCache(n_slots),
            max_batch=self.options.max_batch,
            prefill_chunk=chunk,
        )
        self.prefill = PrefillSpeed(self.config.n_multiplying)
        self._drafts = DraftPolicy(self.options.max_draft)
        ends = self.config.family.end_ids(tokenizer.special_ids)
        self._end_ids = frozenset((*self.config.end_token_ids, *ends))
        self._handle_of: dict[Running, Handle] = {}
        self._stats = EngineStats()

    @property
    def description(self) -> dict[str, str]:
        """How it runs, for people: number format, quantisation, device, threads and why."""
        size = {"parameters": str(self.config.n_parameters), "context": str(self.config.n_positions)}
        return self.runner.description | size

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._scheduler.running or self._scheduler.waiting)

    def submit(self, request: GenerationRequest, owner: str = "") -> Handle:
        """Queue a request, which takes turns with those of other owners; without one it is its own.

        Raises `RequestError` where it can never be served.
        """
        self._check(request)
        request = self._in_time(request)
        if self.config.rotary is None or request.scores_prompt:
            request = replace(request, suffix=None)  # learned positions are in all that was computed
        handle = Handle()
        if request.n > 1 and request.sampling.greedy:
            handle.beginnings = Beginnings(self.tokenizer, self._end_ids, handle.sequences)
        for index in range(request.n):
            sequence = Running(
                request,
                index,
                self.tokenizer,
                drafts=self._drafts,
                end_ids=self._end_ids,
                n_positions=self.config.n_positions,
                owner=owner or id(handle),
            )
            self._scheduler.submit(sequence)
            handle.sequences.append(sequence)
            self._handle_of[sequence] = handle
        return handle

    def n_unknown(self, request: GenerationRequest) -> int:
        """How many tokens of a request's prompt would have to be computed now."""
        return self._scheduler.n_unknown(request)

    def _in_time(self, request: GenerationRequest) -> GenerationRequest:
        """The request, or the shorter one where too much of its prompt is unknown to be computed in time."""
        shorter, max_ms = request.shorter, request.max_prompt_ms
        if shorter is None or max_ms is None:
            return request
        n_unknown, n_least = self.n_unknown(request), self.n_unknown(shorter)
        if n_unknown <= n_least + _LITTLE_TOKENS:
            return request
        # A key that the shorter one answers at once need not wait for the longer one.
        is_cold = n_least > _LITTLE_TOKENS
        return request if is_cold and self.prefill.is_affordable(n_unknown, max_ms) else shorter

    def cancel(self, handle: Handle) -> list[Delta]:
        """End what still runs of a request at once; its KV becomes cache that can be evicted."""
        deltas = []
        for sequence in handle.sequences:
            if sequence.finish_reason is None:
                deltas.append(sequence.finish("cancelled"))
                self._retire(sequence)
        return deltas

    def fail_all(self, error: str) -> list[tuple[Handle, Delta]]:
        """End every request with an error, trusting nothing that is being computed."""
        deltas = []
        for sequence in [*self._scheduler.running, *self._scheduler.waiting]:
            handle = self._handle_of[sequence]
            deltas.append((handle, sequence.finish("error", error)))
            self._retire(sequence)
        return deltas

    def step(self) -> list[tuple[Handle, Delta]]:
        """Compute one step of every running request; returns what each gained."""
        work = self._scheduler.schedule()
        if not work:
            return []
        began = time.perf_counter()
        events = self._sample(work, self._forward(work))
        seconds = time.perf_counter() - began
        if len(work) == 1 and work[0].n_known == 1:
            self._drafts.measured(len(work[0].drafts), seconds)
        self.prefill.measured(sum(item.n_known for item in work), seconds)
        return events

    def forget(self) -> None:
        """Drop every cached prefix that no running request holds."""
        self._scheduler.cache.shrink(0)

    def rest(self) -> None:
        """Give back the memory of a burst: what is cached is kept up to one context, the latest first."""
        cache = self._scheduler.cache
        cache.shrink(self.config.n_positions)
        if cache.free:
            self.runner.release(cache.free_slots)
        trim_heap()

    def stats(self) -> EngineStats:
        """Counters and gauges now."""
        cache = self._scheduler.cache
        return replace(
            self._stats,
            waiting=len(self._scheduler.waiting),  # before `running`, into which they go
            running=len(self._scheduler.running),
            kv_tokens_used=cache.n_slots - cache.free,
            kv_tokens_pinned=cache.n_slots - cache.available,
            kv_tokens_capacity=cache.n_slots,
            evicted_tokens=cache.evicted_tokens,
        )

    def _check(self, request: GenerationRequest) -> None:
        n_prompt, limit = len(request.prompt_ids), self.config.n_positions
        if n_prompt >= limit:
            raise ContextLengthError(
                f"the prompt has {n_prompt} tokens, the model's context {limit}, of which one is for the "
                "answer: shorten the prompt",
                field="prompt",
            )
        for token_id in (min(request.prompt_ids), max(request.prompt_ids)):
            if not 0 <= token_id < self.config.vocab_size:
                raise RequestError(
                    f"token id {token_id} is outside the vocabulary of {self.config.vocab_size}",
                    field="prompt",
                )

    def _forward(self, work: Iterable[Work]) -> Hidden:
        """Compute the work's tokens, known ones and drafts."""
        for move in self._scheduler.take_moves():
            self.runner.move(move)
            self._stats.moved_tokens += len(move.targets)
        ids, positions, slots, contexts = [], [], [], []
        for item in work:
            sequence, n_tokens = item.sequence, item.n_known + len(item.drafts)
            # Runs before and after a moved part are as two sequences: the step writes all new keys and values
            # of a layer before it attends to any.
            for run in sequence.spans(n_tokens):
                ids.append(sequence.tokens[run.start : min(run.stop, sequence.n_tokens)])
                positions.append(np.arange(run.start, run.stop))
                slots.append(sequence.slots[run.start : run.stop])
                contexts.append(sequence.slots[: run.stop])
            ids.append(item.drafts)
            sequence.clock.start()
            sequence.n_forwarded += n_tokens
            self._stats.computed_tokens += n_tokens
        return self.runner.compute(
            Batch(
                ids=np.concatenate(ids),
                positions=np.concatenate(positions),
                slots=np.concatenate(slots),
                n_new=[len(part) for part in positions],
                contexts=contexts,
            )
        )

    def _sample(self, work: Sequence[Work], hidden: Hidden) -> list[tuple[Handle, Delta]]:
        """Choose tokens, accepting drafts as long as they are what would have been chosen.

        A draft is only ever compared with a token sampled from the model's own distribution at
        its place, so the text is the one that would have come without drafts.
        """
        n_tokens = [item.n_known + len(item.drafts) for item in work]
        first_rows = np.cumsum([0, *n_tokens[:-1]])
        rows: list[int] = []
        turns: list[Turn] = []
        for item, first in zip(work, first_rows, strict=True):
            sequence = item.sequence
            if sequence.prompt_scores is not None:
                self._score(sequence, hidden, range(first, first + item.n_known))
            sequence.advance(item.n_known)
            if not sequence.n_pending:
                turns.append(Turn(sequence, item.drafts, len(rows)))
                last = int(first) + item.n_known - 1
                rows += range(last, last + len(item.drafts) + 1)
        if not turns:
            return []
        logits = hidden.logits(rows)  # [S, V]
        active = turns
        while active:
            active = self._choose(logits, active)
        return [self._settle(turn) for turn in turns]

    def _score(self, sequence: Running, hidden: Hidden, rows: range) -> None:
        """Score the prompt's tokens that follow those that were just computed in `rows`."""
        assert sequence.prompt_scores is not None
        following = sequence.prompt[sequence.n_computed + 1 :][: len(rows)]
        if len(following):
            logits = hidden.logits(rows[: len(following)])
            sequence.prompt_scores.add(logits, following.tolist(), sequence.request.sampling.logprobs)

    def _choose(self, logits: Logits, turns: Sequence[Turn]) -> list[Turn]:
        """Take one token for each turn that need not wait for another; returns those that go on."""
        undecided = [turn.sequence for turn in turns]
        ready: list[Turn] = []
        going_on: list[Turn] = []
        for turn in turns:
            (going_on if self._waits(turn.sequence, undecided) else ready).append(turn)
        choices = [self._choice(logits, turn) for turn in ready]
        sampled = logits.sample([turn.row for turn in ready], choices)
        for number, turn in enumerate(ready):
            if number in sampled.failed:
                turn.failed = True
                continue
            token_id = sampled.token_ids[number]
            turn.take(token_id, sampled.logprobs[number], dict(sampled.top[number]))
            if turn.confirmed(token_id):
                going_on.append(turn)
        return going_on

    def _waits(self, sequence: Running, undecided: Sequence[Running]) -> bool:
        beginnings = self._handle_of[sequence].beginnings
        return beginnings is not None and beginnings.waits(sequence, undecided)

    def _choice(self, logits: Logits, turn: Turn) -> Choice:
        """What decides a turn's token; of an alternative that has not parted yet, also the others' tokens."""
        sequence = turn.sequence
        choice = _choice(sequence)
        beginnings = self._handle_of[sequence].beginnings
        if beginnings is None or beginnings.has_parted(sequence):
            return choice
        excluded = taken = beginnings.taken(sequence)
        for _ in range(_MAX_ALIKE):
            unlike = replace(choice, excluded=excluded)
            sampled = logits.sample([turn.row], [unlike])
            token_id = sampled.token_ids[0]
            if token_id in excluded or not _is_allowed(token_id, choice):
                break  # no other token is left
            if beginnings.is_alike(token_id, taken):
                excluded = [*excluded, token_id]
            elif beginnings.may_part(sequence, sampled.logprobs[0]):
                beginnings.part(sequence)
                return unlike
            else:
                break
        return choice

    def _settle(self, turn: Turn) -> tuple[Handle, Delta]:
        """Account for a step of one sequence, and end it where it is done."""
        sequence = turn.sequence
        handle = self._handle_of[sequence]
        sequence.learn(turn.token_ids, n_drafted=len(turn.drafts), n_accepted=turn.n_confirmed)
        if turn.ends_prefill and not turn.failed:
            self._scheduler.share_prompt(sequence)
        sequence.advance(turn.n_confirmed)
        if turn.failed:
            message = (
                f"the model gave NaN or infinite logits at position {sequence.n_tokens - 1}: its weights "
                f"are damaged or overflow in {self.runner.description['dtype']}"
            )
            delta = sequence.finish("error", message)
            self._retire(sequence)
            return handle, delta
        delta = turn.delta()
        if sequence.finish_reason is not None:
            self._retire(sequence)
        return handle, delta

    def _retire(self, sequence: Running) -> None:
        # Counted first: another thread that sees nothing running (`stats`) sees it counted.
        if not sequence.request.is_ahead:
            self._count(sequence)
        self._scheduler.remove(sequence, keep=sequence.finish_reason != "error")
        del self._handle_of[sequence]

    def _count(self, sequence: Running) -> None:
        stats, reason = self._stats, sequence.finish_reason
        stats.finished += reason in ("stop", "length")
        stats.cancelled += reason == "cancelled"
        stats.failed += reason == "error"
        stats.prompt_tokens += sequence.n_prompt
        stats.prefix_hit_tokens += sequence.n_cached
        stats.generated_tokens += sequence.n_new_tokens
        stats.drafted_tokens += sequence.n_drafted
        stats.accepted_tokens += sequence.n_accepted


def _is_allowed(token_id: int, choice: Choice) -> bool:
    return token_id >= 0 and (choice.allowed is None or token_id in choice.allowed)


def _choice(sequence: Running) -> Choice:
    params = sequence.request.sampling
    return Choice(
        params=params,
        generator=sequence.generator,
        history=sequence.history if params.repetition_penalty != 1.0 else (),
        allowed=sequence.healer.allowed(),
    )
