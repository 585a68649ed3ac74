from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from model.families.gpt_bigcode import (
    END_OF_TEXT,
    FIM_MIDDLE,
    FIM_PAD,
    FIM_PREFIX,
    FIM_SUFFIX,
    GPT_BIGCODE,
)
from model.weights.hub import bundled_folder
from tests.training.tiny import LANGUAGES, document, packed
from training.corpus.formats.code import FILENAME
from training.data.data import IGNORED_TARGET, DataOptions, TrainingSamples
from training.data.encoding import ByteEncoding, open_encoding
from training.data.fim_samples import FimOptions, FimTransform
from training.errors import RecipeError

ENCODING = ByteEncoding()
FIM = GPT_BIGCODE.fim_format(ENCODING.special_ids)
END, PREFIX, MIDDLE, SUFFIX, PAD = (
    ENCODING.special_ids[token] for token in (END_OF_TEXT, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD)
)


def restored(ids: list[int]) -> tuple[str, str]:
    """(order, the text that a fragment was before FIM)."""
    if PREFIX not in ids:
        return "none", ENCODING.decode(ids)
    suffix_at, middle_at = ids.index(SUFFIX), ids.index(MIDDLE)
    suffix, end = ids[suffix_at + 1 : middle_at], ids[middle_at + 1 :]
    if suffix_at == 1:
        return "spm", ENCODING.decode(end + suffix)
    return "psm", ENCODING.decode(ids[1:suffix_at] + end + suffix)


def test_rates_over_ten_thousand_fragments_and_exact_round_trips() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=0.5, spm_rate=0.5))
    # Long, since an empty prefix makes both orders the same ids.
    text = "naïve = '日本'\nfor i in range(3):\n    print(i)  # ✓\n" * 20
    counts = {"none": 0, "spm": 0, "psm": 0}
    for number in range(10_000):
        order, back = restored(transform.fragment(ENCODING.encode(text), np.random.default_rng(number)))
        assert back == text
        counts[order] += 1
    assert counts["none"] / 10_000 == pytest.approx(0.5, abs=0.015)
    assert counts["spm"] / 10_000 == pytest.approx(0.25, abs=0.013)
    assert counts["psm"] / 10_000 == pytest.approx(0.25, abs=0.013)


def test_rates_over_ten_thousand_samples_of_a_corpus(tmp_path: Path) -> None:
    """Counted at each sample's first fragment, which no truncation can reach."""
    corpus = packed(tmp_path, [document(i) for i in range(60)], tag_rate=0.0)
    samples = TrainingSamples(
        corpus, ENCODING, FIM, DataOptions(seq_len=128, fim=FimOptions(rate=0.5, spm_rate=0.5))
    )
    counts = {"none": 0, "spm": 0, "psm": 0}
    for number in range(10_000):
        first, second = samples[number][0][:2].tolist()
        counts["none" if first != PREFIX else "spm" if second == SUFFIX else "psm"] += 1
    assert counts["none"] / 10_000 == pytest.approx(0.5, abs=0.015)
    # Of about a hundred characters, one prefix in fifty is empty, which makes both orders the same ids.
    assert counts["spm"] / 10_000 == pytest.approx(0.2575, abs=0.015)
    assert counts["psm"] / 10_000 == pytest.approx(0.2425, abs=0.015)


def test_round_trips_with_a_real_tokenizer_are_exact() -> None:
    encoding = open_encoding(bundled_folder())
    special = encoding.special_ids
    transform = FimTransform(encoding, GPT_BIGCODE.fim_format(special), FimOptions(rate=1.0))
    texts = [
        Path(__file__).read_text(encoding="utf-8")[:1_500],
        "def naïve():\n\treturn '日本' + '🙂'  # ✓\n" * 9,
    ]
    for number in range(1_000):
        text = texts[number % 2]
        ids = transform.fragment(encoding.encode(text), np.random.default_rng(number))
        suffix_at, middle_at = (ids.index(special[name]) for name in (FIM_SUFFIX, FIM_MIDDLE))
        suffix, end = encoding.decode(ids[suffix_at + 1 : middle_at]), encoding.decode(ids[middle_at + 1 :])
        assert (end if suffix_at == 1 else encoding.decode(ids[1:suffix_at]) + end) + suffix == text


