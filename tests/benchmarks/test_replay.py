"""The replay: what is typed, what llama.vscode asks, and a small run with our engine's own process."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.replay import __main__ as replay
from benchmarks.replay.editors import EngineStart, KeyAnswer
from benchmarks.replay.llama_vscode import LlamaVscode
from benchmarks.replay.report import ReplayReport
from benchmarks.replay.session import Key, Stroke, TypedPlace, places
from lsp.documents.documents import Document
from tests.model.tiny import write_tiny_model

TEXT = "".join(f"def function_{n}(a, b):\n    if a:\n        return a * {n} + b\n\n\n" for n in range(40))


@pytest.fixture
def typed(tmp_path: Path) -> list[TypedPlace]:
    path = tmp_path / "typed.py"
    path.write_text(TEXT, encoding="utf-8")
    return places([path], 300)


def test_who_is_assisted_types_the_same_file_in_fewer_keys_of_every_kind(typed: list[TypedPlace]) -> None:
    for place in typed:
        keys: Counter[Key] = Counter()
        for stroke in place.strokes(assisted=True):
            line, start_char = stroke.press()
            keys[stroke.key] += 1
            before = stroke.document.text_before(line, start_char)
            if stroke.rest is not None:
                assert TEXT.startswith(before + stroke.rest)
            if stroke.key is Key.NEW_LINE:
                assert stroke.text.strip() == ""
        assert stroke.document.source == TEXT
        assert keys[Key.JUMP] == 1
        assert min(keys[Key.NEW_LINE], keys[Key.ACCEPTED]) >= 3
        assert keys.total() < sum(1 for _ in place.strokes())


def stroke_at(lines: list[str], line: int, start_char: int, text: str) -> Stroke:
    document = Document("file:///project/a.py", "\n".join(lines), version=0)
    return Stroke(document=document, line=line, start_char=start_char, text=text)


def test_llama_vscode_asks_with_its_window_and_its_limits() -> None:
    lines = [f"line {n}" for n in range(400)]
    body = LlamaVscode().after(stroke_at(lines, 300, 8, "!"))
    assert body["input_prefix"] == "".join(f"line {n}\n" for n in range(44, 300))
    assert body["input_suffix"] == "\n" + "".join(f"line {n}\n" for n in range(301, 365))
    assert (body["prompt"], body["n_predict"], body["cache_prompt"]) == ("line 300!", 128, True)
    assert "n_indent" not in body


@pytest.mark.parametrize(("here", "prompt", "indent"), [("    x", "    xy", 4), ("    ", "", 5)])
def test_llama_vscode_leaves_an_indentation_to_the_model(here: str, prompt: str, indent: int) -> None:
    typed = "y" if here.strip() else " "
    body = LlamaVscode().after(stroke_at(["if x:", here], 1, len(here), typed))
    assert (body["prompt"], body["n_indent"]) == (prompt, indent)


def test_llama_vscode_brings_its_ring_when_nobody_types() -> None:
    window = LlamaVscode()
    assert window.idle() is None
    lines = [f"line {n}" for n in range(400)]
    assert window.after(stroke_at(lines, 300, 8, "!"))["input_extra"] == []
    ahead = window.idle()
    assert ahead is not None
    assert ahead["n_predict"] == 0
    assert [chunk["text"].count("\n") for chunk in ahead["input_extra"]] == [45, 36]
    assert window.after(stroke_at(lines, 301, 8, "!"))["input_extra"] == ahead["input_extra"]
    assert window.idle() is None, "the cursor stayed near"


def test_a_small_run_of_ours_alone(
    tmp_path: Path,
    typed: list[TypedPlace],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = write_tiny_model(tmp_path / "model"), tmp_path / "answers.json"
    monkeypatch.setattr(replay, "FILES", [typed[0].path])
    monkeypatch.setattr(replay, "_REST_S", 0.0)
    arguments = ["--model", str(folder), "--keys", "54", "--pause-ms", "0", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["replay", *arguments, "--tokens", "2", "--json", str(out)])

    assert replay.main() == 0
    told = capsys.readouterr()
    assert "left out: llama.vscode" in told.err
    answers = json.loads(out.read_text("utf-8"))["answers"]
    assert {one["key"] for one in answers} == set(Key)
    assert len(answers) == 54
    assert all(0 < one["first_ms"] <= one["whole_ms"] for one in answers)
    on_a_line = [one["computed_tokens"] for one in answers if one["key"] == Key.ON_LINE]
    assert max(on_a_line) < 20 < min(one["computed_tokens"] for one in answers if one["key"] == Key.JUMP)
    assert "processor time (at most 2 tokens), ms" in told.out


def test_the_report_tells_times_by_key_and_ratios_of_clock_and_processor() -> None:
    def answer(editor: str, key: Key, first_ms: float, processor_ms: float, *, right: bool) -> KeyAnswer:
        return KeyAnswer(
            editor=editor,
            key=key,
            first_ms=first_ms,
            whole_ms=2 * first_ms,
            processor_ms=processor_ms,
            prompt_tokens=100,
            computed_tokens=7,
            is_right=right,
        )

    report = ReplayReport(
        model="one",
        threads=2,
        answers=[
            answer("ours", Key.JUMP, 100, 200, right=True),
            answer("ours", Key.ON_LINE, 10, 0, right=True),
            answer("peer", Key.JUMP, 250, 300, right=True),
            answer("peer", Key.ON_LINE, 40, 50, right=False),
        ],
        starts={name: EngineStart(ready_s=0.5, peak_mb=1000) for name in ("ours", "peer")},
    )
    tables = report.markdown().splitlines()
    assert "| to the first text, ms | on a line (1) | a jump (1) | all |" in tables
    assert "| peer | 40 (40) | 250 (250) | 145 (250) |" in tables
    assert "| peer | 80 (80) | 500 (500) | 290 (500) |" in tables
    assert "| peer | 50% | 0.50 s | 1,000 MB |" in tables
    assert "| peer | 4.0 (5.0) | 2.5 (1.5) | 2.5 (1.5) |" in tables, "a processor's time has steps of 10 ms"
