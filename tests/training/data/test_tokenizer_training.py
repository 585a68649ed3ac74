from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from model.families.gpt_bigcode import SPECIAL_TOKENS
from training.corpus.records.document import CorpusDocument
from training.corpus.records.shards import ShardWriter
from training.data.tokenizer import (
    TokenizerOptions,
    balanced_sample,
    save_tokenizer,
    train_on_corpus,
    train_tokenizer,
    untrained_tokenizer,
)

OPTIONS = TokenizerOptions(vocab_size=400)


def source_texts() -> list[str]:
    """This repository's own code: real text, always there."""
    root = Path(__file__).resolve().parents[3]
    return [path.read_text(encoding="utf-8") for path in sorted((root / "training" / "corpus").glob("*.py"))]


def document(language: str, text: str, path: str = "a") -> CorpusDocument:
    return CorpusDocument(
        repository="a/b", path=path, language=language, license="MIT", package="p", text=text
    )


def test_the_pipeline_is_starcoders_exactly() -> None:
    stored = json.loads(train_tokenizer(source_texts(), OPTIONS).to_str())
    assert stored["pre_tokenizer"] == {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    }
    assert stored["normalizer"] is None
    assert stored["post_processor"] is None
    assert stored["decoder"]["type"] == "ByteLevel"


def test_special_tokens_have_the_first_ids_and_the_size_includes_them() -> None:
    tokenizer = train_tokenizer(source_texts(), OPTIONS)
    assert [tokenizer.id_to_token(i) for i in range(19)] == list(SPECIAL_TOKENS)
    assert tokenizer.get_vocab_size() == 400
    assert all(tokenizer.get_added_tokens_decoder()[i].special for i in range(19))


@pytest.mark.parametrize(
    "text", ["x = 12345\n", "naïve ☃ 🙂\t\r\n", "\x00\x7f\x80", "    if a:\n        b()\n"]
)
def test_any_text_comes_back(text: str) -> None:
    tokenizer = train_tokenizer(source_texts(), OPTIONS)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_digits_stand_alone() -> None:
    tokenizer = train_tokenizer(["1234567890 " * 50 + " ".join(source_texts())], OPTIONS)
    assert tokenizer.encode("90210").tokens == ["9", "0", "2", "1", "0"]
    pieces = untrained_tokenizer().pre_tokenizer.pre_tokenize_str("a12 b")
    assert [piece for piece, _ in pieces] == ["a", "1", "2", "Ġb"]


def test_the_same_texts_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_tokenizer(train_tokenizer(source_texts(), OPTIONS), tmp_path / name)
    first = (tmp_path / "one" / "tokenizer.json").read_bytes()
    assert first == (tmp_path / "two" / "tokenizer.json").read_bytes()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["tokenizer.json"]
    assert Tokenizer.from_file(str(tmp_path / "one" / "tokenizer.json")).get_vocab_size() == 400


def test_too_small_a_vocabulary_or_corpus_is_refused() -> None:
    with pytest.raises(ValueError, match="274 is below 275"):
        TokenizerOptions(vocab_size=274)
    with pytest.raises(ValueError, match="50000 were asked for"):
        train_tokenizer(["a few words only"], TokenizerOptions(vocab_size=50_000))


def test_the_sample_is_balanced_and_spread_evenly() -> None:
    documents = [document("Python", "p" * 100, str(i)) for i in range(100)]
    documents += [document("Go", "g" * 100, str(i)) for i in range(3)]
    options = TokenizerOptions(vocab_size=400, max_train_chars=10_000, shares={"Python": 0.2, "*": 0.5})
    sample = list(balanced_sample(lambda: documents, options))
    python = [int(chosen.path) for chosen in sample if chosen.language == "Python"]
    assert len(python) == 20
    assert all(5 * i <= path < 5 * (i + 1) for i, path in enumerate(python))
    assert sum(chosen.language == "Go" for chosen in sample) == 3  # less than its part: all of it


def test_training_on_a_corpus_writes_the_tokenizer(tmp_path: Path) -> None:
    for split in ("train", "held_out"):
        with ShardWriter(tmp_path / split) as writer:
            for text in source_texts():
                writer.write(document("Python", text))
    train_on_corpus(tmp_path, tmp_path / "tokenizer", TokenizerOptions(vocab_size=1000))
    assert Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json")).get_vocab_size() == 1000