def test_tokens_of_other_formats_are_single_characters_to_fim() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=1.0))
    start, comment = (ENCODING.special_ids[name] for name in ("<issue_start>", "<issue_comment>"))
    ids = [start, *ENCODING.encode("né: <issue_comment>"), comment, *ENCODING.encode("b: ✓")]
    places = set()
    for number in range(400):
        changed = transform.fragment(list(ids), np.random.default_rng(number))
        suffix_at, middle_at = changed.index(SUFFIX), changed.index(MIDDLE)
        suffix, end = changed[suffix_at + 1 : middle_at], changed[middle_at + 1 :]
        back = end + suffix if suffix_at == 1 else changed[1:suffix_at] + end + suffix
        assert back == ids
        places.add(changed.index(comment) > middle_at)
    assert places == {True, False}


def test_boundaries_are_uniform_characters_and_parts_may_be_empty() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=1.0, spm_rate=0.0))
    empty, starts = 0, []
    for number in range(3_000):
        ids = transform.fragment(ENCODING.encode("é" * 9), np.random.default_rng(number))
        prefix = ENCODING.decode(ids[1 : ids.index(SUFFIX)])
        assert "\N{REPLACEMENT CHARACTER}" not in prefix  # never inside a character
        starts.append(len(prefix))
        empty += ids[-1] == MIDDLE
    # The lower of two draws from 0 to 9 has mean 2.85; both are equal once in ten.
    assert np.mean(starts) == pytest.approx(2.85, abs=0.15)
    assert empty / 3_000 == pytest.approx(0.1, abs=0.02)


def test_samples_of_a_corpus_cross_no_document(tmp_path: Path) -> None:
    records = [document(i, LANGUAGES[i % 3]) for i in range(60)]
    corpus = packed(tmp_path, records, tag_rate=0.0)
    options = DataOptions(seq_len=2_000, fim=FimOptions(rate=0.7))
    samples = TrainingSamples(corpus, ENCODING, FIM, options)
    texts = [record["text"] for record in records]
    whole = 0
    for number in range(40):
        inputs, targets = samples[number]
        assert len(inputs) == len(targets) == 2_000
        ids = inputs.tolist()
        bounds = [i for i, token in enumerate(ids) if token == END]
        for a, b in pairwise(bounds):
            _, text = restored(ids[a + 1 : b])
            assert text in texts
            whole += 1
    assert whole > 20


def test_a_tokenizer_without_padding_is_refused() -> None:
    with pytest.raises(RecipeError, match="no token that fills up a sample"):
        FimTransform(ENCODING, replace(FIM, pad_id=None), FimOptions())


def test_a_shorter_sample_is_padded_and_a_longer_one_cut() -> None:
    class Merging(ByteEncoding):
        """A tokenizer for which a text takes fewer ids than its packed fragment had."""

        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace("aa", "a"))

    fragment = np.array(ENCODING.encode("aaaa" * 5))
    rng = np.random.default_rng(0)
    shorter = FimTransform(Merging(), FIM, FimOptions(rate=1.0)).sample(fragment, rng)
    assert len(shorter) == 20
    assert shorter[-1] == PAD
    longer = FimTransform(ENCODING, FIM, FimOptions(rate=1.0)).sample(fragment, rng)
    assert len(longer) == 20
    assert PAD not in longer


def test_padding_is_not_learned(tmp_path: Path) -> None:
    corpus = packed(tmp_path, [document(i) for i in range(9)])
    samples = TrainingSamples(corpus, ENCODING, FIM, DataOptions(seq_len=32))
    samples._fim.sample = lambda ids, rng: np.array([*ids[:20], *[PAD] * (len(ids) - 20)])  # type: ignore[method-assign]
    _, targets = samples[0]
    assert (targets[19:] == IGNORED_TARGET).all()
    assert (targets[:19] != IGNORED_TARGET).all()


def test_tags_stay_in_front_of_the_prefix() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=1.0, spm_rate=0.0))
    header = [ENCODING.special_ids[FILENAME], *ENCODING.encode("a.py\n")]
    for number in range(50):
        ids = transform.fragment([*header, *ENCODING.encode("x = 1\n")], np.random.default_rng(number))
        assert ids[: 1 + len(header)] == [PREFIX, *header]


def test_a_fragment_cut_inside_a_character_stays_as_it_is() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=1.0))
    ids = ENCODING.encode("日本")[1:]
    assert transform.fragment(ids, np.random.default_rng(0)) == ids


def test_special_tokens_spelt_in_the_text_stay_text() -> None:
    transform = FimTransform(ENCODING, FIM, FimOptions(rate=1.0))
    for number in range(30):
        text = "a <fim_middle> b <|endoftext|> c"
        ids = transform.fragment(ENCODING.encode(text), np.random.default_rng(number))
        assert sum(i in (PREFIX, MIDDLE, SUFFIX) for i in ids) == 3
        assert END not in ids


def test_a_rate_beyond_one_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"1\.5"):
        FimOptions(rate=1.5)
