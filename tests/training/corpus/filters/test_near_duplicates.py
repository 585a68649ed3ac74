from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.filters.minhash import (
    JACCARD_MIN,
    PERMUTATIONS,
    gram_hashes,
    signature,
    signature_of_grams,
    similarity,
    word_hashes,
)
from training.corpus.filters.near_duplicates import (
    BANDS,
    I64,
    band_keys,
    components,
    equal_pairs,
    pairs_of_band,
)

WORDS = [
    f"{stem}_{number}"
    for stem in ("count", "index", "value", "node", "path", "total")
    for number in range(60)
]
PINNED_GRAM = 12346738557120303050


def text(seed: int, words: int = 400) -> str:
    chance = random.Random(seed)
    return "\n".join(" ".join(chance.choice(WORDS) for _ in range(8)) + " = None" for _ in range(words // 8))


def with_changed_lines(original: str, lines: int, seed: int) -> str:
    changed = original.split("\n")
    for place in random.Random(seed).sample(range(len(changed)), lines):
        changed[place] = f"other_{seed}_{place} = different + line of_{place} words_{seed}"
    return "\n".join(changed)


def jaccard(one: str, other: str) -> float:
    first, second = set(gram_hashes(one).tolist()), set(gram_hashes(other).tolist())
    return len(first & second) / len(first | second)


def clusters(texts: list[str], *, max_keys: int = 1 << 20) -> I64:
    """The smallest member of each text's cluster, by the whole of LSH."""
    signed = [signature(one) for one in texts]
    signatures = np.stack([np.zeros(PERMUTATIONS, np.uint32) if one is None else one for one in signed])
    numbers = np.array([number for number, one in enumerate(signed) if one is not None], dtype=np.int64)
    keys = np.stack([band_keys(signatures[number]) for number in numbers])
    parts = [
        pair
        for band in range(BANDS)
        for pair in pairs_of_band(
            lambda band=band: iter([(numbers, keys[:, band])]),  # type: ignore[misc] # of this band
            len(numbers),
            lambda wanted: signatures[wanted],
            max_keys=max_keys,
        )
    ]
    return components(len(texts), parts)


def test_words_are_told_apart_wherever_they_stand() -> None:
    alone = {word: int(word_hashes(word.encode())[0]) for word in ("a", "b", "ab", "ba", "aa", "A", "_", "0")}
    assert len(set(alone.values())) == len(alone)
    together = word_hashes(b" ab,ba\n\n(a);aa")
    assert together.tolist() == [alone["ab"], alone["ba"], alone["a"], alone["aa"]]
    assert word_hashes("é…{}".encode()).size == 0


def test_grams_are_reproducible_and_distinct() -> None:
    hashes = gram_hashes("a b c d e f a b c d e")
    assert hashes.size == 6  # 7 windows, of which the first and the last are the same
    assert np.array_equal(hashes, gram_hashes("a, b; c\td(e) f a.b.c\nd e"))
    assert gram_hashes("one two").size == 1
    # Pinned: what an unfinished build has stored must not change its meaning.
    assert int(gram_hashes("def add a b return")[0]) == PINNED_GRAM


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_equal_places_estimate_the_jaccard_similarity(share: float) -> None:
    chance = np.random.default_rng(int(share * 10))
    errors = []
    for _ in range(60):
        size = int(chance.integers(50, 1500))
        both = int(size * 2 * share / (1 + share))
        pool = chance.integers(0, 2**64, 2 * size, dtype=np.uint64)
        one, other = pool[:size], np.concatenate([pool[:both], pool[size : 2 * size - both]])
        truth = both / (2 * size - both)
        errors.append(similarity(signature_of_grams(one), signature_of_grams(other)) - truth)
    deviation = (share * (1 - share) / PERMUTATIONS) ** 0.5  # of 256 independent permutations
    assert abs(float(np.mean(errors))) < 4 * deviation / 60**0.5
    assert 0.7 * deviation < float(np.std(errors)) < 1.4 * deviation


def test_precision_and_recall_on_planted_duplicates() -> None:
    """The figures of docs/corpus.md: pairs below, near and above the threshold."""
    planted = [(seed, lines) for seed in range(120) for lines in (1, 3, 6, 20)]  # of 50 lines
    originals = {seed: text(seed) for seed in range(120)}
    texts = [*originals.values(), *(with_changed_lines(originals[seed], n, seed) for seed, n in planted)]
    found = clusters(texts)
    same = [found[120 + number] == found[seed] for number, (seed, _) in enumerate(planted)]
    true = [jaccard(texts[120 + number], originals[seed]) for number, (seed, _) in enumerate(planted)]
    sure = [hit for hit, share in zip(same, true, strict=True) if share >= JACCARD_MIN + 0.1]
    far = [hit for hit, share in zip(same, true, strict=True) if share <= JACCARD_MIN - 0.15]
    assert len(sure) >= 200
    assert len(far) >= 100
    assert sum(sure) / len(sure) >= 0.99
    assert not any(far)
    assert len(set(found[:120].tolist())) == 120  # unrelated originals are not joined


def test_layout_does_not_matter_and_texts_without_words_are_never_duplicates() -> None:
    original = text(5)
    found = clusters([original, original.replace(" = ", "=").replace("\n", "\n\n    "), "{}\n", "[]\n"])
    assert found.tolist() == [0, 0, 2, 3]


def test_a_chain_of_resembling_documents_is_one_cluster() -> None:
    chain = [text(7)]
    for step in range(14):
        chain.append(with_changed_lines(chain[-1], 2, 100 + step))
    assert jaccard(chain[0], chain[-1]) < JACCARD_MIN - 0.2
    assert set(clusters(chain).tolist()) == {0}


def test_slices_of_keys_find_the_same_pairs() -> None:
    texts = [text(seed) for seed in range(20)] + [
        with_changed_lines(text(seed), 2, seed) for seed in range(20)
    ]
    assert np.array_equal(clusters(texts), clusters(texts, max_keys=7))


def test_equal_keys_are_paired_with_the_first() -> None:
    numbers, keys = np.arange(6), np.array([5, 9, 5, 5, 9, 1], dtype=np.uint64)
    pairs = np.concatenate(list(equal_pairs(lambda: iter([(numbers, keys)]), 6)))
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (0, 3), (1, 4)]


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))
    )
)
def test_components_are_those_of_plain_union_find(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    expected = [root(place) for place in range(count)]
    parts = [np.array(pairs[start::3], dtype=np.int64).reshape(-1, 2) for start in range(3)]
    assert components(count, parts).tolist() == expected
