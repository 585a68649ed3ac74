"""Tokenizers from GGUF files: against llama.cpp's vectors, SentencePiece's rule, and themselves uncached."""

from __future__ import annotations

import json
import os
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import TokenizerError
from model.families import sentinels
from model.gguf.files import Gguf
from model.prompt.chat_template import ChatTemplate
from model.prompt.conversation import Message
from model.prompt.fim import build_prompt, split_healed
from model.prompt.fim_format import FimOrder
from model.prompt.gguf_tokenizer import TokenType, gguf_tokenizer
from model.prompt.healing import Healer
from model.prompt.pre_tokenizers import PRE_TOKENIZERS
from model.prompt.tokenizer import Tokenizer
from model.serve.chat_prompting import ChatPrompter
from tests.model.gguf.writing import write_gguf
from tests.model.prompt.test_tokenizer import STARCODER, TEXTS, needs_starcoder

ROOT = Path(__file__).parents[3]
# llama.cpp's `models/ggml-vocab-*.gguf` with their `.inp` and `.out` (MIT): a folder of them.
VOCABULARIES = Path(
    os.environ.get("GGUF_VOCABULARIES") or ROOT.parent / "shared" / "data" / "gguf-vocabularies"
)
# Real models (qwen2.5-coder-0.5b.gguf, smollm2-135m.gguf).
MODELS = Path(os.environ.get("GGUF_MODELS") or Path.home() / ".cache" / "starcoder-lsp" / "models")
BETWEEN = "\n__ggml_vocab_test__\n"
NAMES = (
    *("command-r", "deepseek-coder", "deepseek-llm", "gpt-2", "llama-bpe", "llama-spm", "mpt"),
    *("phi-3", "qwen2", "qwen35", "refact", "starcoder"),
)


@cache
def opened(path: Path) -> Tokenizer:
    if not path.is_file():
        pytest.skip(f"{path.name} is not on this machine ({path.parent})")
    metadata = Gguf(path).metadata
    return gguf_tokenizer(metadata)


