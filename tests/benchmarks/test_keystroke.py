"""The keystroke benchmark, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import keystroke
from tests.model.tiny import write_tiny_model

TEXT = "".join(f"def function_{n}(a, b):\n    return a * {n} + b\n\n\n" for n in range(6))


def test_typing_inserts_one_character_after_the_other() -> None:
    steps = list(keystroke.typing_of("abcdefgh", n_keystrokes=3, start=0.25))
    assert [step.prefix for step in steps] == ["abc", "abcd", "abcde"]
    assert {step.suffix for step in steps} == {"fgh"}


def test_a_file_that_is_too_short_is_refused() -> None:
    with pytest.raises(SystemExit, match="8 characters"):
        list(keystroke.typing_of("abcdefgh", n_keystrokes=8, start=0.5))


@pytest.mark.parametrize(("values", "expected"), [([3.0], 3.0), (list(map(float, range(100))), 94.0)])
def test_the_95th_percentile(values: list[float], expected: float) -> None:
    assert keystroke.percentile_95(values) == expected


def test_both_give_the_same_next_token_and_ours_computes_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_model(tmp_path / "model")
    (tmp_path / "typed.py").write_text(TEXT, encoding="utf-8")
    arguments = ["--model", str(folder), "--file", str(tmp_path / "typed.py"), "--quantize", "none"]
    arguments += ["--dtype", "float32", "--keystrokes", "6", "--threads", "1", "--json"]
    monkeypatch.setattr("sys.argv", ["keystroke", *arguments])

    assert keystroke.main() == 0
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert report["ratio"] == pytest.approx(report["transformers_ms"] / report["ours_ms"])
    assert report["keystrokes"] == 6
    assert report["computed_tokens"] <= 8 < report["prompt_tokens"]
    assert f"ratio {report['ratio']:.1f}" in out
