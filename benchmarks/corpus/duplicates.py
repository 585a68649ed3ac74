"""Planted near duplicates: what is found of them, by how much they truly share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from training.corpus.filters.minhash import (
    JACCARD_MIN,
    gram_hashes,
    signature,
    signature_of_grams,
    similarity,
)
from training.corpus.filters.near_duplicates import band_keys


def print_duplicates(folder: Path, originals: int) -> None:
    """Found pairs by their true Jaccard similarity, with the check of signatures and by LSH alone."""
    chance = random.Random(7)
    texts = [text for text in _python_texts(folder) if text.count("\n") >= 30][:originals]
    bins: dict[int, Counter[str]] = {}
    for text in texts:
        for share in (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3):
            _count_pair(bins, text, _edited(text, share, chance))
    print("| Jaccard similarity | pairs | found | candidates of LSH alone |\n|---|--:|--:|--:|")
    for tenth, counts in sorted(bins.items()):
        pairs, found, candidates = counts["pairs"], counts["found"], counts["candidates"]
        low, high = tenth / 20, (tenth + 1) / 20
        print(f"| {low:.2f} to {high:.2f} | {pairs:,} | {found / pairs:.1%} | {candidates / pairs:.1%} |")
    print(_false_pairs(texts))


def _count_pair(bins: dict[int, Counter[str]], one: str, other: str) -> None:
    first, second = (set(gram_hashes(text).tolist()) for text in (one, other))
    truth = len(first & second) / len(first | second)
    signatures = [signature(text) for text in (one, other)]
    assert signatures[0] is not None
    assert signatures[1] is not None
    is_candidate = bool((band_keys(signatures[0]) == band_keys(signatures[1])).any())
    is_alike = similarity(signatures[0], signatures[1]) >= JACCARD_MIN
    counts = bins.setdefault(min(19, int(truth * 20)), Counter())
    counts.update(pairs=1, candidates=is_candidate, found=is_candidate and is_alike)


def _false_pairs(texts: Sequence[str]) -> str:
    """Among files that nobody planted: pairs that are called alike, and how many of them truly are."""
    grams = [gram_hashes(text) for text in texts]
    signatures = np.stack([signature_of_grams(one) for one in grams])
    alike = true = 0
    for number, one in enumerate(signatures):
        later = np.flatnonzero((signatures[number + 1 :] == one).mean(axis=1) >= JACCARD_MIN) + number + 1
        for other in later.tolist():
            both = np.intersect1d(grams[number], grams[other]).size
            alike += 1
            true += both / (grams[number].size + grams[other].size - both) >= JACCARD_MIN - 0.05
    return f"\nAmong {len(texts)} files themselves {alike} pairs are alike, {true} of them by .65 or more."


def _edited(text: str, share: float, chance: random.Random) -> str:
    lines = text.split("\n")
    for place in chance.sample(range(len(lines)), max(1, int(share * len(lines)))):
        lines[place] = f"    changed_{chance.randrange(10**6)} = other_{chance.randrange(10**6)}(x_{place})"
    return "\n".join(lines)


def _python_texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        data = path.read_bytes()
        if len(data) < 100_000:
            yield data.decode("utf-8", errors="replace")
