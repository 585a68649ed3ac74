"""Token healing: whatever tokens are chosen among those allowed, they spell what is required."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.prompt.healing import Healer
from model.prompt.spellings import Ids
from model.prompt.tokenizer import Tokenizer


def healed_text(tokenizer: Tokenizer, healer: Healer, token_ids: list[int]) -> bytes:
    """What is emitted when these tokens are chosen."""
    emitted = b""
    for token_id in token_ids:
        healer.advance(token_id)
        emitted += healer.strip(tokenizer.token_bytes(token_id))
    return emitted


@settings(max_examples=200)
@given(
    required=st.sampled_from([" re", " ", "_", "foo_ba", "\n", "é", "日本", "🦙", " tokenizer_"]),
    data=st.data(),
)
def test_any_choice_among_the_allowed_spells_what_is_required(
    merging_tokenizer: Tokenizer, required: str, data: st.DataObject
) -> None:
    wanted = required.encode()
    healer = Healer(merging_tokenizer, wanted)
    spelled = emitted = b""
    while not healer.done:
        allowed = healer.allowed()
        assert allowed is not None
        token_id = data.draw(st.sampled_from(allowed.tolist()))
        assert token_id not in merging_tokenizer.special_ids.values()
        healer.advance(token_id)
        spelled += merging_tokenizer.token_bytes(token_id)
        emitted += healer.strip(merging_tokenizer.token_bytes(token_id))
    assert healer.allowed() is None
    assert spelled == wanted + emitted


def test_every_token_that_fits_is_allowed_and_no_other(merging_tokenizer: Tokenizer) -> None:
    allowed = Healer(merging_tokenizer, b" ret").allowed()
    assert allowed is not None
    spellings = {merging_tokenizer.token_bytes(token_id) for token_id in allowed.tolist()}
    assert {b" ", b" return"} <= spellings
    assert all(one.startswith(b" ret") or b" ret".startswith(one) for one in spellings)


def test_the_ordinary_encoding_is_always_allowed(merging_tokenizer: Tokenizer) -> None:
    for text in (" return", "_tokenizer", "    ", "日本"):
        healer = Healer(merging_tokenizer, text.encode())
        for token_id in merging_tokenizer.encode(text):
            allowed = healer.allowed()
            assert allowed is not None
            assert token_id in allowed.tolist()
            healer.advance(token_id)
        assert healer.done


def test_only_what_is_new_is_emitted(merging_tokenizer: Tokenizer) -> None:
    ids = merging_tokenizer.encode(" return x")
    assert healed_text(merging_tokenizer, Healer(merging_tokenizer, b" ret"), ids) == b"urn x"


def test_nothing_required(merging_tokenizer: Tokenizer) -> None:
    healer = Healer(merging_tokenizer, b"")
    assert healer.done
    assert healer.allowed() is None
    assert healer.draft() == []
    assert healed_text(merging_tokenizer, healer, merging_tokenizer.encode("abc")) == b"abc"


def test_a_token_that_was_not_allowed(merging_tokenizer: Tokenizer) -> None:
    healer = Healer(merging_tokenizer, b" ret")
    with pytest.raises(ValueError, match="does not begin"):
        healer.advance(merging_tokenizer.encode("x")[0])
    with pytest.raises(ValueError, match="does not begin"):
        healer.advance(merging_tokenizer.special_ids["<|endoftext|>"])


def test_special_tokens_are_never_allowed(merging_tokenizer: Tokenizer) -> None:
    for required in (b"<", b"<|endoftext|>", b"<fim_middle>"):
        allowed = Healer(merging_tokenizer, required).allowed()
        assert allowed is not None
        assert set(merging_tokenizer.special_ids.values()).isdisjoint(allowed.tolist())


def test_the_draft_is_the_ordinary_encoding_without_its_last_token(byte_tokenizer: Tokenizer) -> None:
    healer = Healer(byte_tokenizer, b"abc")
    assert healer.draft() == byte_tokenizer.encode("ab")
    healer.advance(byte_tokenizer.encode("a")[0])
    assert healer.draft() == byte_tokenizer.encode("b")


@pytest.mark.parametrize(
    ("required", "draft"), [("    ", "   "), ("\t", ""), ("(", "("), (' ("', ' ("'), ("_", ""), ("12", "12")]
)
def test_the_draft_leaves_out_what_usually_grows(
    byte_tokenizer: Tokenizer, required: str, draft: str
) -> None:
    assert Healer(byte_tokenizer, required.encode()).draft() == byte_tokenizer.encode(draft)


def test_the_draft_within_a_character(byte_tokenizer: Tokenizer) -> None:
    healer = Healer(byte_tokenizer, "é".encode())
    healer.advance(byte_tokenizer.encode("é")[0])
    assert healer.draft() == []


def test_a_byte_that_no_token_spells_is_not_insisted_on(merging_tokenizer: Tokenizer) -> None:
    # StarCoder's vocabulary lacks fourteen single bytes; here none lacks, so an impossible id is used.
    class Lacking(Tokenizer):
        def tokens_spelling(self, wanted: bytes) -> Ids:
            return super().tokens_spelling(wanted)[:0]

    merging_tokenizer = Lacking(merging_tokenizer._backend)
    healer = Healer(merging_tokenizer, b"ab")
    assert healer.allowed() is None
    assert healer.done
    assert healed_text(merging_tokenizer, healer, merging_tokenizer.encode("xyz")) == b"xyz"
