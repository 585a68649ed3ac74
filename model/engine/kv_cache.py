"""The cache of keys and values: slots for tokens, and a radix tree that shares them by prefix.

One slot holds the keys and values of one token in every layer. Sequences own slots while they
run; whatever was computed stays in the tree afterwards, so that the next keystroke, the other
alternatives of a request and other windows find it. Unused leaves go when room is needed, least
recently used first. Slots of single tokens are affordable because of multi-query attention: a gather
reads 2·C numbers a token.

Knows nothing about attention or scheduling. Sharing by radix tree: RadixAttention, arXiv 2312.07104, §3.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.errors import ModelError

TokenArray = npt.NDArray[np.int32]
SlotArray = npt.NDArray[np.int64]


class _Node:
    """A run of tokens that every sequence below it shares."""

    __slots__ = ("children", "last_used", "parent", "pins", "slots", "tokens")

    def __init__(self, parent: _Node | None, tokens: TokenArray, slots: SlotArray) -> None:
        self.parent, self.tokens, self.slots = parent, tokens, slots
        self.children: dict[int, _Node] = {}
        self.pins = 0
        self.last_used = 0

    def path(self) -> Iterator[_Node]:
        """This node and its ancestors, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A pinned prefix: its slots stay where they are until the lease is released."""

    slots: SlotArray  # [matched tokens]
    node: _Node = field(repr=False)


class KVCacheFullError(ModelError):
    """More slots were asked for than can be freed."""


class KVCache:
    """Slots 0 … n_slots - 1 and who holds them.

    Every slot is in exactly one place: free, in the tree, or taken by a running sequence
    (free, cached and taken ones sum to `n_slots`). Not thread-safe: one step loop owns it.
    """

    def __init__(self, n_slots: int) -> None:
        self.n_slots = n_slots
        # A stack whose top is the lowest slot, so that fresh sequences lie contiguously.
        self._free: SlotArray = np.arange(n_slots - 1, -1, -1, dtype=np.int64)
        self._n_free = n_slots
        self._root = _Node(None, np.empty(0, np.int32), np.empty(0, np.int64))
        self._clock = 0
        self.cached_tokens = 0
        self.pinned_tokens = 0
        self.evicted_tokens = 0

    @property
    def free(self) -> int:
        """Slots that hold nothing."""
        return self._n_free

    @property
    def free_slots(self) -> SlotArray:
        """Those slots, in order."""
        return np.sort(self._free[: self._n_free])

    @property
    def available(self) -> int:
        """Slots that `take` can give: the free ones and those of unpinned cached prefixes."""
        return self._n_free + self.cached_tokens - self.pinned_tokens

    def match(self, tokens: TokenArray) -> int:
        """How many leading tokens are cached, without pinning them."""
        return sum(n for _, n in self._walk(tokens))

    def lease(self, tokens: TokenArray) -> Lease:
        """Pin the longest cached prefix of `tokens` and return its slots."""
        self._clock += 1
        node, slots = self._root, [np.empty(0, np.int64)]
        for step, n_matched in list(self._walk(tokens)):
            node = step if n_matched == len(step.tokens) else self._split(step, n_matched)
            node.last_used = self._clock
            slots.append(node.slots)
        self._pin(node)
        self._join(node)
        return Lease(slots=np.concatenate(slots), node=node)

    def release(self, lease: Lease) -> None:
        """Unpin what `lease` pinned; it stays cached until room is needed."""
        for node in lease.node.path():
            node.pins -= 1
            if node.pins == 0:
                self.pinned_tokens -= len(node.tokens)

    def take(self, n_slots: int) -> SlotArray:
        """Take `n_slots` slots, evicting the least recently used prefixes. Raises `KVCacheFullError`."""
        if n_slots > self._n_free:
            if n_slots > self.available:
                raise KVCacheFullError(f"{n_slots} KV slots wanted, {self.available} available")
            self._evict(n_slots - self._n_free)
        taken = self._free[self._n_free - n_slots : self._n_free][::-1].copy()
        self._n_free -= n_slots
        return taken

    def give_back(self, slots: SlotArray) -> None:
        """Free slots that were taken (or evicted)."""
        self._free[self._n_free : self._n_free + len(slots)] = slots[::-1]
        self._n_free += len(slots)

    def insert(self, tokens: TokenArray, slots: SlotArray, *, n_leased: int) -> None:
        """Put `tokens`, computed in `slots`, into the tree, which takes the slots over.

        The first `n_leased` are the caller's leased ones, already in the tree. Where another
        sequence has inserted the same tokens meanwhile, the tree keeps its own and frees ours.
        """
        assert len(tokens) == len(slots)
        self._clock += 1
        node, n_known = self._root, 0
        for step, n_matched in list(self._walk(tokens)):
            node = step if n_matched == len(step.tokens) else self._split(step, n_matched)
            node.last_used = self._clock
            n_known += n_matched
        if n_known > n_leased:
            self.give_back(slots[n_leased:n_known])
        if n_known < len(tokens):
            leaf = _Node(node, tokens[n_known:].copy(), slots[n_known:].copy())
            leaf.last_used = self._clock
            node.children[int(leaf.tokens[0])] = leaf
            self.cached_tokens += len(leaf.tokens)

    def shrink(self, n_tokens: int) -> None:
        """Forget the least recently used prefixes that no running sequence holds, down to `n_tokens`."""
        self._evict(min(self.cached_tokens - n_tokens, self.cached_tokens - self.pinned_tokens))

    def _walk(self, tokens: TokenArray) -> Iterator[tuple[_Node, int]]:
        """The nodes along `tokens`, each with how many of its tokens match (at least one)."""
        node, start = self._root, 0
        while start < len(tokens):
            child = node.children.get(int(tokens[start]))
            if child is None:
                return
            # A child is found by its first token, and most are of one token only.
            n_matched = 1 if len(child.tokens) == 1 else common_prefix_length(child.tokens, tokens[start:])
            yield child, n_matched
            if n_matched < len(child.tokens):
                return
            node, start = child, start + n_matched

    def _split(self, node: _Node, at: int) -> _Node:
        """Cut `node` after `at` tokens; returns the new upper half."""
        assert node.parent is not None
        upper = _Node(node.parent, node.tokens[:at], node.slots[:at])
        upper.pins, upper.last_used = node.pins, node.last_used
        node.parent.children[int(upper.tokens[0])] = upper
        node.parent, node.tokens, node.slots = upper, node.tokens[at:], node.slots[at:]
        upper.children[int(node.tokens[0])] = node
        return upper

    def _join(self, node: _Node) -> None:
        """Merge the node, and each above it, with a parent that has no other children and is pinned as often.

        A prompt grows by a token with every keystroke: its path would become as long as the session.
        """
        while (parent := node.parent) is not None and parent.parent is not None:
            if len(parent.children) > 1 or parent.pins != node.pins:
                node = parent
                continue
            node.tokens = np.concatenate([parent.tokens, node.tokens])
            node.slots = np.concatenate([parent.slots, node.slots])
            node.parent = parent.parent
            node.parent.children[int(node.tokens[0])] = node

    def _pin(self, node: _Node) -> None:
        for step in node.path():
            if step.pins == 0:
                self.pinned_tokens += len(step.tokens)
            step.pins += 1

    def _evict(self, n_slots: int) -> None:
        """Free at least `n_slots` slots of unpinned leaves, from their ends."""
        leaves = [(leaf.last_used, id(leaf), leaf) for leaf in self._leaves() if leaf.pins == 0]
        heapq.heapify(leaves)
        while n_slots > 0 and leaves:
            _, _, leaf = heapq.heappop(leaves)
            keep = max(0, len(leaf.tokens) - n_slots)
            self.give_back(leaf.slots[keep:])
            n_gone = len(leaf.tokens) - keep
            n_slots -= n_gone
            self.cached_tokens -= n_gone
            self.evicted_tokens += n_gone
            if keep:
                leaf.tokens, leaf.slots = leaf.tokens[:keep], leaf.slots[:keep]
                continue
            parent = leaf.parent
            assert parent is not None
            del parent.children[int(leaf.tokens[0])]
            if parent.parent is not None and not parent.children and parent.pins == 0:
                heapq.heappush(leaves, (parent.last_used, id(parent), parent))

    def _leaves(self) -> Iterator[_Node]:
        stack = list(self._root.children.values())
        while stack:
            node = stack.pop()
            if node.children:
                stack.extend(node.children.values())
            else:
                yield node


def common_prefix_length(a: TokenArray, b: TokenArray) -> int:
    """How many leading tokens `a` and `b` share."""
    length = min(len(a), len(b))
    differing = np.flatnonzero(a[:length] != b[:length])
    return int(differing[0]) if len(differing) else length
