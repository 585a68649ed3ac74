"""The tokenizer against its published vectors, its cache against the plain encoding."""

from __future__ import annotations

import json
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers, pre_tokenizers

from model.errors import TokenizerError
from model.families.gpt_bigcode import SPECIAL_TOKENS
from model.prompt.healing import Healer
from model.prompt.spellings import spelled_by_alphabet
from model.prompt.tokenizer import Tokenizer
from tests.model.tiny import write_byte_tokenizer

STARCODER = Path(__file__).parents[4] / "shared" / "data" / "starcoder-tokenizer"
needs_starcoder = pytest.mark.skipif(
    not STARCODER.is_dir(), reason="StarCoder's tokenizer is not among the shared data of this machine"
)

# Code-like text in which chunk boundaries, digits, indentation and unusual characters meet.
FRAGMENTS = st.sampled_from(
    [
        *("def f(x):", "return", "foo_bar", "x", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "'s"),
        *("'", "12", "3.5", "(", ")", "_", "__", ".", "<fim_middle>", "<|endoftext|>", "é", "日本", "🦙"),
        *("\ud800", "\udc00", "\x85", "\u2028", "\u3000", "\x1c", "\x00", "\xa0", "ﬁ", "e\u0301", "// ", "#"),
    ]
)
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=40).map("".join), st.text(max_size=60))


@pytest.fixture(scope="session")
def starcoder() -> Tokenizer:
    return Tokenizer.from_folder(STARCODER)


