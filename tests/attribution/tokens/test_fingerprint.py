import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.tokens.fingerprint import (
    WINNOWING,
    Channel,
    all_fingerprints,
    fingerprint_texts,
    gram_hashes,
    positions_of,
    sliding_minimum,
    winnow,
)
from attribution.tokens.lexer import lex
from attribution.tokens.shape import KEYWORDS, shape_hashes

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "(", ")", ".", "1", "if", "def", "="]), max_size=150)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.integers(1, 40))
def test_sliding_minimum(values: list[int], window: int) -> None:
    found = sliding_minimum(np.array(values, dtype=np.uint64), window).tolist()
    assert found == [min(values[i : i + window]) for i in range(len(values) - window + 1)]


@given(st.lists(st.integers(0, 3), max_size=60), st.sampled_from([1, 2, 3, 7, 12, 32]))
def test_grams_are_equal_where_their_tokens_are(values: list[int], k: int) -> None:
    grams = gram_hashes(np.array(values, dtype=np.uint64), k).tolist()
    assert len(grams) == max(len(values) - k + 1, 0)
    seen = {tuple(values[i : i + k]): gram for i, gram in enumerate(grams)}
    assert [seen[tuple(values[i : i + k])] for i in range(len(grams))] == grams
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("channel", list(Channel))
@given(before=WORDS, shared=WORDS, after=WORDS, other=WORDS)
def test_a_shared_run_of_the_guaranteed_length_shares_a_fingerprint(
    channel: Channel, before: list[str], shared: list[str], after: list[str], other: list[str]
) -> None:
    shared = (shared + ["x"] * 64)[: WINNOWING[channel].guaranteed_tokens]
    indexed = winnow(lex(" ".join(before + shared + after).encode()), channel)
    query = lex("\n".join(other + shared).encode())
    assert np.isin(all_fingerprints(query, channel), indexed).any()
    assert np.isin(winnow(query, channel), indexed).any()


@given(st.lists(WORDS, max_size=5))
def test_a_batch_has_the_fingerprints_of_each_text(texts: list[list[str]]) -> None:
    contents = [" ".join(words).encode() for words in texts]
    for channel, postings in zip(Channel, fingerprint_texts(contents, list(Channel)), strict=True):
        assert postings.tolist() == sorted(set(postings.tolist()))
        for number, content in enumerate(contents):
            own = postings[(postings & np.uint64(0xFFFF)) == number] >> np.uint64(16)
            assert own.tolist() == winnow(lex(content), channel).tolist()


def test_winnowing_keeps_about_two_of_a_window_and_one() -> None:
    words = " ".join(f"w{number}" for number in range(50_000)).encode()
    assert len(winnow(lex(words), Channel.TEXT)) == pytest.approx(50_000 * 2 / 22, rel=0.03)
    assert len(winnow(lex(words), Channel.SHAPE)) < 5  # all the same shape


def test_a_text_shorter_than_a_window_has_one_fingerprint_and_a_shorter_than_a_gram_none() -> None:
    assert len(winnow(lex(b"a " * 12), Channel.TEXT)) == 1
    assert len(winnow(lex(b"a " * 11), Channel.TEXT)) == 0
    assert len(winnow(lex(b""), Channel.TEXT)) == 0


def test_the_fingerprints_of_this_format_version() -> None:
    text = "\n".join(f"value_{i} = compute({i}, 'é')" for i in range(8)).encode()
    assert [winnow(lex(text), channel).tolist() for channel in Channel] == GOLDEN


def test_the_keywords_of_this_format_version() -> None:
    """With another list, the stored fingerprints of shapes would not be found."""
    words = sorted(KEYWORDS.split())
    assert len(words) == 138
    assert hashlib.sha256(b" ".join(words)).hexdigest().startswith("2d5b5d4f96971c3b")


def test_shape_forgets_names_and_numbers_but_not_keywords() -> None:
    def shape(text: str) -> list[int]:
        hashes: list[int] = shape_hashes(lex(text.encode())).tolist()
        return hashes

    assert shape("for item in rows[3:]: total += item") == shape("for x in y[1:]: z += x")
    assert shape("if a: return 1") != shape("while a: return 1")
    assert shape("a b") != shape("a 1")


def test_a_batch_of_too_many_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="65537"):
        fingerprint_texts([b""] * 65_537, [Channel.TEXT])


def test_positions_of() -> None:
    values = np.array([5, 1, 9, 5], dtype=np.uint64)
    assert positions_of(values, np.array([5, 9], dtype=np.uint64)).tolist() == [0, 2, 3]
    assert positions_of(values, np.array([], dtype=np.uint64)).tolist() == []


GOLDEN = [[6332296400544, 8604629640991, 17420476781668, 51488211760261], [50237366400496]]
