import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attribution.tokens import lexer
from attribution.tokens.lexer import lex, lex_batch, split_batch

TOKEN = re.compile(rb"[\w\x80-\xff]+|[^\w\s]")
TEXTS = st.one_of(
    st.binary(max_size=300), st.text(alphabet="aZ_9 \n\r\t\f().é漢\x00\x1c", max_size=300).map(str.encode)
)


@given(TEXTS)
def test_tokens_are_those_of_the_regular_expression(text: bytes) -> None:
    tokens = lex(text)
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)) == [
        match.span() for match in TOKEN.finditer(text)
    ]
    assert tokens.first_bytes.tolist() == [text[start] for start in tokens.starts]


@given(st.lists(TEXTS, max_size=6))
def test_a_batch_has_the_tokens_of_each_text(texts: list[bytes]) -> None:
    for text, tokens in zip(texts, split_batch(lex_batch(texts), texts), strict=True):
        alone = lex(text)
        assert tokens.starts.tolist() == alone.starts.tolist()
        assert tokens.ends.tolist() == alone.ends.tolist()
        assert tokens.hashes.tolist() == alone.hashes.tolist()


def test_equal_tokens_have_equal_hashes_wherever_they_stand_and_others_do_not() -> None:
    words = [f"w{number}" for number in range(30_000)]
    text = " ".join([*words, *words]).encode()
    hashes = lex(text).hashes
    assert hashes[:30_000].tolist() == hashes[30_000:].tolist()
    assert len(set(hashes.tolist())) == 30_000


def test_a_token_longer_than_a_piece_counts_with_its_first_piece() -> None:
    long = b"x" * (lexer._PIECE_BYTES + 5)
    tokens = lex(b"a " + long + b" b")
    assert (tokens.ends - tokens.starts).tolist() == [1, len(long), 1]
    assert tokens.hashes[1] == lex(long).hashes[0]
    assert tokens.hashes[2] == lex(b"b").hashes[0]


def test_the_hash_is_the_documented_one() -> None:
    """Written out with Python's integers; a change of the stored hash must change FORMAT_VERSION."""

    def hash_of(token: bytes) -> int:
        total: int = (
            sum(lexer.splitmix64(0x53544152 + byte) * lexer._BASE**i for i, byte in enumerate(token)) % 2**64
        )
        total ^= total >> 32
        total = total * 0xBF58476D1CE4E5B9 % 2**64
        return total ^ (total >> 29)

    tokens = [b"return", b"x", b"+", "größe".encode()]
    assert lex(b" ".join(tokens)).hashes.tolist() == [hash_of(token) for token in tokens]
    assert lex(b"return").hashes.tolist() == [GOLDEN_RETURN]
    assert lex(b"x").hashes.dtype == np.uint64


GOLDEN_RETURN = 15170107876841326926