@needs_starcoder
class TestStarCoder:
    def test_all_published_vectors(self, starcoder: Tokenizer) -> None:
        texts = (STARCODER / "vectors.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
        lines = (STARCODER / "vectors.out").read_text().split("\n")
        assert len(texts) == len(lines) == 47
        for text, line in zip(texts, lines, strict=True):
            assert starcoder.encode(text) == [int(one) for one in line.split()], text

    def test_the_papers_example(self, starcoder: Tokenizer) -> None:
        ids = [589, 1459, 81, 7656, 81, 5860, 2262]
        assert starcoder.encode("def print_hello_world():") == ids
        assert starcoder.decode(ids) == "def print_hello_world():"

    def test_special_ids(self, starcoder: Tokenizer) -> None:
        assert [starcoder.special_ids[name] for name in SPECIAL_TOKENS] == list(range(19))
        assert starcoder.vocab_size == 49_152

    @pytest.mark.parametrize("name", SPECIAL_TOKENS)
    def test_special_names_in_user_text_are_ordinary(self, starcoder: Tokenizer, name: str) -> None:
        for text in (name, f"x = '{name}'", f"a {name}", f"a{name}{name}b\n{name}", f"\n{name}\n"):
            ids = starcoder.encode(text)
            assert not set(range(19)) & set(ids)
            assert starcoder.decode(ids) == text

    @settings(max_examples=300)
    @given(text=TEXTS)
    def test_the_cache_changes_nothing(self, starcoder: Tokenizer, text: str) -> None:
        assert starcoder.encode(text) == starcoder.encode_uncached(text)
        assert starcoder.encode(text) == starcoder.encode_uncached(text)

    @given(token_ids=st.lists(st.integers(0, 49_151), max_size=30))
    def test_streaming_any_tokens_gives_what_decoding_gives(
        self, starcoder: Tokenizer, token_ids: list[int]
    ) -> None:
        stream = starcoder.stream()
        text = "".join(stream.push(token_id) for token_id in token_ids) + stream.flush()
        assert text == starcoder.decode(token_ids)


class TestEncoding:
    @settings(max_examples=300)
    @given(text=TEXTS)
    def test_the_cache_changes_nothing(self, merging_tokenizer: Tokenizer, text: str) -> None:
        assert merging_tokenizer.encode(text) == merging_tokenizer.encode_uncached(text)

    @settings(max_examples=60)
    @given(texts=st.lists(TEXTS, min_size=3, max_size=6), data=st.data())
    def test_editing_a_long_text_anywhere(
        self, merging_tokenizer: Tokenizer, texts: list[str], data: st.DataObject
    ) -> None:
        text = "line of code\n" * 40 + "".join(texts)  # long enough for whole heads to be remembered
        for piece in texts:
            at = data.draw(st.integers(0, len(text)))
            text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
            assert merging_tokenizer.encode(text) == merging_tokenizer.encode_uncached(text)

    def test_going_on_where_a_remembered_text_had_a_line_end(self, merging_tokenizer: Tokenizer) -> None:
        start, end = next(  # a word that is not the tokens of its halves
            ("retur"[:n], "return"[n:])
            for n in range(1, 6)
            if merging_tokenizer.encode_uncached("return")
            != merging_tokenizer.encode_uncached("return"[:n])
            + merging_tokenizer.encode_uncached("return"[n:])
        )
        text = "line of code\n" * 40 + start
        merging_tokenizer.encode(f"{text}\n{end}")
        assert merging_tokenizer.encode(text + end) == merging_tokenizer.encode_uncached(text + end)

    @given(text=TEXTS)
    def test_decoding_gives_the_text_back(self, merging_tokenizer: Tokenizer, text: str) -> None:
        well_formed = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert merging_tokenizer.decode(merging_tokenizer.encode(text)) == well_formed

    def test_lone_surrogates_become_the_replacement_character(self, merging_tokenizer: Tokenizer) -> None:
        assert merging_tokenizer.encode("a\ud800b") == merging_tokenizer.encode("a\ufffdb")
        assert merging_tokenizer.encode("\ud83e\udd99") == merging_tokenizer.encode("🦙")

    def test_chunks_begin_at_line_ends_and_only_the_last_one_grows(
        self, merging_tokenizer: Tokenizer
    ) -> None:
        text = "def f(x):\n    return 1  \n\n\nprint(1)\r\nx"
        chunks = merging_tokenizer.encode_chunks(text)
        parts = [merging_tokenizer.decode(chunk) for chunk in chunks]
        assert parts == ["def f(x):", "\n    return 1  \n\n\nprint(1)", "\r\nx"]
        assert merging_tokenizer.encode_chunks(text + "yz")[:-1] == chunks[:-1]

    def test_the_empty_text(self, merging_tokenizer: Tokenizer) -> None:
        assert merging_tokenizer.encode("") == []
        assert merging_tokenizer.encode_chunks("") == [()]

    def test_a_file_with_more_lines_than_the_cache_holds(
        self, byte_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("model.prompt.tokenizer._CACHED_BYTES", 20_000)
        text = "".join(f"line {n}\n" for n in range(1_000))
        assert byte_tokenizer.encode(text) == byte_tokenizer.encode_uncached(text)
        assert byte_tokenizer.encode("x" + text) == byte_tokenizer.encode_uncached("x" + text)

    @pytest.mark.parametrize("alphabet", ["ab c.", "\u4e00\u4e8c\u4e09 ", "\U0001f300\U0001f301 "])
    def test_what_is_remembered_is_bounded_by_bytes(
        self, byte_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, alphabet: str
    ) -> None:
        monkeypatch.setattr("model.prompt.tokenizer._CACHED_BYTES", 400_000)
        monkeypatch.setattr("model.prompt.tokenizer._KNOWN_HEADS_BYTES", 1_000_000)
        draw = random.Random(3).choice
        tracemalloc.start()
        for _ in range(8):
            byte_tokenizer.encode("\n".join("".join(draw(alphabet) for _ in range(40)) for _ in range(400)))
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert kept < 2 * 400_000 + 1_000_000 + 200_000

    def test_several_threads_at_once(self, merging_tokenizer: Tokenizer) -> None:
        source = Path(__file__).read_text(encoding="utf-8")
        texts = [source[: 200 * n] for n in range(1, 25)]
        expected = [merging_tokenizer.encode_uncached(text) for text in texts]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                assert list(pool.map(merging_tokenizer.encode, texts)) == expected


class TestDecoding:
    def test_special_tokens_are_dropped_or_named(self, byte_tokenizer: Tokenizer) -> None:
        special = byte_tokenizer.special_ids
        ids = [special["<fim_prefix>"], *byte_tokenizer.encode("é"), special["<|endoftext|>"]]
        assert byte_tokenizer.decode(ids) == "é"
        assert byte_tokenizer.decode(ids, keep_special=True) == "<fim_prefix>é<|endoftext|>"

    def test_bytes_that_are_no_text(self, byte_tokenizer: Tokenizer) -> None:
        broken = byte_tokenizer.encode("é")[:1]
        assert byte_tokenizer.decode(broken) == "\ufffd"

    def test_an_unfinished_character_is_held_back(self, byte_tokenizer: Tokenizer) -> None:
        stream = byte_tokenizer.stream()
        pieces = [stream.push(token_id) for token_id in byte_tokenizer.encode("a🦙b")]
        assert pieces == ["a", "", "", "", "🦙", "b"]
        assert stream.flush() == ""

    def test_a_character_that_stays_unfinished(self, byte_tokenizer: Tokenizer) -> None:
        stream = byte_tokenizer.stream()
        stream.push(byte_tokenizer.encode("é")[0])
        assert stream.flush() == "\ufffd"

    def test_the_first_bytes_can_be_skipped(self, byte_tokenizer: Tokenizer) -> None:
        stream = byte_tokenizer.stream(strip=Healer(byte_tokenizer, "éa".encode()).strip)
        text = "".join(stream.push(token_id) for token_id in byte_tokenizer.encode("éab"))
        assert text == "b"

    @pytest.mark.parametrize("token_id", [-1, 10**6])
    def test_ids_beyond_the_vocabulary_are_nothing(self, byte_tokenizer: Tokenizer, token_id: int) -> None:
        assert byte_tokenizer.token_bytes(token_id) == b""


class TestSpellings:
    def test_every_token_spells_what_it_decodes_to(self, merging_tokenizer: Tokenizer) -> None:
        for token_id in range(merging_tokenizer.vocab_size):
            expected = merging_tokenizer.token_bytes(token_id).decode("utf-8", "replace")
            assert merging_tokenizer.decode([token_id]) == expected
            is_special = token_id in merging_tokenizer.special_ids.values()
            assert is_special == (not merging_tokenizer.token_bytes(token_id))

    @given(
        wanted=st.one_of(
            st.binary(min_size=1, max_size=3), st.sampled_from([b" return", b"tokenizer", b"\xff\xff", b"_"])
        )
    )
    def test_tokens_spelling(self, merging_tokenizer: Tokenizer, wanted: bytes) -> None:
        naive = set()
        for i in range(merging_tokenizer.vocab_size):
            data = merging_tokenizer.token_bytes(i)
            if data and (data.startswith(wanted) or wanted.startswith(data)):
                naive.add(i)
        found = merging_tokenizer.tokens_spelling(wanted).tolist()
        assert len(found) == len(set(found))
        assert set(found) == naive


class TestBadTokenizers:
    def written(self, folder: Path, **changes: object) -> Path:
        write_byte_tokenizer(folder)
        path = folder / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return folder

    def test_a_folder_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(TokenizerError, match=r"tokenizer\.json does not exist"):
            Tokenizer.from_folder(tmp_path)

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        path = tmp_path / "tokenizer.json"
        path.write_text(path.read_text()[:500])
        with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
            Tokenizer.from_folder(tmp_path)

    def test_another_kind_of_splitting(self, tmp_path: Path) -> None:
        with pytest.raises(TokenizerError, match="Whitespace"):
            Tokenizer.from_folder(self.written(tmp_path, pre_tokenizer={"type": "Whitespace"}))

    def test_a_normalizer(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        backend.normalizer = normalizers.Lowercase()
        with pytest.raises(TokenizerError, match="normalizer"):
            Tokenizer(backend)


class TestOtherTokenizers:
    def test_special_tokens_of_other_spellings(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        path = tmp_path / "tokenizer.json"
        text = path.read_text()
        for part in ("prefix", "middle", "suffix", "pad"):
            text = text.replace(f"<fim_{part}>", f"<fim-{part}>")
        path.write_text(text)
        tokenizer = Tokenizer.from_folder(tmp_path)
        assert tokenizer.special_ids["<fim-prefix>"] == 1
        assert not set(range(19)) & set(tokenizer.encode("<fim-middle>"))

    def test_added_tokens_that_are_not_special_are_ordinary_text_too(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        backend.add_tokens([AddedToken("<|user|>", special=False, normalized=False)])
        tokenizer = Tokenizer(backend)
        assert tokenizer.special_ids["<|user|>"] not in tokenizer.encode("a <|user|> b")

    @pytest.mark.parametrize(
        ("config", "first_ids"),
        [
            ({"add_bos_token": True, "bos_token": {"content": "<reponame>"}}, (18,)),
            ({"add_bos_token": True, "bos_token": "<reponame>"}, (18,)),
            ({"add_bos_token": False, "bos_token": "<reponame>"}, ()),
            ({"add_bos_token": True, "bos_token": None}, ()),
            ({}, ()),
        ],
    )
    def test_what_begins_a_text_may_stand_beside(
        self, tmp_path: Path, config: object, first_ids: tuple[int, ...]
    ) -> None:
        write_byte_tokenizer(tmp_path)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert Tokenizer.from_folder(tmp_path).first_ids == first_ids

    def test_truncation_and_padding_are_switched_off(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        backend.enable_truncation(4)
        backend.enable_padding(length=10)
        assert len(Tokenizer(backend).encode("abcdefg")) == 7
        assert len(Tokenizer(backend).encode("a")) == 1

    def test_a_tokenizer_json_with_qwens_words(self, tmp_path: Path) -> None:
        write_byte_tokenizer(tmp_path)
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        published = (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
        words = pre_tokenizers.Split(tokenizers.Regex(published), "isolated")
        spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([words, spelled])
        backend.normalizer = normalizers.NFC()
        tokenizer = Tokenizer(backend)
        parts = [tokenizer.decode(chunk) for chunk in tokenizer.encode_chunks("e\u0301(\n\n  b\nc\n")]
        assert parts == ["e\u0301(\n\n", "  b\n", "c\n"]  # and the letter is as it was


class TestByteAlphabet:
    def test_it_is_the_librarys(self) -> None:
        # A text of each byte, spelled by the library: what is no UTF-8 cannot be asked of it.
        spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        texts = ["".join(map(chr, range(0x80))), "".join(map(chr, range(0x80, 0x800))), "日本", "🦙", ""]
        tokens = ["".join(word for word, _ in spell.pre_tokenize_str(text)) for text in texts]
        assert spelled_by_alphabet(tokens) == [text.encode() for text in texts]

    def test_tokens_of_other_characters_are_themselves(self) -> None:
        assert spelled_by_alphabet(["a", "▁é", "", "日", "Ġ"]) == [
            b"a",
            "▁é".encode(),
            b"",
            "日".encode(),
            b" ",
        ]
