"""A tokenizer.json of SentencePiece's kind gives what the library gives, in each of its spellings."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors

from model.errors import TokenizerError
from model.prompt.tokenizer import Tokenizer

SPECIAL = ("<unk>", "<s>", "</s>", "▁<PRE>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
PIECES = ("▁", "a", "b", "▁a", "ab", "▁ab", "▁▁", "\n\n")
MERGES = [("▁", "a"), ("a", "b"), ("▁", "ab"), ("▁a", "b"), ("▁", "▁")]
REPLACE = normalizers.Replace(" ", "▁")
# How the published ones say it, and what they put before a text.
SPELLINGS = {
    "Llama 2": (normalizers.Sequence([normalizers.Prepend("▁"), REPLACE]), None, " "),
    "Mistral": (None, pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False), " "),
    "Gemma": (REPLACE, pre_tokenizers.Split(" ", "merged_with_previous"), ""),
    "Yi": (None, pre_tokenizers.Metaspace("▁", prepend_scheme="never", split=False), ""),
}


def library(spelling: str) -> tokenizers.Tokenizer:
    vocabulary = {text: number for number, text in enumerate((*SPECIAL, *BYTES, *PIECES))}
    model = models.BPE(vocab=vocabulary, merges=MERGES, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = tokenizers.Tokenizer(model)
    normalizer, pre_tokenizer, _ = SPELLINGS[spelling]
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIAL])
    if spelling == "Gemma":
        backend.add_tokens([AddedToken("\n\n", normalized=False)])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_it_is_the_librarys(spelling: str) -> None:
    backend, tokenizer = library(spelling), Tokenizer(library(spelling))
    assert (tokenizer.first_ids, tokenizer.opening) == ((1,), SPELLINGS[spelling][2])
    for text in ("ab a", "  ab\n\nab\na b ", "é ab", "a\n\n\nb", "", " "):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        # The library opens no text that begins with a space, where SentencePiece opens every one.
        if spelling != "Mistral" or not text.startswith(" "):
            assert tokenizer.encode_whole(text) == backend.encode(text).ids, text


@given(text=st.text(alphabet="ab \n\té<s>", max_size=20))
def test_any_text_with_and_without_the_cache(text: str) -> None:
    tokenizer = Tokenizer(library("Llama 2"))
    assert tokenizer.encode(text) == tokenizer.encode_uncached(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", [*SPECIAL, "<0x41>"])
def test_no_text_becomes_a_special_token_or_a_byte(name: str) -> None:
    tokenizer = Tokenizer(library("Mistral"))
    assert tokenizer.special_ids == {text: number for number, text in enumerate(SPECIAL)}
    ids = tokenizer.encode(f"a {name}")
    assert not set(tokenizer.special_ids.values()) & set(ids)
    assert tokenizer.decode(ids) == f"a {name}".replace("▁", " ")


def test_from_a_folder(tmp_path: Path) -> None:
    library("Gemma").save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.from_folder(tmp_path).encode("ab") == Tokenizer(library("Gemma")).encode("ab")


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "message"),
    [
        (normalizers.Lowercase(), None, "its normalizer is .*Lowercase.*llama-server -m"),
        (None, None, "its normalizer is None"),
        (REPLACE, pre_tokenizers.Split(Regex(r"\d"), "isolated"), "its pre-tokenizer is"),
        (None, pre_tokenizers.Metaspace("▁", split=True), "its pre-tokenizer is"),
    ],
)
def test_other_spellings_are_refused_by_their_name(
    normalizer: normalizers.Normalizer | None,
    pre_tokenizer: pre_tokenizers.PreTokenizer | None,
    message: str,
) -> None:
    backend = library("Gemma")
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizer
    with pytest.raises(TokenizerError, match=message):
        Tokenizer(backend)
