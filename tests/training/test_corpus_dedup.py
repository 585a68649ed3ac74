from __future__ import annotations

import random

import numpy as np

from training.corpus.dedup import ExactDuplicates, NearDuplicates, gram_hashes

WORDS = [
    f"{stem}_{number}"
    for stem in ("count", "index", "value", "node", "path", "total")
    for number in range(60)
]

PINNED_HASH = 15497553220538861334


def text(seed: int, words: int = 400) -> str:
    random_ = random.Random(seed)
    return "\n".join(" ".join(random_.choice(WORDS) for _ in range(8)) + " = None" for _ in range(words // 8))


def test_exact_duplicates_are_remembered() -> None:
    seen = ExactDuplicates()
    assert not seen.seen("ab" * 32)
    assert not seen.seen("cd" * 32)
    assert seen.seen("ab" * 32)


def test_planted_near_duplicates_are_found_and_unrelated_texts_kept() -> None:
    index = NearDuplicates()
    originals = [text(seed) for seed in range(60)]
    assert not any(index.seen(original) for original in originals)
    changed = []
    for original in originals:
        lines = original.split("\n")
        lines[3] = "completely = different + line"  # of 50: Jaccard about .93
        changed.append("\n".join(lines))
    assert all(index.seen(copy) for copy in changed)


def test_half_a_copy_is_not_a_duplicate() -> None:
    index = NearDuplicates()
    first, second = text(1), text(2)
    assert not index.seen(first)
    half = "\n".join(first.split("\n")[:25] + second.split("\n")[:25])  # Jaccard about 1/3
    assert not index.seen(half)


def test_layout_and_punctuation_do_not_matter() -> None:
    index = NearDuplicates()
    original = text(5)
    assert not index.seen(original)
    assert index.seen(original.replace(" = ", "=").replace("\n", "\n\n    "))


def test_the_first_of_the_stream_stays() -> None:
    index = NearDuplicates()
    assert [index.seen(copy) for copy in (text(1), text(1), text(2), text(1))] == [False, True, False, True]


def test_texts_without_words_are_never_duplicates() -> None:
    index = NearDuplicates()
    assert not index.seen("{}\n")
    assert not index.seen("[]\n")


def test_grams_are_reproducible_and_distinct() -> None:
    hashes = gram_hashes("a b c d e f a b c d e")
    assert hashes.size == 6  # 7 windows, of which the first and the last are the same
    assert np.array_equal(hashes, gram_hashes("a, b; c\td(e) f a.b.c\nd e"))
    assert gram_hashes("one two").size == 1
    # Pinned: a stored or published signature must not change with the platform or the Python version.
    assert int(gram_hashes("def add a b return")[0]) == PINNED_HASH
