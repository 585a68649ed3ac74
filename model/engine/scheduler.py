"""Which sequences run, and how many of their tokens each step computes.

Continuous batching: every decoding sequence gets its token in every step, and beside them a part of the
prefills is computed, so that a long prompt stalls nobody (chunked prefill: arXiv 2308.16369). Room in the KV
cache for the whole of a sequence is taken when it is admitted, so nothing that runs is ever thrown out.

Requests take turns: of those that wait, whoever has least running is next, a short answer finds a place
beside a full batch, and of long prefills the shortest goes first.

Owns the sequences' slots; knows nothing about tensors.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from model.engine.generation import GenerationRequest
from model.engine.kept_suffix import KeptSuffix, KeptSuffixes, KnownSuffix, kept_key
from model.engine.kv_cache import KVCache, Lease, TokenArray, common_prefix_length
from model.engine.sequence import Sequence
from model.errors import RequestError
from model.runner.runner import CacheMove

# A sequence waits for another's prefill if that will spare it at least this many tokens.
_WORTH_WAITING_TOKENS = 32
# Work ahead of need goes in smaller steps, because a request that comes meanwhile waits for one of them.
_AHEAD_CHUNK = 32
# While others decode, a step's prefill is this much smaller: they wait for it.
_SHARED_CHUNK_PART = 4
# Places beside a full batch for the first sequence of a request that asks for at most so many tokens.
_EXTRA_PLACES = {64: 8, 16: 8}
# How many short requests overtake one that waits for room in the cache.
_MAX_OVERTAKING = 64


@dataclass(frozen=True, kw_only=True)
class Work:
    """The tokens of one sequence in one step: the next `n_known` of it, then guesses."""

    sequence: Sequence
    n_known: int
    drafts: TokenArray

    @property
    def samples(self) -> bool:
        """Whether the step reaches the end of what is known, so that a token can be chosen."""
        return self.n_known == self.sequence.n_pending


class Scheduler:
    """Waiting and running sequences over one KV cache."""

    def __init__(self, cache: KVCache, *, max_batch: int, prefill_chunk: int) -> None:
        self.cache = cache
        self._kept, self._moves = KeptSuffixes(cache), list[tuple[Lease, CacheMove]]()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._max_batch, self._prefill_chunk = max_batch, prefill_chunk
        self._n_overtaking = 0

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises `RequestError` if it could never run."""
        if sequence.capacity > self.cache.n_slots:
            raise RequestError(
                f"prompt and max_tokens take {sequence.capacity} tokens of KV cache, which has "
                f"{self.cache.n_slots}: shorten them or give the engine a larger cache",
                field="max_tokens",
            )
        self.waiting.append(sequence)

    def n_unknown(self, request: GenerationRequest) -> int:
        """How many tokens of a request's prompt would have to be computed now."""
        prompt, place = np.array(request.prompt_ids, np.int32), request.suffix
        kept = self._kept.find(prompt, place) if place is not None and request.keeps_suffix else None
        return len(prompt) - (self.cache.match(prompt[:-1]) if kept is None else kept.n_known)

    def schedule(self) -> list[Work]:
        """The work of the next step, in a fixed order; empty when there is nothing to do."""
        self._admit()
        decoding = [sequence for sequence in self.running if sequence.n_pending == 1]
        # Drafts use the time in which a machine would wait for memory. A batch leaves no such time.
        alone = len(self.running) == 1
        work = [Work(sequence=s, n_known=1, drafts=s.draft(look_up=alone)) for s in decoding]
        parts = self._prefill_parts(shared=bool(decoding))
        for sequence in self.running:
            if not (n_known := parts[sequence]):
                continue
            ends = n_known == sequence.n_pending
            drafts = sequence.draft(look_up=False) if ends else sequence.tokens[:0]
            work.append(Work(sequence=sequence, n_known=n_known, drafts=drafts))
        return work

    def _prefill_parts(self, *, shared: bool) -> Counter[Sequence]:
        """How many tokens of each prefill the next step computes. `shared`: others decode meanwhile."""
        prefills = [sequence for sequence in self.running if sequence.n_pending > 1]
        ahead = any(sequence.request.is_ahead for sequence in prefills)
        budget = min(_AHEAD_CHUNK, self._prefill_chunk) if ahead else self._prefill_chunk
        part = -(-budget // _SHARED_CHUNK_PART)
        n_running = Counter(sequence.owner for sequence in self.running)
        # What is done at once delays others once: a key's own prompt, most of which is known.
        brief = {one for one in prefills if n_running[one.owner] == 1 and one.n_pending <= budget}
        long_budget = part if shared else budget
        parts = Counter[Sequence]()
        # The oldest has a little in every step, or shorter ones could keep it waiting for ever.
        turns = [(one, -(-part // 2)) for one in prefills[:1]]
        turns += [(one, budget) for one in sorted(prefills, key=lambda one: one.n_pending)]
        for sequence, most in turns:
            n_tokens = min(most, budget, sequence.n_pending - parts[sequence])
            if sequence not in brief:
                n_tokens = min(n_tokens, long_budget)
                long_budget -= n_tokens
            parts[sequence] += n_tokens
            budget -= n_tokens
        return parts

    def take_moves(self) -> list[CacheMove]:
        """What has to be moved within the cache before the step's work is computed, in this order."""
        moves, self._moves = self._moves, []
        for lease, _ in moves:
            self.cache.release(lease)
        return [move for _, move in moves]

    def share_prompt(self, sequence: Sequence) -> None:
        """Let others use the sequence's prompt, which is computed, while it goes on."""
        assert sequence.lease is not None
        n_prompt, place = sequence.n_prompt, sequence.request.suffix
        key = sequence.key(n_prompt)
        self.cache.insert(key, sequence.slots[:n_prompt], n_leased=len(sequence.lease.slots))
        self.cache.release(sequence.lease)
        sequence.lease = self.cache.lease(key)
        # Another sequence may have inserted the same tokens first: then these are its slots now.
        sequence.slots[:n_prompt] = sequence.lease.slots
        if place is not None:
            self._kept.remember(KnownSuffix(key[: place.stop].copy(), place, sequence.kept_distance or 0))

    def remove(self, sequence: Sequence, *, keep: bool = True) -> None:
        """End a sequence. What it computed stays cached, unless `keep` is false (bad numbers)."""
        if sequence.lease is None:
            self.waiting.remove(sequence)
            return
        n_leased = len(sequence.lease.slots)
        n_kept = sequence.n_computed if keep else n_leased
        self.cache.insert(sequence.key(n_kept), sequence.slots[:n_kept], n_leased=n_leased)
        self.cache.give_back(sequence.slots[n_kept:])
        self.cache.release(sequence.lease)
        sequence.lease = None
        self.running.remove(sequence)

    def _admit(self) -> None:
        is_full = False  # nobody but a few short ones overtakes a sequence that waits for room
        n_running = Counter(sequence.owner for sequence in self.running)
        for sequence in self._in_turn(n_running):
            overtakes = is_full and _n_extra_places(sequence) and self._n_overtaking < _MAX_OVERTAKING
            if not self._has_place(sequence, n_running) or (is_full and not overtakes):
                continue
            # The last token is always computed: its logits choose the first new one.
            # A prompt that is scored is computed whole: what is cached has no logits any more.
            wanted = sequence.prompt[: 0 if sequence.request.scores_prompt else -1]
            if self._better_to_wait(wanted):
                continue
            if not (self._take_kept(sequence) or self._take(sequence, wanted)):
                is_full = True
                continue
            self._n_overtaking += is_full
            n_running[sequence.owner] += 1
            # In this order: another thread that reads `waiting` and then `running` misses nobody.
            self.running.append(sequence)
            self.waiting.remove(sequence)
        if not is_full:
            self._n_overtaking = 0

    def _in_turn(self, n_running: Counter[str | int]) -> list[Sequence]:
        """Who waits: the first of each request, then the second of each …, counting those that run."""
        n_before = Counter(n_running)
        turns: list[tuple[int, Sequence]] = []
        for sequence in self.waiting:
            turns.append((n_before[sequence.owner], sequence))
            n_before[sequence.owner] += 1
        return [sequence for _, sequence in sorted(turns, key=lambda turn: turn[0])]

    def _has_place(self, sequence: Sequence, n_running: Counter[str | int]) -> bool:
        n_extra = 0 if n_running[sequence.owner] else _n_extra_places(sequence)
        return len(self.running) < self._max_batch + n_extra

    def _take(self, sequence: Sequence, key: TokenArray) -> bool:
        """Give a sequence what is cached of it, and room for the rest; False where there is none."""
        lease = self.cache.lease(key)
        n_more = sequence.capacity - len(lease.slots)
        if n_more > self.cache.available:
            self.cache.release(lease)
            return False
        sequence.lease = lease
        sequence.slots = np.concatenate([lease.slots, self.cache.take(n_more)])
        sequence.n_computed = sequence.n_cached = len(lease.slots)
        return True

    def _take_kept(self, sequence: Sequence) -> bool:
        """The same with a suffix that was computed behind another prefix, if that may be and saves enough."""
        place, prompt = sequence.request.suffix, sequence.prompt
        if place is None or not sequence.request.keeps_suffix:
            return False
        kept = self._kept.find(prompt, place)
        if kept is None:
            return False
        sequence.kept_distance = kept.distance
        if kept.n_moved:
            took = self._take_moved(sequence, kept, place)
        else:
            took = self._take(sequence, kept_key(prompt, place)[:-1])
        if not took:
            sequence.kept_distance = None
        return took

    def _take_moved(self, sequence: Sequence, kept: KeptSuffix, place: range) -> bool:
        """The same with another prompt's suffix moved into this one, all of it but its sentinel."""
        first = kept.suffix.place.start + 1
        source = self.cache.lease(kept.suffix.key[: first + kept.n_moved])
        if not self._take(sequence, sequence.prompt[: place.start]):
            self.cache.release(source)
            return False
        part = sequence.moved = range(place.start + 1, place.start + 1 + kept.n_moved)
        sequence.n_cached += len(part)
        move = CacheMove(
            sources=source.slots[first:],
            targets=sequence.slots[part.start : part.stop],
            by=part.start - first,
        )
        self._moves.append((source, move))
        return True

    def _better_to_wait(self, wanted: TokenArray) -> bool:
        """Whether a prefill under way will soon share more with `wanted` than the cache does."""
        prefilling = [s for s in self.running if s.n_computed < s.n_prompt]
        if not prefilling:
            return False
        n_known = self.cache.match(wanted)
        for other in prefilling:
            n_spared = common_prefix_length(other.prompt, wanted) - n_known
            # What is common can be used once the other's whole prompt is computed.
            if n_spared >= _WORTH_WAITING_TOKENS and 2 * n_spared >= other.n_prompt - other.n_computed:
                return True
        return False


def _n_extra_places(sequence: Sequence) -> int:
    """Places beside a full batch that a sequence may take; none for one that is not short."""
    n_new = sequence.request.sampling.max_new_tokens
    return sum(places for most, places in _EXTRA_PLACES.items() if n_new <= most)
