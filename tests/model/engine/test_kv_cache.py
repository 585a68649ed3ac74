"""The slot accounting and prefix sharing of the KV cache."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.engine.kv_cache import KVCache, KVCacheFullError, Lease, TokenArray


def tokens_of(*ids: int) -> TokenArray:
    return np.array(ids, np.int32)


def store(cache: KVCache, tokens: TokenArray) -> list[int]:
    """What a sequence does from start to end; returns the slots its tokens lay in."""
    lease = cache.lease(tokens)
    slots = np.concatenate([lease.slots, cache.take(len(tokens) - len(lease.slots))])
    cache.insert(tokens, slots, n_leased=len(lease.slots))
    cache.release(lease)
    return [int(slot) for slot in slots]


def test_a_prefix_is_shared_token_by_token() -> None:
    cache = KVCache(100)
    first = store(cache, tokens_of(1, 2, 3, 4, 5))
    second = store(cache, tokens_of(1, 2, 3, 9))
    assert second[:3] == first[:3]
    assert cache.cached_tokens == 6
    assert cache.match(tokens_of(1, 2, 3, 9, 9)) == 4
    assert cache.match(tokens_of(2, 3)) == 0


def test_fresh_sequences_lie_contiguously() -> None:
    cache = KVCache(100)
    assert list(cache.take(5)) == [0, 1, 2, 3, 4]
    assert list(cache.take(3)) == [5, 6, 7]


def test_the_least_recently_used_prefix_goes_first() -> None:
    cache = KVCache(10)
    store(cache, tokens_of(1, 2, 3, 4))
    store(cache, tokens_of(5, 6, 7, 8))
    store(cache, tokens_of(1, 2, 3, 4))
    cache.take(5)
    assert cache.match(tokens_of(1, 2, 3, 4)) == 4
    assert cache.match(tokens_of(5, 6, 7, 8)) == 1, "evicted from its end, and no more than needed"


def test_an_idle_cache_keeps_what_was_used_last() -> None:
    cache = KVCache(30)
    for first in (10, 20, 30):
        store(cache, tokens_of(*range(first, first + 6)))
    lease = cache.lease(tokens_of(10, 11))
    cache.shrink(8)
    assert cache.match(tokens_of(*range(30, 36))) == 6
    assert (cache.match(tokens_of(*range(20, 26))), cache.match(tokens_of(*range(10, 16)))) == (0, 2)
    assert sorted([*cache.free_slots, *lease.slots, *cache.lease(tokens_of(*range(30, 36))).slots]) == [
        *range(30)
    ]
    cache.shrink(100)
    assert cache.cached_tokens == 8


def test_a_pinned_prefix_stays() -> None:
    cache = KVCache(6)
    store(cache, tokens_of(1, 2, 3, 4))
    lease = cache.lease(tokens_of(1, 2, 3, 7))
    assert len(lease.slots) == 3
    with pytest.raises(KVCacheFullError, match="4 KV slots wanted, 3 available"):
        cache.take(4)
    cache.take(3)
    assert cache.match(tokens_of(1, 2, 3, 4)) == 3
    cache.release(lease)
    cache.take(3)
    assert cache.match(tokens_of(1, 2, 3, 4)) == 0


def test_two_sequences_that_computed_the_same_keep_one_copy() -> None:
    cache = KVCache(20)
    tokens = tokens_of(1, 2, 3)
    mine, other = cache.take(3), cache.take(3)
    cache.insert(tokens, mine, n_leased=0)
    cache.insert(tokens, other, n_leased=0)
    assert cache.cached_tokens == 3
    assert cache.available == 20, "the other three slots are free again"


def test_a_prompt_that_grows_key_by_key_stays_one_run() -> None:
    cache = KVCache(400)
    prompt = np.arange(300, dtype=np.int32)
    for n_typed in range(1, 301):
        store(cache, prompt[:n_typed])
        lease = cache.lease(prompt[:n_typed])  # as the scheduler does, once it is computed
        cache.release(lease)
        assert len(list(lease.node.path())) <= 2
    assert cache.match(prompt) == cache.cached_tokens == 300


TOKEN_LISTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=30)


@settings(deadline=None)
@given(TOKEN_LISTS, st.integers(12, 40))
def test_no_slot_is_lost_or_held_twice(sequences: list[list[int]], n_slots: int) -> None:
    cache = KVCache(n_slots)
    owner: dict[int, int] = {}
    for ids in sequences:
        tokens = np.array(ids, np.int32)
        lease = cache.lease(tokens)
        # A slot that is reused must still hold the token it was written for.
        for slot, token in zip(lease.slots, tokens, strict=False):
            assert owner[int(slot)] == int(token)
        slots = np.concatenate([lease.slots, cache.take(len(tokens) - len(lease.slots))])
        assert len(set(slots.tolist())) == len(tokens)
        for slot, token in zip(slots[len(lease.slots) :], tokens[len(lease.slots) :], strict=True):
            owner[int(slot)] = int(token)
        cache.insert(tokens, slots, n_leased=len(lease.slots))
        cache.release(lease)
        assert cache.pinned_tokens == 0
        assert cache.available == n_slots
    cache.shrink(0)
    assert (cache.available, cache.cached_tokens) == (n_slots, 0)
    assert sorted(cache.take(n_slots).tolist()) == list(range(n_slots))


@settings(deadline=None)
@given(TOKEN_LISTS, st.integers(1, 4))
def test_what_several_sequences_hold_at_once_stays_theirs(sequences: list[list[int]], n_open: int) -> None:
    cache = KVCache(70)
    owner: dict[int, int] = {}
    held: list[tuple[Lease, list[int]]] = []
    for ids in sequences:
        tokens = np.array(ids, np.int32)
        slots = store(cache, tokens)
        for slot, token in zip(slots, ids, strict=True):
            owner[slot] = token
        held.append((cache.lease(tokens), ids))
        if len(held) > n_open:
            cache.release(held.pop(0)[0])
        for lease, its_ids in held:
            assert [owner[int(slot)] for slot in lease.slots] == its_ids
        assert cache.pinned_tokens == len({int(slot) for lease, _ in held for slot in lease.slots})
    for lease, _ in held:
        cache.release(lease)
    assert cache.pinned_tokens == 0
