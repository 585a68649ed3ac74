from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers
from typer.testing import CliRunner

from training.cli.cli import eval_app, train_app
from training.corpus.records.document import CorpusDocument
from training.corpus.records.shards import ShardWriter
from training.data.tokenizer import TokenizerOptions, save_tokenizer, train_tokenizer
from training.data.tokenizer_report import as_starcoder_has_it, load, markdown, measure
from training.errors import EvaluationError

STARCODER = Path(__file__).resolve().parents[4] / "shared" / "data" / "starcoder-tokenizer"
needs_starcoder = pytest.mark.skipif(not STARCODER.is_dir(), reason=f"no StarCoder tokenizer at {STARCODER}")

PYTHON = "def area(width, height):\n    return width * height\n" * 30
GO = "func Area(width, height int) int {\n\treturn width * height\n}\n" * 20


def document(language: str, text: str) -> CorpusDocument:
    return CorpusDocument(
        repository="a/b", path="a", language=language, license="MIT", package="p", text=text
    )


def tokenizer(size: int, texts: list[str]) -> Tokenizer:
    return train_tokenizer(texts, TokenizerOptions(vocab_size=size))


@pytest.fixture(scope="module")
def two() -> dict[str, Tokenizer]:
    return {"ours": tokenizer(300, [PYTHON]), "bytes": tokenizer(275, [PYTHON])}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split in ("train", "held_out"):
        with ShardWriter(tmp_path / "corpus" / split) as writer:
            for language, text in (("Python", PYTHON), ("Go", GO)):
                writer.write(document(language, text))
    return tmp_path / "corpus"


def test_characters_per_token_are_those_of_the_texts(two: dict[str, Tokenizer]) -> None:
    measured = measure(two, [document("Python", PYTHON), document("Go", GO)])
    assert measured.chars_per_token("bytes", "Python") == 1.0
    assert measured.chars_per_token("ours", "Python") == len(PYTHON) / len(two["ours"].encode(PYTHON).ids)
    assert measured.chars_per_token("ours", "Python") > measured.chars_per_token("ours", "Go") > 1.0


def test_a_language_counts_up_to_its_limit(two: dict[str, Tokenizer]) -> None:
    documents = [document("Python", "x" * 60) for _ in range(100)]
    assert measure(two, documents, max_chars=600).chars["Python"] == 600
    with pytest.raises(EvaluationError, match="no documents"):
        measure(two, [])


def test_the_table_has_a_row_for_each_language_and_one_for_all(two: dict[str, Tokenizer]) -> None:
    table = markdown(two, measure(two, [document("Python", PYTHON), document("Go", GO)])).splitlines()
    assert table[0] == "| language | documents | characters | ours | bytes | ours / bytes |"
    assert [row.split(" | ")[0] for row in table[2:5]] == ["| Python", "| Go", "| all"]
    assert "- ours: 300 tokens, pre-tokenizer and special tokens as StarCoder's" in table


def test_what_differs_from_starcoders_is_said() -> None:
    other = tokenizer(300, [PYTHON])
    other.normalizer = normalizers.NFC()
    assert as_starcoder_has_it(other) == ["it has a normalizer"]


@needs_starcoder
def test_starcoders_own_is_as_it_has_it() -> None:
    starcoder = load(STARCODER)
    assert as_starcoder_has_it(starcoder) == []
    assert starcoder.encode("def print_hello_world():").ids == [589, 1459, 81, 7656, 81, 5860, 2262]


def test_one_command_trains_and_reports_another_reports_only(corpus: Path, tmp_path: Path) -> None:
    save_tokenizer(tokenizer(275, [PYTHON]), tmp_path / "bytes")
    trained = CliRunner().invoke(
        train_app,
        [
            *("tokenizer", str(corpus), "--into", str(tmp_path / "new"), "--vocab-size", "300"),
            *("--against", str(tmp_path / "bytes")),
        ],
    )
    assert trained.exit_code == 0, trained.output
    assert (tmp_path / "new" / "tokenizer.md").read_text() == trained.stdout
    assert "| new | bytes | new / bytes |" in trained.stdout
    evaluated = CliRunner().invoke(
        eval_app,
        [
            *("tokenizer", str(tmp_path / "new"), "--documents", str(corpus / "held_out")),
            *("--against", str(tmp_path / "bytes")),
        ],
    )
    assert evaluated.stdout == trained.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "--documents", "."], "does not exist; name the folder of a tokenizer.json"),
        (["absent", "--documents", "nowhere"], "nowhere does not exist"),
    ],
)
def test_missing_places_are_named(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(eval_app, ["tokenizer", *arguments])
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
