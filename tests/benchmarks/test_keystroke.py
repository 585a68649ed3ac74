"""The keystroke benchmark, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import keystroke
from benchmarks.engine.contender import percentile_95
from benchmarks.replay.session import session
from tests.model.tiny import write_tiny_model


def test_what_is_typed_is_the_file_again_slips_and_all(tmp_path: Path) -> None:
    path = tmp_path / "typed.py"
    text = "".join(f"def function_{n}(a, b):\n    return a * {n} + b\n\n\n" for n in range(20))
    path.write_text(text, encoding="utf-8")
    strokes = []
    for stroke in session([path], 90):
        line, start_char = stroke.press()
        strokes.append(stroke)
        if not stroke.text:
            typed = stroke.document.text_before(line, start_char)
            assert text.startswith(typed), "a backspace takes back what was wrong"

    assert len(strokes) == 90
    assert sum(not stroke.text for stroke in strokes) >= 3
    first, second, third = (stroke.document.source for stroke in strokes if stroke.is_jump)
    assert first == second == text
    assert len(third) < len(text), "the slips took the rest of the keystrokes"


@pytest.mark.parametrize(("values", "expected"), [([3.0], 3.0), (list(map(float, range(100))), 94.0)])
def test_the_95th_percentile(values: list[float], expected: float) -> None:
    assert percentile_95(values) == expected


def test_ours_computes_what_is_new_and_transformers_is_asked_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # as main() leaves it; this takes it back
    folder = write_tiny_model(tmp_path / "model")
    arguments = ["--model", str(folder), "--keystrokes", "36", "--every", "4", "--threads", "1", "--json"]
    monkeypatch.setattr("sys.argv", ["keystroke", *arguments])

    assert keystroke.main() == 0
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert report["ratio"] == pytest.approx(report["transformers_ms"] / report["ours_ms"])
    assert (report["keystrokes"], report["jumps"], report["compared"]) == (36, 9, 36 // 4 - 3)
    assert report["computed_tokens"] <= 8 < report["prompt_tokens"]
    assert report["same_token"] > 0.5, "the same tokens were asked about"
    assert f"{report['ratio']:.0f} times" in out
