"""The labelled set: `development` was looked at while the rules were written, `fresh` was written after them.

`python -m training.corpus score-pii tests/training/corpus/pii/pii_labelled.jsonl` prints the table of
docs/corpus.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.corpus.__main__ import main
from training.corpus.errors import CorpusError
from training.corpus.pii.finding import Finding, PiiKind
from training.corpus.pii.scoring import Scores, score, unmarked

LABELLED = Path(__file__).with_name("pii_labelled.jsonl")


@pytest.fixture(scope="module")
def scores() -> dict[str, Scores]:
    return score(LABELLED)


def test_the_set_is_large_and_half_of_it_has_nothing_to_find(scores: dict[str, Scores]) -> None:
    records = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert len(records) >= 230
    assert 90 <= sum("⟦" not in record["text"] for record in records) <= 140
    for kind in PiiKind:
        assert sum(of_set.labels[kind] for of_set in scores.values()) >= 20


@pytest.mark.parametrize(
    ("name", "kind", "precision", "recall"),
    [
        ("development", PiiKind.EMAIL, 0.95, 0.95),
        ("development", PiiKind.IP, 0.9, 0.95),
        ("development", PiiKind.KEY, 0.95, 0.85),
        ("development", PiiKind.PASSWORD, 0.9, 0.9),
        ("fresh", PiiKind.EMAIL, 0.95, 0.95),
        ("fresh", PiiKind.IP, 0.9, 0.9),
        ("fresh", PiiKind.KEY, 0.85, 0.75),
        ("fresh", PiiKind.PASSWORD, 0.9, 0.6),
    ],
)
def test_precision_and_recall(
    scores: dict[str, Scores], name: str, kind: PiiKind, precision: float, recall: float
) -> None:
    of_set = scores[name]
    assert (of_set.precision(kind) or 0) >= precision
    assert (of_set.recall(kind) or 0) >= recall


def test_names_are_found_by_a_model_only(scores: dict[str, Scores]) -> None:
    assert all(of_set.findings[PiiKind.NAME] == 0 for of_set in scores.values())


def test_marks_become_places() -> None:
    text, labels = unmarked("a ⟦email:x@y.z⟧, ⟦ip:1.2.3.4⟧.")
    assert text == "a x@y.z, 1.2.3.4."
    assert labels == [Finding(kind=PiiKind.EMAIL, start=2, end=7), Finding(kind=PiiKind.IP, start=9, end=16)]


def test_half_a_finding_is_none(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps({"text": "⟦email:0123456789⟧"}) + "\n")
    (half,) = score(path, [lambda text: [Finding(kind=PiiKind.EMAIL, start=0, end=5)]]).values()
    assert (half.precision(PiiKind.EMAIL), half.recall(PiiKind.EMAIL)) == (0.0, 0.0)
    (most,) = score(path, [lambda text: [Finding(kind=PiiKind.EMAIL, start=0, end=9)]]).values()
    assert (most.precision(PiiKind.EMAIL), most.recall(PiiKind.EMAIL)) == (1.0, 1.0)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["score-pii", str(LABELLED)]) == 0
    assert "| fresh | email | 16 | 100 % | 100 % |" in capsys.readouterr().out
    (tmp_path / "bad.jsonl").write_text("{}\n")
    assert main(["score-pii", str(tmp_path / "bad.jsonl")]) == 1
    assert "is no labelled set" in capsys.readouterr().err
    with pytest.raises(CorpusError):
        score(tmp_path / "absent.jsonl")