def sources(pattern: str) -> list[str]:
    """Files of this repository, as they are and with other line ends."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))]
    return [*texts, *(text.replace("\n", "\r\n") for text in texts[:5])]


def assert_healed(tokenizer: Tokenizer, text: str) -> None:
    """A prompt that is healed begins as the text that it is the beginning of does."""
    for place in range(50, len(text) - 100, max(1, len(text) // 100)):
        kept, word = split_healed(tokenizer, text[place - 50 : place])
        ids = tokenizer.encode_uncached(kept)
        whole = tokenizer.encode_uncached(text[place - 50 : place + 50])
        assert whole[: len(ids)] == ids, (kept, word, text[place : place + 20])


class TestVectorsOfLlamaCpp:
    @pytest.mark.parametrize("name", NAMES)
    def test_healing(self, name: str) -> None:
        tokenizer = opened(VOCABULARIES / f"ggml-vocab-{name}.gguf")
        assert_healed(tokenizer, sources("model/prompt/*.py")[1])

    @pytest.mark.parametrize("name", NAMES)
    def test_ids(self, name: str) -> None:
        path = VOCABULARIES / f"ggml-vocab-{name}.gguf"
        tokenizer = opened(path)
        texts = path.with_name(f"{path.name}.inp").read_bytes().decode().split(BETWEEN)
        lines = path.with_name(f"{path.name}.out").read_text().split("\n")
        assert len(texts) == len(lines) >= 47
        for text, line in zip(texts, lines, strict=True):
            given = tokenizer.opened(text)
            assert tokenizer.encode(given) == [int(one) for one in line.split()], text
            assert tokenizer.decode(tokenizer.encode(given)) == given

    @pytest.mark.parametrize("name", NAMES)
    def test_real_files_with_and_without_the_cache(self, name: str) -> None:
        tokenizer = opened(VOCABULARIES / f"ggml-vocab-{name}.gguf")
        for text in sources("model/prompt/*.py"):
            assert tokenizer.encode(text) == tokenizer.encode_uncached(text)
            # SentencePiece cannot tell its sign for a space from a space.
            expected = text.replace("▁", " ") if tokenizer.opening else text
            assert tokenizer.decode(tokenizer.encode(text)) == expected

    @pytest.mark.parametrize(
        ("name", "first", "opening"),
        [
            ("llama-spm", ["<s>"], " "),
            ("llama-bpe", ["<|begin_of_text|>"], ""),
            ("deepseek-coder", ["<｜begin▁of▁sentence｜>"], ""),
            ("qwen2", [], ""),
            ("starcoder", [], ""),
        ],
    )
    def test_what_begins_a_text(self, name: str, first: list[str], opening: str) -> None:
        tokenizer = opened(VOCABULARIES / f"ggml-vocab-{name}.gguf")
        assert list(tokenizer.first_ids) == [tokenizer.special_ids[one] for one in first]
        whole = tokenizer.encode_whole("x = 1")
        assert whole == [*tokenizer.first_ids, *tokenizer.encode(f"{opening}x = 1")]
        assert tokenizer.encode_whole("") == [*tokenizer.first_ids]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("deepseek-coder", sentinels.DEEPSEEK),
            ("starcoder", sentinels.STARCODER2),
            ("refact", sentinels.GRANITE),
            ("llama-spm", None),
            ("qwen2", None),
        ],
    )
    def test_the_sentinels_that_it_holds(self, name: str, kind: sentinels.Sentinels | None) -> None:
        special_ids = opened(VOCABULARIES / f"ggml-vocab-{name}.gguf").special_ids
        assert next((one for one in sentinels.KNOWN if one.holds(special_ids)), None) == kind

    @given(text=TEXTS)
    def test_pieces_are_merged_as_sentencepiece_does(self, text: str) -> None:
        path = VOCABULARIES / "ggml-vocab-llama-spm.gguf"
        tokenizer = opened(path)
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("▁", "")
        assert tokenizer.encode(text) == sentence_piece(path, text)


@cache
def pieces_of(path: Path) -> tuple[dict[str, int], list[float]]:
    metadata = Gguf(path).metadata
    tokens, scores = metadata.texts("tokenizer.ggml.tokens"), metadata.numbers("tokenizer.ggml.scores")
    types = metadata.numbers("tokenizer.ggml.token_type")
    assert tokens is not None
    assert scores is not None
    assert types is not None
    normal = {text: i for i, text in enumerate(tokens) if types[i] == TokenType.NORMAL}
    return normal, scores.tolist()


def sentence_piece(path: Path, text: str) -> list[int]:
    """The definition: merge the two neighbours that make the piece with the best score, leftmost first."""
    pieces, scores = pieces_of(path)
    symbols = list(text.replace(" ", "▁"))
    while True:
        joined = [a + b for a, b in pairwise(symbols)]
        candidates = [(-scores[pieces[one]], at) for at, one in enumerate(joined) if one in pieces]
        if not candidates:
            break
        _, at = min(candidates)
        symbols[at : at + 2] = [joined[at]]
    byte_0 = 3
    ids: list[int] = []
    for symbol in symbols:
        ids += [pieces[symbol]] if symbol in pieces else [byte_0 + byte for byte in symbol.encode()]
    return ids


class TestRealModels:
    @pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b", "smollm2-135m"])
    def test_a_whole_repository_with_and_without_the_cache(self, name: str) -> None:
        tokenizer = opened(MODELS / f"{name}.gguf")
        assert (tokenizer.first_ids, tokenizer.opening) == ((), "")
        for text in sources("model/**/*.py"):
            assert tokenizer.encode(text) == tokenizer.encode_uncached(text)
            # Growing line by line, as it does under a typing hand.
            for end in range(0, len(text), 997):
                assert tokenizer.encode(text[:end]) == tokenizer.encode_uncached(text[:end])

    def test_smollm2_continues_and_cannot_fill_in(self) -> None:
        tokenizer = opened(MODELS / "smollm2-135m.gguf")
        with pytest.raises(TokenizerError, match="cannot fill in the middle"):
            sentinels.fim_format(tokenizer.special_ids, sentinels.KNOWN)
        ends = sentinels.end_ids(tokenizer.special_ids)
        assert {tokenizer.special_ids[name] for name in ("<|im_end|>", "<|endoftext|>")} <= set(ends)

    def test_special_tokens_of_qwen(self) -> None:
        tokenizer = opened(MODELS / "qwen2.5-coder-0.5b.gguf")
        assert tokenizer.vocab_size == 151_936
        assert tokenizer.special_ids["<|fim_prefix|>"] == 151_659
        assert tokenizer.special_ids["<tool_call>"] == 151_657
        special = set(tokenizer.special_ids.values())
        for name in ("<|fim_prefix|>", "<|im_end|>", "<tool_call>", "[PAD151665]"):
            ids = tokenizer.encode(f"x = '{name}'\n{name}")
            assert not special & set(ids)
            assert tokenizer.decode(ids) == f"x = '{name}'\n{name}"


@cache
def starcoder_json() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((STARCODER / "tokenizer.json").read_text(encoding="utf-8"))
    return loaded


def write_starcoder(path: Path, pre: str) -> Path:
    """StarCoder's vocabulary as a GGUF file that names a pre-tokenizer."""
    state = starcoder_json()
    ids = state["model"]["vocab"] | {token["content"]: token["id"] for token in state["added_tokens"]}
    special = {token["id"] for token in state["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["model"]["merges"]]
    return write_gguf(
        path,
        metadata={
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": sorted(ids, key=ids.__getitem__),
            "tokenizer.ggml.token_type": [3 if i in special else 1 for i in range(len(ids))],
            "tokenizer.ggml.merges": merges,
        },
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starcoder-gguf")


@pytest.fixture(scope="module")
def qwen_like(folder: Path) -> Tokenizer:
    return opened(write_starcoder(folder / "qwen-like.gguf", "qwen2"))


@needs_starcoder
class TestByteLevel:
    def test_published_vectors(self, folder: Path) -> None:
        tokenizer = opened(write_starcoder(folder / "vectors.gguf", "starcoder"))
        texts = (STARCODER / "vectors.inp").read_bytes().decode().split(BETWEEN)
        lines = (STARCODER / "vectors.out").read_text().split("\n")
        for text, line in zip(texts, lines, strict=True):
            assert tokenizer.encode(text) == [int(one) for one in line.split()], text

    def test_it_is_the_tokenizer_of_the_tokenizer_json(self, folder: Path) -> None:
        ours = opened(write_starcoder(folder / "same.gguf", "starcoder"))
        theirs = Tokenizer.from_folder(STARCODER)
        assert ours.special_ids == theirs.special_ids
        assert ours.vocab_size == theirs.vocab_size
        assert all(ours.token_bytes(i) == theirs.token_bytes(i) for i in range(ours.vocab_size))
        for text in sources("model/prompt/*.py"):
            assert ours.encode(text) == theirs.encode(text)

    @pytest.mark.parametrize("pre", {one: name for name, one in PRE_TOKENIZERS.items()}.values())
    def test_the_cache_changes_nothing_with_any_pre_tokenizer(self, folder: Path, pre: str) -> None:
        tokenizer = opened(write_starcoder(folder / f"{pre}.gguf", pre))
        for text in sources("model/prompt/*.py")[:4]:
            assert tokenizer.encode(text) == tokenizer.encode_uncached(text)

        @given(text=TEXTS)
        def on_any_text(text: str) -> None:
            assert tokenizer.encode(text) == tokenizer.encode_uncached(text)

        on_any_text()

    @pytest.mark.parametrize("pre", {one: name for name, one in PRE_TOKENIZERS.items()}.values())
    def test_healing_leaves_the_tokens_of_the_whole_text(self, folder: Path, pre: str) -> None:
        """At any place of real code. By GPT-2's words they were others at 30 of 100 with Qwen's."""
        tokenizer = opened(write_starcoder(folder / f"{pre}.gguf", pre))
        assert_healed(tokenizer, sources("model/prompt/*.py")[0])

    def test_a_line_is_a_chunk(self, qwen_like: Tokenizer) -> None:
        text = "def f(x):\n    return 1  \n\n\nprint(1)\n"
        parts = [qwen_like.decode(chunk) for chunk in qwen_like.encode_chunks(text)]
        assert parts == ["def f(x):\n", "    return 1  \n\n\n", "print(1)\n"]

    @given(text=TEXTS, more=TEXTS)
    def test_what_is_appended_changes_the_last_chunk_only(
        self, qwen_like: Tokenizer, text: str, more: str
    ) -> None:
        chunks = qwen_like.encode_chunks(text)
        assert qwen_like.encode_chunks(text + more)[: len(chunks) - 1] == chunks[:-1]


PIECES = ["▁", "a", "b", "c", "ab", "▁ab", "▁a", "bc", "abc", "▁▁", "\n"]
SENTENCE_PIECE: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": [
        *("<unk>", "<s>", "</s>"),
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *PIECES,
        *("  \t", "<table>"),
    ],
    "tokenizer.ggml.scores": [0.0] * 259 + [-float(i) for i in range(len(PIECES))] + [0.0, 0.0],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(PIECES) + [4, 4],
}


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    made = opened(write_gguf(folder / "pieces.gguf", metadata=SENTENCE_PIECE))
    assert (made.first_ids, made.opening) == ((1,), " ")
    return made


class TestSentencePiece:
    def texts(self, tokenizer: Tokenizer, text: str) -> list[bytes]:
        return [tokenizer.token_bytes(one) for one in tokenizer.encode(text)]

    def test_the_best_piece_first(self, tokenizer: Tokenizer) -> None:
        assert self.texts(tokenizer, " abc") == [b" ab", b"c"]
        assert self.texts(tokenizer, "abc") == [b"abc"]

    def test_bytes_where_there_is_no_piece(self, tokenizer: Tokenizer) -> None:
        assert self.texts(tokenizer, "aé") == [b"a", b"\xc3", b"\xa9"]

    def test_user_defined_text_is_found_first(self, tokenizer: Tokenizer) -> None:
        assert self.texts(tokenizer, "a   \tb") == [b"a", b" ", b"  \t", b"b"]

    @pytest.mark.parametrize("name", ["<s>", "</s>", "<unk>", "<table>", "<0x41>"])
    def test_no_text_becomes_a_special_token_or_a_byte(self, tokenizer: Tokenizer, name: str) -> None:
        ids = tokenizer.encode(f"a {name}")
        assert not set(tokenizer.special_ids.values()) & set(ids)
        assert tokenizer.decode(ids) == f"a {name}"
        assert "<table>" in tokenizer.special_ids
        assert "  \t" not in tokenizer.special_ids

    @given(text=st.text(alphabet="abc \n\té🦙", max_size=30))
    def test_any_text(self, tokenizer: Tokenizer, text: str) -> None:
        assert tokenizer.encode(text) == tokenizer.encode_uncached(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text

    @given(required=st.sampled_from([" ab", "ab", "é", "▁", "\n", " "]), data=st.data())
    def test_healing(self, tokenizer: Tokenizer, required: str, data: st.DataObject) -> None:
        healer, spelled = Healer(tokenizer, required.encode()), b""
        while not healer.done:
            allowed = healer.allowed()
            assert allowed is not None
            token_id = data.draw(st.sampled_from(allowed.tolist()))
            healer.advance(token_id)
            spelled += tokenizer.token_bytes(token_id)
        assert spelled.startswith(required.encode())


class TestWhatBeginsAText:
    """By a file's keys; a SentencePiece model has both where its file says nothing."""

    @pytest.mark.parametrize(
        ("keys", "first_ids", "opening"),
        [
            ({}, (1,), " "),
            ({"add_bos_token": False}, (), " "),
            ({"add_space_prefix": False, "bos_token_id": 2}, (2,), ""),
        ],
    )
    def test_pieces(self, tmp_path: Path, keys: dict[str, Any], first_ids: tuple[int], opening: str) -> None:
        named = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
        path = write_gguf(tmp_path / "m.gguf", metadata=SENTENCE_PIECE | named)
        made = gguf_tokenizer(Gguf(path).metadata)
        assert (made.first_ids, made.opening) == (first_ids, opening)

    def test_a_first_token_that_is_none_is_refused(self, tmp_path: Path) -> None:
        path = write_gguf(tmp_path / "m.gguf", metadata=SENTENCE_PIECE | {"tokenizer.ggml.bos_token_id": 999})
        with pytest.raises(TokenizerError, match=r"m\.gguf: its first token is 999, of 272 tokens"):
            gguf_tokenizer(Gguf(path).metadata)

    def test_a_token_that_the_file_calls_a_sentinel_is_no_text(self, tmp_path: Path) -> None:
        """Old files of Code Llama call theirs words."""
        tokens = [*SENTENCE_PIECE["tokenizer.ggml.tokens"][:-1], "▁<PRE>"]
        types = [*SENTENCE_PIECE["tokenizer.ggml.token_type"][:-1], 1]
        keys = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
        path = write_gguf(
            tmp_path / "m.gguf", metadata=SENTENCE_PIECE | keys | {"tokenizer.ggml.prefix_token_id": 271}
        )
        made = gguf_tokenizer(Gguf(path).metadata)
        assert made.special_ids["▁<PRE>"] == 271
        assert 271 not in made.encode("a <PRE> b")


@pytest.fixture(scope="module")
def code_llama(folder: Path) -> Tokenizer:
    names = ["▁<PRE>", "▁<SUF>", "▁<MID>"]
    metadata = SENTENCE_PIECE | {
        "tokenizer.ggml.tokens": SENTENCE_PIECE["tokenizer.ggml.tokens"] + names,
        "tokenizer.ggml.scores": SENTENCE_PIECE["tokenizer.ggml.scores"] + [0.0] * 3,
        "tokenizer.ggml.token_type": SENTENCE_PIECE["tokenizer.ggml.token_type"] + [3] * 3,
    }
    return gguf_tokenizer(Gguf(write_gguf(folder / "code-llama.gguf", metadata=metadata)).metadata)


class TestCodeLlama:
    """As Meta's own `infilling_prompt_tokens`: the prefix is a text's beginning, the suffix is not."""

    @pytest.mark.parametrize(
        ("order", "prefix", "heal", "kept", "healed"),
        [
            (FimOrder.SPM, "ab c\n", False, " ab c\n", b""),
            (FimOrder.PSM, "ab c\n", False, " ab c\n", b""),
            (FimOrder.SPM, "abc bc", True, " abc", b" bc"),
            (FimOrder.SPM, "abc", True, "", b" abc"),  # the space belongs to the first word
            (FimOrder.PSM, "abc", True, "", b"abc"),  # in the middle, which begins no text
            (FimOrder.SPM, "", True, "", b" "),
            (FimOrder.PSM, "", True, "", b""),
        ],
    )
    def test_prompts(
        self, code_llama: Tokenizer, order: FimOrder, prefix: str, heal: bool, kept: str, healed: bytes
    ) -> None:
        fim = sentinels.fim_format(code_llama.special_ids, sentinels.KNOWN)
        prompt = build_prompt(
            code_llama, fim, prefix=prefix, suffix="ab", order=order, max_prompt_tokens=500, heal=heal
        )
        encode = code_llama.encode_uncached
        body = fim.arrange(order, encode(kept), encode("ab"))
        assert prompt.token_ids == [*code_llama.first_ids, *body]
        assert prompt.healed == healed

    @pytest.mark.parametrize("said", ["ab", " ab"])
    def test_in_a_chat_one_space_follows_a_special_token(self, code_llama: Tokenizer, said: str) -> None:
        template = ChatTemplate("<s>{{ messages[0]['content'] }}</s>", names={})
        prompter = ChatPrompter(code_llama, 500, template, end_id=2)
        ids = prompter.encode((Message(role="user", text=said),))
        assert ids == [1, *code_llama.encode(" ab"), 2]


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"tokenizer.ggml.model": "bert"}, "of kind 'bert'"),
            ({"tokenizer.ggml.model": "gpt2"}, "its pre-tokenizer is None; known are gpt-2"),
            ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "viking"}, "pre-tokenizer is 'viking'"),
            ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}, "holds no merges"),
            ({"tokenizer.ggml.token_type": [1, 1]}, "270 tokens|272 tokens, but 2 types"),
            ({"tokenizer.ggml.scores": [0.0]}, "not a score for each"),
            ({"tokenizer.ggml.tokens": []}, "no tokens|array"),
        ],
    )
    def test_by_name(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        metadata = {key: value for key, value in (SENTENCE_PIECE | changes).items() if value != []}
        with pytest.raises(TokenizerError, match=f"m.gguf: .*({message})"):
            gguf_tokenizer(Gguf(write_gguf(tmp_path / "m.gguf", metadata=metadata)).metadata)

    @pytest.mark.parametrize("merges", [["a b c"], ["a"], ["x y"], ["b a"], ["ab ab"]])
    def test_merges_of_other_tokens(self, tmp_path: Path, merges: list[str]) -> None:
        metadata = {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": ["a", "b", "ab"],
            "tokenizer.ggml.merges": merges,
        }
        with pytest.raises(TokenizerError, match="merges"):
            gguf_tokenizer(Gguf(write_gguf(tmp_path / "m.gguf", metadata=metadata)).metadata)

    @settings(max_examples=40)
    @given(
        kind=st.sampled_from(["gpt2", "llama"]),
        tokens=st.lists(st.text(alphabet="ab<>|▁Ġ \n🦙", max_size=4), min_size=1, max_size=12),
        data=st.data(),
    )
    def test_any_lists(
        self, tmp_path_factory: pytest.TempPathFactory, kind: str, tokens: list[str], data: st.DataObject
    ) -> None:
        count = len(tokens)
        numbers = st.sampled_from([0.0, -1.0, 5.0, float("nan"), float("inf")])
        types = st.integers(-1, 7)
        merges = st.lists(st.text(alphabet="ab Ġ", max_size=4), min_size=1, max_size=6)
        metadata = {
            "tokenizer.ggml.model": kind,
            "tokenizer.ggml.pre": data.draw(st.sampled_from(["qwen2", "llama-bpe", "starcoder"])),
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": data.draw(st.lists(numbers, min_size=count, max_size=count)),
            "tokenizer.ggml.token_type": data.draw(st.lists(types, min_size=count, max_size=count)),
            "tokenizer.ggml.merges": data.draw(merges),
        }
        path = write_gguf(tmp_path_factory.mktemp("lists") / "m.gguf", metadata=metadata)
        made = made_or_refused(path)
        if made is not None:
            ids = made.encode("a b\n" + "".join(tokens))
            assert not set(made.special_ids.values()) & set(ids)


def made_or_refused(path: Path) -> Tokenizer | None:
    """Nothing but a `TokenizerError` may come of a file's lists."""
    try:
        return gguf_tokenizer(Gguf(path).metadata)
    except TokenizerError:
        return None
